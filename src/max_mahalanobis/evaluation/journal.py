"""What an unfinished evaluation has found so far, image by image, so that a killed one goes on where it stopped."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..files import append_lines, read_lines, write_atomically


class Outcomes(NamedTuple):
    """What one attack did to some images: one entry per image, and what that cost."""

    index: Sequence[int]
    fooled: Sequence[bool]
    size: Sequence[float]
    forwards: int
    backwards: int
    seconds: float
    non_finite: int
    data: str = ""
    """which images and labels these are: `identity.data_hash` of them"""
    lost: Sequence[int] = ()
    """images that the attack had fooled and handed back as something else, where it was watched"""


class Journal:
    """One file of one process in the folder of an evaluation; all files of the folder are read.

    A line belongs to the attack, model, data, budget, seed and versions its key was made of; lines under other keys
    are left alone, so nothing of another model or setting is ever mixed in.
    """

    def __init__(self, folder: Path, *, name: str = "0"):
        self.folder = folder
        self._file = folder / f"{name}.jsonl"
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        lines = [line for file in files for line in read_lines(file, _whole_or_none) if line is not None]
        self._known: dict[str, list[Outcomes]] = {}
        for key, outcomes in lines:
            self._known.setdefault(key, []).append(outcomes)

    @classmethod
    def continuing(cls, folder: Path, *, name: str) -> "Journal":
        """The journal of a process, with all that earlier ones found in it: it replaces their files.

        One that is still at work begins a new file with its next batch. A line that it wrote just now may be lost:
        whoever needs that batch attacks it again.
        """
        mine, earlier = folder / f"{name}.jsonl", sorted(folder.glob("*.jsonl"))
        lines: dict[str, None] = {}
        for file in earlier:
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                lines |= dict.fromkeys(file.read_text(encoding="utf-8", errors="replace").splitlines())
        if earlier:
            write_atomically(mine, "".join(f"{line}\n" for line in lines).encode())
        for file in earlier:
            if file != mine:
                file.unlink(missing_ok=True)
        return cls(folder, name=name)

    def known(
        self, key: str, index: Sequence[int], is_same: Callable[[Outcomes], bool] = lambda _: True
    ) -> list[Outcomes]:
        """What was found before about any of these images; `is_same` says whether an index still means that image."""
        wanted, found = set(index), []
        for outcomes in self._known.get(key, []):
            if wanted.issuperset(outcomes.index) and is_same(outcomes):
                found.append(outcomes)
                wanted.difference_update(outcomes.index)
        return found

    def write(self, key: str, outcomes: Outcomes) -> None:
        """One more batch is done; on disk before this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        append_lines(self._file, [json.dumps([key, *outcomes])])

    def close(self) -> None:
        """The evaluation is complete and its rows are recorded: nothing is left to continue."""
        for file in self.folder.glob("*.jsonl"):
            file.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def key_of(**identity: object) -> str:
    """A short name of everything that decides an outcome."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]


def _whole_or_none(line: str) -> tuple[str, Outcomes] | None:
    """A line torn by a crash is left out: that batch is attacked again."""
    try:
        key, *fields = json.loads(line)
        return key, Outcomes(*fields)
    except (ValueError, TypeError):
        return None
