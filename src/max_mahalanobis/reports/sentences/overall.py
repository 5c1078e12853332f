"""What a report says of all its runs: the take-away, what must stand beside it, and everything found."""

from collections.abc import Sequence

from ..conditions import FIXED, MINIMUM_NORM, PLAIN, TRANSFORMATIONS, Condition, conditions, main_condition, rows_under
from ..reading import RunRecord
from .fixed import finding, ranking
from .suspicions import suspicions
from .unlimited import finding_without_limit, medians
from .words import Sentence


def findings(runs: Sequence[RunRecord]) -> list[Sentence]:
    """What is suspicious about a model; for every condition and run, whether the cross-entropy number is robustness;
    where nothing limits the adversary, the sizes found.
    """
    fixed, unlimited = conditions(runs, FIXED), conditions(runs, MINIMUM_NORM)
    return [*suspicions(runs), *_found(runs, fixed, unlimited)]


def take_away(runs: Sequence[RunRecord]) -> str:
    """One sentence over all runs, where most of them were compared: at one budget, or else without any."""
    condition = main_condition(runs)
    if condition is not None:
        return ranking([run for run in runs if rows_under(run, condition)], condition)
    condition = main_condition(runs, MINIMUM_NORM)
    if condition is not None:
        return medians([run for run in runs if rows_under(run, condition)], condition)
    if conditions(runs, TRANSFORMATIONS):
        return "Transformations are no adversary within a budget: run `mmc evaluate` with another suite for that."
    return "There are no attack rows beyond the budget curve: run `mmc evaluate` for a table."


def alarms(runs: Sequence[RunRecord]) -> list[Sentence]:
    """What must stand beside the take-away: suspicious models, and the findings that warn where most runs met."""
    main, unlimited = (main_condition(runs, kind) for kind in (FIXED, MINIMUM_NORM))
    fixed = [c for c in conditions(runs, FIXED) if main and c._replace(suite=main.suite) == main]  # by any suite
    unlimited = [unlimited] if unlimited else []
    return [*suspicions(runs), *(found for found in _found(runs, fixed, unlimited) if found.warns)]


def _found(runs: Sequence[RunRecord], fixed: list[Condition], unlimited: list[Condition]) -> list[Sentence]:
    suites = [
        condition for condition in fixed if condition.suite != PLAIN
    ]  # which tries no adaptive objective, by design
    told = [(condition, finding) for condition in suites] + [
        (condition, finding_without_limit) for condition in unlimited
    ]
    return [tell(run, condition) for condition, tell in told for run in runs if rows_under(run, condition)]
