"""What rows under one condition amount to: the worst case, and what cross-entropy alone would have said."""

from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult, climbs, cross_entropy_rows, is_cascade, worst_case
from ..statistics import Proportion, mcnemar, proportion

MIN_POINTS = 5.0  # a smaller gap is not called an overstatement
MAX_P_VALUE = 0.01


class Comparison(NamedTuple):
    """One cross-entropy attack beside the worst case of the adaptive objectives, on the same images.

    In a cascade `adaptive` is what the whole of it leaves: that includes what cross-entropy fooled, so it is never
    more, and p < 0.01 says that at least 8 images fell later.
    """

    attack: str
    cross_entropy: Proportion
    adaptive: Proportion
    p_value: float
    cascade: bool = False

    @property
    def gap(self) -> float:
        """Points of accuracy by which cross-entropy reports more; negative when it is the stronger attack."""
        return 100 * (self.cross_entropy.count - self.adaptive.count) / self.adaptive.total

    @property
    def differs(self) -> bool:
        """Whether the gap is both large (5 points) and not chance (p < 0.01)."""
        return abs(self.gap) >= MIN_POINTS and self.p_value < MAX_P_VALUE

    @property
    def overstated(self) -> bool:
        """Whether cross-entropy reports robustness that the adaptive objectives take away."""
        return self.differs and self.gap > 0


def clean_accuracy(rows: Sequence[AttackResult]) -> Proportion:
    """Share of images classified rightly before any attack."""
    return proportion(rows[0].num_correct, rows[0].num_images)


def robust_accuracy(rows: Sequence[AttackResult]) -> Proportion:
    """Share of images none of the attacks fooled: an upper bound of what a perfect adversary would leave."""
    fooled = worst_case(rows)
    return proportion(len(fooled) - sum(fooled), len(fooled))


def met(rows: Sequence[AttackResult]) -> int:
    """How many images at least one of the attacks was tried on."""
    return sum(any(flags) for flags in zip(*(row.attempted for row in rows), strict=True))


def adaptive_rows(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """Attacks that climb any other named objective: margin, own_distance, nearest_other, ..."""
    return [row for row in rows if climbs(row) not in (None, "cross_entropy")]


def comparisons(rows: Sequence[AttackResult]) -> list[Comparison]:
    """Each of `cross_entropy_rows` beside the adaptive objectives, in a cascade beside its end; none without any."""
    adaptive = adaptive_rows(rows)
    others = rows if is_cascade(rows) else adaptive
    return [compare(row, others) for row in cross_entropy_rows(rows)] if adaptive else []


def compare(row: AttackResult, others: Sequence[AttackResult]) -> Comparison:
    """One attack beside the worst case of others, paired image by image (exact McNemar test)."""
    p = p_value(row.fooled, worst_case(others))
    return Comparison(row.attack, robust_accuracy([row]), robust_accuracy(others), p, is_cascade(others))


def p_value(first: Sequence[bool], second: Sequence[bool]) -> float:
    """How often chance alone would part two outcomes on the same images this far (exact McNemar test)."""
    pairs = list(zip(first, second, strict=True))
    return mcnemar(sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs))
