"""Numbers in words: what the rows say, how sure they are, what they do not settle."""

from collections.abc import Sequence
from typing import NamedTuple

from ..results import worst_case
from ..statistics import Proportion
from .conditions import Condition, conditions, main_condition, rows_under
from .reading import RunRecord
from .verdicts import (
    MAX_P_VALUE,
    MIN_POINTS,
    Comparison,
    adaptive_rows,
    clean_accuracy,
    compare,
    cross_entropy_rows,
    p_value,
    robust_accuracy,
)

SATURATED = (
    "The likely cause: where distances saturate, the softmax is exactly one and its gradient exactly zero, "
    "so that attack has nothing to follow."
)
FLOAT32_UNDERFLOW = 104.0  # exp(-104) is 0
UNEXPLAINED = "These rows do not show why; a gradient that vanishes under cross-entropy is the usual cause."


class Sentence(NamedTuple):
    """Something true of the rows; `warns` when a number in them must not be believed."""

    text: str
    warns: bool = False


class Standing(NamedTuple):
    """Where one run stands under one condition."""

    name: str
    clean: Proportion
    worst: Proportion
    fooled: tuple[bool, ...]
    attacks: tuple[str, ...]


def findings(runs: Sequence[RunRecord]) -> list[Sentence]:
    """For every condition and run, whether the cross-entropy number is robustness."""
    return [finding(run, condition) for condition in conditions(runs) for run in runs if rows_under(run, condition)]


def finding(run: RunRecord, condition: Condition) -> Sentence:
    """Whether cross-entropy overstates this run's robustness under the condition."""
    rows = rows_under(run, condition)
    adaptive, plain = adaptive_rows(rows), cross_entropy_rows(rows)
    where = f"{run.name} ({condition.budget}, {condition.images}, suite {condition.suite})"
    if not adaptive:
        remedy = "run `mmc evaluate` with a suite that has them"
        return Sentence(f"{where}: no adaptive objective was tried, so robustness is unknown; {remedy}.", warns=True)
    if not plain:
        worst = f"the adaptive objectives leave at most {_percent(robust_accuracy(adaptive))}"
        return Sentence(f"{where}: {worst}; no iterative cross-entropy attack is there to compare.")
    comparison = compare(plain[0], adaptive)
    return Sentence(f"{where}: {_compared(comparison, run.recipe or {})}", comparison.overstated)


def take_away(runs: Sequence[RunRecord]) -> str:
    """One sentence over all runs, where most of them were compared."""
    condition = main_condition(runs)
    if condition is None:
        return "There are no attack rows beyond the budget curve: run `mmc evaluate` for a table."
    standings = [_standing(run, condition) for run in runs if rows_under(run, condition)]
    standings.sort(key=lambda standing: (-standing.worst.count, -standing.clean.count))
    best, rest = standings[0], standings[1:]
    start = f"On {condition.images} with {condition.budget}, {best.name}"
    lost = f"{100 * (best.clean.value - best.worst.value):.1f} points"
    if not rest:
        worst = f"at most {best.worst} in the worst case of {_attacks(best)}"
        return f"{start} is right on {_percent(best.clean)} when clean and on {worst}: {lost} less."
    worst = f"at most {best.worst} under {_attacks(best)}, {lost} below its clean {_percent(best.clean)}"
    return f"{start} has the best worst case of {len(standings)} runs: {worst}. {_rivals(best, rest)}"


def alarms(runs: Sequence[RunRecord]) -> list[Sentence]:
    """The findings that warn, where most runs were compared: what must stand beside the take-away."""
    condition = main_condition(runs)
    met = [run for run in runs if condition is not None and rows_under(run, condition)]
    return [found for found in (finding(run, condition) for run in met) if found.warns]


def _compared(found: Comparison, recipe: dict) -> str:
    who = "cross-entropy PGD" if found.attack.startswith("pgd") else found.attack
    numbers = f"{who} reports {_percent(found.cross_entropy)}, the adaptive objectives {_percent(found.adaptive)}"
    if found.overstated:
        cause = SATURATED if _can_saturate(recipe) else UNEXPLAINED
        return f"{numbers}: the first number is not robustness. {cause}"
    if found.differs:
        return f"{numbers}: cross-entropy is the stronger attack here, and the lower number is the one to quote."
    if abs(found.gap) >= MIN_POINTS:
        doubt = f"{found.adaptive.total} images are too few to tell (p {_p_text(found.p_value)})"
        return f"{numbers}: {abs(found.gap):.1f} points apart, but {doubt}."
    return f"{numbers}: they agree within {abs(found.gap):.1f} points."


def _can_saturate(recipe: dict) -> bool:
    """Whether, at an MMC center, the other classes' softmax is zero in float32."""
    if recipe.get("head") != "mmc":
        return False
    classes = recipe.get("trained_on", {}).get("num_classes", 10)
    return recipe.get("norm", 10.0) ** 2 * 2 * classes / (classes - 1) > FLOAT32_UNDERFLOW


def _standing(run: RunRecord, condition: Condition) -> Standing:
    rows = rows_under(run, condition)
    attacks = tuple(sorted({row.attack for row in rows}))
    return Standing(run.name, clean_accuracy(rows), robust_accuracy(rows), tuple(worst_case(rows)), attacks)


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


def _attacks(standing: Standing) -> str:
    return f"{len(standing.attacks)} attacks" if len(standing.attacks) > 1 else f"one attack ({standing.attacks[0]})"


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _percent(share: Proportion) -> str:
    return f"{100 * share.value:.1f} %"
