"""What rows under one condition amount to: the worst case, and what cross-entropy alone would have said."""

from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult, worst_case
from ..statistics import Proportion, mcnemar, proportion

MIN_POINTS = 5.0  # a smaller gap is not called an overstatement
MAX_P_VALUE = 0.01


class Comparison(NamedTuple):
    """One cross-entropy attack beside the worst case of the adaptive objectives, on the same images."""

    attack: str
    cross_entropy: Proportion
    adaptive: Proportion
    p_value: float

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


def is_iterative(row: AttackResult) -> bool:
    """Does the attack take more than one step? Told by its setting `steps`, else by not being FGSM."""
    steps = row.settings.get("steps")
    return steps > 1 if isinstance(steps, int) else not row.attack.lower().startswith("fgsm")


def cross_entropy_rows(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """Iterative attacks that climb cross-entropy: untargeted ones first, as people quote them, the strongest first."""
    chosen = [row for row in rows if row.settings.get("objective") == "cross_entropy" and is_iterative(row)]
    return sorted(chosen, key=lambda row: ("targeted" in row.settings, row.num_robust))


def adaptive_rows(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """Attacks that climb any other named objective: margin, own_distance, nearest_other, ..."""
    return [row for row in rows if row.settings.get("objective") not in (None, "cross_entropy")]


def compare(row: AttackResult, adaptive: Sequence[AttackResult]) -> Comparison:
    """One attack beside the worst case of others, paired image by image (exact McNemar test)."""
    others = worst_case(adaptive)
    return Comparison(row.attack, robust_accuracy([row]), robust_accuracy(adaptive), p_value(row.fooled, others))


def p_value(first: Sequence[bool], second: Sequence[bool]) -> float:
    """How often chance alone would part two outcomes on the same images this far (exact McNemar test)."""
    pairs = list(zip(first, second, strict=True))
    return mcnemar(sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs))
