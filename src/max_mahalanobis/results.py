"""One row of evidence: what one attack did to each image of one model, as plain records in JSON lines."""

import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
        if len({len(row[name]) for name in ("index", "correct", "fooled", "size")}) > 1 or not row["index"]:
            raise ValueError("index, correct, fooled and size must have one entry per image, and at least one")
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


def append_results(path: Path, rows: Iterable[AttackResult]) -> None:
    """Add rows at the end of a JSON-lines file, on disk before this returns: all of them, or (a full disk) none."""
    text = "".join(row.to_json() + "\n" for row in rows).encode()
    try:
        with open(path, "ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"  # a crash left a line without its end
            try:
                _write_all(file, b"\n" + text if torn else text)
            except BaseException:
                file.truncate(end)
                raise
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): make room there, or choose another place") from error


def read_results(path: Path) -> list[AttackResult]:
    """All rows of a file; none when it does not exist yet.

    Raises:
        UserError: a line is damaged, or of a newer schema.
    """
    return read_lines(path, AttackResult.from_json)


def read_lines(path: Path, parse: Callable[[str], Any]) -> list:
    """What `parse` makes of each line of a text file; a line it cannot read is named, with the remedy."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not text ({error}): give a run folder or a .jsonl of result rows") from error
    return [_parse_line(path, number, line, parse) for number, line in enumerate(lines, 1) if line.strip()]


def _parse_line(path: Path, number: int, line: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(line)
    except UserError as error:
        raise UserError(f"{path} line {number}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} line {number} is damaged ({error}): delete that line or make the file anew") from error


def _write_all(file: io.FileIO, contents: bytes) -> None:
    while contents:
        contents = contents[file.write(contents) :]
    os.fsync(file.fileno())


def _bits(flags: Sequence[bool]) -> str:
    return "".join("1" if flag else "0" for flag in flags)


def _span(index: Sequence[int]) -> str | list[int]:
    numbers = list(index)
    unbroken = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{numbers[0]}:{numbers[-1] + 1}" if unbroken else numbers
