"""One row of evidence: what one attack did to each image of one model, as plain records in JSON lines."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import UserError

SCHEMA = 1


@dataclass(frozen=True)
class AttackResult:
    """One attack on one model, image by image.

    `correct[i]`: the clean image is classified rightly. `fooled[i]`: the model errs on what the adversary hands in,
    so an image that is wrong when clean counts as fooled with `size` 0. `size[i]` is the length of the perturbation
    in the threat's norm (for images that were attacked in vain: of the last attempt).
    `forwards` and `backwards` count images times passes.
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
    schema: int = SCHEMA

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

    def to_json(self) -> str:
        """One line; the flags as a string of 0 and 1, the sizes to seven digits, an unbroken index as "0:1000"."""
        row = asdict(self)
        row["correct"] = _bits(self.correct)
        row["fooled"] = _bits(self.fooled)
        row["size"] = [float(f"{s:.7g}") for s in self.size]
        row["index"] = _span(self.index)
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
        return cls(**row)


def worst_case(rows: Sequence[AttackResult]) -> list[bool]:
    """Per image: does at least one of the attacks fool the model? The rows must speak of the same images."""
    first = rows[0]
    for row in rows[1:]:
        if list(row.index) != list(first.index) or row.weights_hash != first.weights_hash:
            raise UserError(f"rows of {first.run} and {row.run} speak of different images or weights: not one suite")
    return [any(flags) for flags in zip(*(row.fooled for row in rows), strict=True)]


def append_results(path: Path, rows: Iterable[AttackResult]) -> None:
    """Add rows at the end of a JSON-lines file, on disk before this returns: all of them, or (a full disk) none."""
    text = "".join(row.to_json() + "\n" for row in rows)
    try:
        with open(path, "ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                left = memoryview(text.encode())
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)
                raise
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): make room there, or choose another place") from error


def read_results(path: Path) -> list[AttackResult]:
    """All rows of a file; none when it does not exist yet."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(AttackResult.from_json(line))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path} line {number} is not a result row: {error}") from error
    return rows


def _bits(flags: Sequence[bool]) -> str:
    return "".join("1" if flag else "0" for flag in flags)


def _span(index: Sequence[int]) -> str | list[int]:
    numbers = list(index)
    unbroken = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{numbers[0]}:{numbers[-1] + 1}" if unbroken else numbers
