"""One row of evidence: what one attack did to each image of one model, as plain records in JSON lines."""

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from .errors import UserError
from .files import append_lines, read_lines

SCHEMA = 4  # 2: attempted, non_finite, signs; 3: labels; 4: versions

BudgetSuiteName = Literal[  # what a row's suite may be asked for by: with a budget, and without
    "quick",
    "paper",
    "paper_faithful",
    "adaptive",
    "auto",
    "auto_fast",
    "audit",
    "auto_plus",
    "exhaustive",
]
SuiteName = Literal[BudgetSuiteName, "minimum_norm", "transformations"]

SIGNS = {  # what a model's output can show before any attack, and what it means
    "probabilities": "the model returns probabilities, not logits: attacks that climb cross-entropy are weakened; "
    "remove the last softmax",
    "constant logits": "the model gives every image the same logits: there is nothing to attack; check its weights",
    "non-finite logits": "the model gives NaN or infinite logits for some images: they count as fooled, never as "
    "robust; check its numerics",
    "different answers": "the model answers differently to the same images: a single draw overstates robustness; "
    "attack expectation_over(model)",
    "no gradient": "no gradient reaches the images: gradient attacks cannot work; use square, or a differentiable copy",
}


@dataclass(frozen=True)
class AttackResult:
    """One attack on one model, image by image.

    `correct[i]`: the clean image is classified rightly. `fooled[i]`: the model errs on what the adversary hands in,
    so an image that is wrong when clean counts as fooled with `size` 0. `size[i]` is the length of the perturbation
    in the threat's norm (for images that were attacked in vain: of the last attempt).
    `attempted[i]`: this attack was run on the image. In a cascade only images that hold so far are attempted, and what
    an earlier attack did to the others is carried over: the row says what stands after this attack.
    `forwards` and `backwards` count images times passes; `non_finite` the images for which the model gave NaN or
    infinite logits, clean or attacked (they count as fooled); `signs` names what is suspicious about the model's
    output (see `SIGNS`). `labels[i]` is the true class; rows made before schema 3 have none. `version` is this
    package's, `versions` are torch's, Python's and, in a checkout, the commit; before schema 4 there are none.
    """

    run: str
    data: str
    split: str
    data_hash: str
    weights_hash: str
    suite: str
    attack: str
    settings: dict
    threat: str
    eps: float
    seed: int
    version: str
    index: Sequence[int]
    correct: Sequence[bool]
    fooled: Sequence[bool]
    size: Sequence[float]
    forwards: int
    backwards: int
    seconds: float
    attempted: Sequence[bool] = ()
    non_finite: int = 0
    signs: Sequence[str] = ()
    labels: Sequence[int] = ()
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self):
        """Rows of schema 1 do not say what was attempted: it was every rightly classified image."""
        if not len(self.attempted):
            object.__setattr__(self, "attempted", self.correct)
        object.__setattr__(self, "signs", list(self.signs))

    @property
    def num_images(self) -> int:
        """How many images the row speaks of: the denominator of every accuracy."""
        return len(self.index)

    @property
    def num_correct(self) -> int:
        """Images classified rightly when clean."""
        return sum(self.correct)

    @property
    def num_robust(self) -> int:
        """Images this attack did not fool."""
        return self.num_images - sum(self.fooled)

    @property
    def passes_per_image(self) -> float:
        """Forwards and backwards together over the images attempted."""
        return (self.forwards + self.backwards) / max(1, sum(self.attempted))

    def to_json(self) -> str:
        """One line; flags as a string of 0 and 1, sizes to seven digits, an unbroken index as "0:1000".

        Labels are a string of digits where each is one.
        """
        row = asdict(self)
        del row["labels"], row["versions"]
        row["correct"] = _bits(self.correct)
        row["fooled"] = _bits(self.fooled)
        row["attempted"] = _bits(self.attempted)
        row["size"] = [float(f"{s:.7g}") for s in self.size]
        row["index"] = _span(self.index)
        row |= {"labels": _digits(self.labels)} if len(self.labels) else {}
        row |= {"versions": self.versions} if self.versions else {}
        return json.dumps(row)

    @classmethod
    def from_json(cls, line: str) -> "AttackResult":
        """The row a line holds; a newer schema than ours is refused."""
        row = json.loads(line)
        if row.get("schema", 0) > SCHEMA:
            raise UserError(f"result row has schema {row['schema']}, this version reads up to {SCHEMA}: update mmc")
        if isinstance(row["index"], str):
            row["index"] = list(range(*map(int, row["index"].split(":"))))
        row["correct"] = [bit == "1" for bit in row["correct"]]
        row["fooled"] = [bit == "1" for bit in row["fooled"]]
        row["attempted"] = [bit == "1" for bit in row.get("attempted", "")] or row["correct"]
        row["labels"] = [int(label) for label in row.get("labels", ())] or ()
        per_image = ("index", "correct", "fooled", "size", "attempted", *(["labels"] if row["labels"] else []))
        if len({len(row[name]) for name in per_image}) > 1 or not row["index"]:
            raise ValueError(f"{', '.join(per_image)} must have one entry per image, and at least one")
        return cls(**row)


