"""How well each class holds, clean and in the worst case, and whether chance alone would part them this far."""

from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult, worst_case
from ..statistics import Proportion, proportion
from .conditions import FIXED, Condition, condition_of, conditions, rows_under
from .reading import RunRecord


class ClassShare(NamedTuple):
    """Of the images of one class: the share right when clean, and the share that no attack fooled."""

    label: int
    clean: Proportion
    robust: Proportion


def labelled(runs: Sequence[RunRecord]) -> dict[Condition, Sequence[int]]:
    """The conditions at one budget whose images have labels, in any run's rows: equal images have equal labels."""
    found = {condition_of(row): row.labels for run in runs for row in run.results if len(row.labels)}
    return {condition: found[condition] for condition in conditions(runs, FIXED) if condition in found}


def by_class(run: RunRecord, condition: Condition, labels: Sequence[int]) -> list[ClassShare]:
    """Every class that has images, in order; none where the run has no rows under the condition."""
    rows = rows_under(run, condition)
    return _shares(rows, labels) if rows else []


def chance(shares: Sequence[ClassShare]) -> float:
    """How often chance alone would part classes that hold alike this far in the worst case (chi-squared test)."""
    from scipy.stats import chi2_contingency

    held = [share.robust.count for share in shares]
    fell = [share.robust.total - share.robust.count for share in shares]
    if len(shares) < 2 or not sum(held) or not sum(fell):
        return 1.0
    return float(chi2_contingency([held, fell], correction=False).pvalue)


def _shares(rows: Sequence[AttackResult], labels: Sequence[int]) -> list[ClassShare]:
    counts: dict[int, list[int]] = {label: [0, 0, 0] for label in sorted(set(labels))}
    for label, right, fooled in zip(labels, rows[0].correct, worst_case(rows), strict=True):
        counts[label] = [sum(pair) for pair in zip(counts[label], (1, right, not fooled), strict=True)]
    return [
        ClassShare(label, proportion(right, total), proportion(held, total))
        for label, (total, right, held) in counts.items()
    ]
