"""Which rows may stand beside each other: those about the same images, budget and suite."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult
from .reading import RunRecord

CURVE = "curve"  # the suite of rows made for accuracy against budget
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class Condition(NamedTuple):
    """What rows must share before their accuracies can be compared."""

    data: str
    data_hash: str
    split: str
    suite: str
    threat: str
    eps: float
    index: tuple[int, ...]

    @property
    def budget(self) -> str:
        """The threat and its size in words: Linf eps 8/255."""
        return f"{norm_name(self.threat)} eps {eps_text(self.eps, self.threat)}"

    @property
    def images(self) -> str:
        """Which images: 200 images of digits (test)."""
        return f"{len(self.index)} images of {self.data} ({self.split})"


def condition_of(row: AttackResult) -> Condition:
    """The condition a row was made under."""
    return Condition(row.data, row.data_hash, row.split, row.suite, row.threat, row.eps, tuple(row.index))


def conditions(runs: Sequence[RunRecord], *, curve: bool = False) -> list[Condition]:
    """Every condition in the runs' rows, sorted: of the tables, or (`curve`) of accuracy against budget."""
    found = {condition_of(row) for run in runs for row in run.results if (row.suite == CURVE) == curve}
    return sorted(found, key=lambda c: (c.data, c.split, c.suite, c.threat, c.eps, -len(c.index), c))


def rows_under(run: RunRecord, condition: Condition) -> list[AttackResult]:
    """A run's rows made under the condition."""
    alike = (row for row in run.results if (row.suite, row.eps) == (condition.suite, condition.eps))
    return [row for row in alike if condition_of(row) == condition]


def main_condition(runs: Sequence[RunRecord]) -> Condition | None:
    """Where most runs met: then most images, then most rows, then the smallest budget above 0."""

    def weight(condition: Condition) -> tuple:
        counts = [len(rows_under(run, condition)) for run in runs]
        return sum(map(bool, counts)), len(condition.index), sum(counts), condition.eps > 0, -condition.eps

    return max(conditions(runs), key=weight, default=None)


def titles(found: Sequence[Condition]) -> list[str]:
    """One heading per condition; equal ones are told apart by the hash of the data and the images' positions."""
    plain = [f"{c.images}, {c.budget}, suite {c.suite}" for c in found]
    counts = Counter(plain)
    return [
        text if counts[text] == 1 else f"{text} (data {c.data_hash[:8]}, images {min(c.index)} to {max(c.index)})"
        for text, c in zip(plain, found, strict=True)
    ]


def norm_name(threat: str) -> str:
    """How the norm is written: Linf, L2, L1."""
    return NORMS.get(threat.lower(), threat)


def eps_text(eps: float, threat: str) -> str:
    """A budget as people write it: 8/255 in Linf when it is a whole number of gray levels, else a decimal."""
    levels = eps * 255
    if threat.lower() == "linf" and eps > 0 and abs(levels - round(levels)) < 1e-4 and round(levels) > 0:
        return f"{round(levels)}/255"
    return f"{eps:.4g}"