def worst_case(rows: Sequence[AttackResult]) -> list[bool]:
    """Per image: does at least one of the attacks fool the model?

    The rows must speak of the same images and weights under the same budget, as those of one `evaluate` do.
    """
    if not rows:
        raise UserError("no rows: a worst case needs at least one attack")
    if len({(tuple(r.index), r.data_hash, r.weights_hash, r.threat, r.eps) for r in rows}) > 1:
        names = ", ".join(dict.fromkeys(row.run for row in rows))
        raise UserError(f"rows of {names} speak of different images, weights or budgets: not one suite")
    return [any(flags) for flags in zip(*(row.fooled for row in rows), strict=True)]


def is_cascade(rows: Sequence[AttackResult]) -> bool:
    """Was an attack spared images that were right when clean, because an earlier one had fooled them?"""
    return any(right and not tried for row in rows for right, tried in zip(row.correct, row.attempted, strict=True))


def is_iterative(row: AttackResult) -> bool:
    """Does the attack take more than one step? Told by its setting `steps`, else by not being FGSM."""
    steps = row.settings.get("steps")
    return steps > 1 if isinstance(steps, int) else not row.attack.lower().startswith("fgsm")


def cross_entropy_rows(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """Iterative attacks that climb cross-entropy on every image: untargeted ones first, as people quote them, the
    strongest first. A row later in a cascade says nothing about cross-entropy alone.
    """
    chosen = [row for row in rows if climbs(row) == "cross_entropy" and is_iterative(row) and not is_cascade([row])]
    return sorted(chosen, key=lambda row: ("targeted" in row.settings, row.num_robust))


def climbs(row: AttackResult) -> str | None:
    """The objective whose gradient the attack follows; none for attacks that only query, as square and noise do."""
    return row.settings.get("objective") if row.backwards or not any(row.attempted) else None


def append_results(path: Path, rows: Iterable[AttackResult]) -> None:
    """Add rows at the end of a JSON-lines file, on disk before this returns: all of them, or (a full disk) none.

    A row that tells nothing new is left out: the newest of its condition and weights is there, and differs in its
    seconds at most.
    """
    there, lines = _newest(path), [row.to_json() for row in rows]
    append_lines(path, [line for line in lines if there.get(_condition(told := _but_for_seconds(line))) != told])


def read_results(path: Path) -> list[AttackResult]:
    """All rows of a file; none when it does not exist yet.

    Raises:
        UserError: a line is damaged, or of a newer schema.
    """
    return read_lines(path, AttackResult.from_json)


def _newest(path: Path) -> dict[str, dict]:
    """What the newest row of each condition says, of each run's newest weights; lines out of order are passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            row = _but_for_seconds(line)
            rows.append((_condition(row), row["weights_hash"], row))
    newest = {row["run"]: weights for _, weights, row in rows}
    return {condition: row for condition, weights, row in rows if weights == newest[row["run"]]}


def _but_for_seconds(line: str) -> dict:
    return {name: value for name, value in json.loads(line).items() if name != "seconds"}


def _condition(row: dict) -> str:
    """What was asked of which run, whatever came out."""
    asked = {name: row[name] for name in ("run", "data", "split", "suite", "attack", "threat", "eps", "seed", "index")}
    settings = {name: value for name, value in row["settings"].items() if name != "batch_size"}  # moves no verdict
    return json.dumps(asked | {"settings": settings}, sort_keys=True)


def _bits(flags: Sequence[bool]) -> str:
    return "".join("1" if flag else "0" for flag in flags)


def _digits(labels: Sequence[int]) -> str | list[int]:
    return "".join(map(str, labels)) if max(labels) < 10 else list(labels)


def _span(index: Sequence[int]) -> str | list[int]:
    numbers = list(index)
    unbroken = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{numbers[0]}:{numbers[-1] + 1}" if unbroken else numbers
