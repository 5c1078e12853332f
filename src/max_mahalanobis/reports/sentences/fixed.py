"""At one budget: whether the cross-entropy number is robustness, and which run holds best, in words."""

from collections.abc import Sequence
from typing import NamedTuple

from ...results import is_cascade, worst_case
from ...statistics import Proportion
from ..conditions import Condition, rows_under
from ..reading import RunRecord
from ..verdicts import (
    MAX_P_VALUE,
    MIN_POINTS,
    Comparison,
    adaptive_rows,
    clean_accuracy,
    comparisons,
    p_value,
    robust_accuracy,
)
from .words import Sentence, attacks_in, percent, where

SATURATED = (
    "The likely cause: where distances saturate, the softmax is exactly one and its gradient exactly zero, "
    "so that attack has nothing to follow."
)
FLOAT32_UNDERFLOW = 104.0  # exp(-104) is 0
UNEXPLAINED = "These rows do not show why; a gradient that vanishes under cross-entropy is the usual cause."
UNEXPLAINED_IN_CASCADE = (
    "These rows do not show why: its gradient may vanish, or the attacks that followed may only have tried harder."
)


class Standing(NamedTuple):
    """Where one run stands under one condition."""

    name: str
    clean: Proportion
    worst: Proportion
    fooled: tuple[bool, ...]
    attacks: frozenset[str]
    named: str


def finding(run: RunRecord, condition: Condition) -> Sentence:
    """Whether cross-entropy overstates this run's robustness under the condition."""
    rows = rows_under(run, condition)
    adaptive, compared = adaptive_rows(rows), comparisons(rows)
    start = where(run, condition)
    if not adaptive:
        remedy = "run `mmc evaluate` with a suite that has them"
        return Sentence(f"{start}: no adaptive objective was tried, so robustness is unknown; {remedy}.", warns=True)
    if not compared and is_cascade(rows):
        worst = f"the whole cascade leaves at most {percent(robust_accuracy(rows))}"
        return Sentence(
            f"{start}: {worst}; no iterative cross-entropy attack met every image, so none can be compared."
        )
    if not compared:
        worst = f"the adaptive objectives leave at most {percent(robust_accuracy(adaptive))}"
        return Sentence(f"{start}: {worst}; no iterative cross-entropy attack is there to compare.")
    return Sentence(f"{start}: {_compared(compared[0], run.recipe or {})}", compared[0].overstated)


def ranking(runs: Sequence[RunRecord], condition: Condition) -> str:
    """Which run has the best worst case, and how sure that is."""
    standings = [_standing(run, condition) for run in runs]
    standings.sort(key=lambda standing: (-standing.worst.count, -standing.clean.count))
    best, rest = standings[0], standings[1:]
    start = f"On {condition.images} with {condition.budget}, {best.name}"
    lost = f"{100 * (best.clean.value - best.worst.value):.1f} points"
    if not rest:
        worst = f"at most {best.worst} in the worst case of {best.named}"
        return f"{start} is right on {percent(best.clean)} when clean and on {worst}: {lost} less."
    worst = f"at most {best.worst} under {best.named}, {lost} below its clean {percent(best.clean)}"
    return f"{start} has the best worst case of {len(standings)} runs: {worst}. {_rivals(best, rest)}"


def _compared(found: Comparison, recipe: dict) -> str:
    who = "cross-entropy PGD" if found.attack.startswith("pgd") else found.attack
    others = "the whole cascade leaves" if found.cascade else "the adaptive objectives"
    numbers = f"{who} reports {percent(found.cross_entropy)}, {others} {percent(found.adaptive)}"
    points = f"{abs(found.gap):.1f} points"
    if found.overstated:
        unexplained = UNEXPLAINED_IN_CASCADE if found.cascade else UNEXPLAINED
        return f"{numbers}: the first number is not robustness. {SATURATED if _can_saturate(recipe) else unexplained}"
    if found.differs:
        return f"{numbers}: cross-entropy is the stronger attack here, and the lower number is the one to quote."
    if abs(found.gap) >= MIN_POINTS and not found.cascade:
        doubt = f"{found.adaptive.total} images are too few to tell (p {_p_text(found.p_value)})"
        return f"{numbers}: {points} apart, but {doubt}."
    if abs(found.gap) >= MIN_POINTS:
        fell = found.cross_entropy.count - found.adaptive.count
        return f"{numbers}: {points} less, but {fell} of {found.adaptive.total} images are too few to tell."
    return f"{numbers}: {f'only {points} less' if found.cascade else f'they agree within {points}'}."


def _can_saturate(recipe: dict) -> bool:
    """Whether, at an MMC center, the other classes' softmax is zero in float32."""
    if recipe.get("head") != "mmc":
        return False
    classes = recipe.get("trained_on", {}).get("num_classes", 10)
    return recipe.get("norm", 10.0) ** 2 * 2 * classes / (classes - 1) > FLOAT32_UNDERFLOW


def _standing(run: RunRecord, condition: Condition) -> Standing:
    rows = rows_under(run, condition)
    fooled, attacks = tuple(worst_case(rows)), frozenset(row.attack for row in rows)
    return Standing(run.name, clean_accuracy(rows), robust_accuracy(rows), fooled, attacks, attacks_in(rows))


def _rivals(best: Standing, rest: Sequence[Standing]) -> str:
    """What separates the best run from the others, and what does not."""
    near = [other for other in rest if other.worst.high >= best.worst.low]
    parts = [_rival(best, other) for other in near]
    if not near:
        parts.append("No other run's 95 % interval reaches its own.")
    if any(other.attacks != best.attacks for other in rest):
        parts.append("The runs did not all face the same attacks, so this ranking is provisional.")
    return " ".join(parts)


def _rival(best: Standing, other: Standing) -> str:
    p = p_value(best.fooled, other.fooled)
    overlap = f"Its interval overlaps that of {other.name} ({other.worst})"
    if p < MAX_P_VALUE:
        return f"{overlap}, yet image by image the two differ (p {_p_text(p)})."
    return f"{overlap}, and the difference could be chance (p {_p_text(p)}, paired): the order of the two is open."


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
