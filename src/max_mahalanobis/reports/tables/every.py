"""Every table of a report, by the section it belongs to."""

from collections.abc import Sequence

from ..reading import RunRecord
from .accuracy import accuracy_tables
from .budgets import budget_tables
from .cells import Table
from .classes import class_tables
from .costs import cost_tables
from .ladder import ladder_tables
from .pairs import pair_table
from .protocols import protocol_tables
from .repeat import repeat_table
from .steps import steps_tables
from .switches import switch_tables
from .trainings import training_table
from .unions import union_tables


def every_table(runs: Sequence[RunRecord]) -> dict[str, list[Table]]:
    """The tables of numbers, in the order of the page; sections that have none are empty."""
    trained, paired = training_table(runs), pair_table(runs)
    return {
        "trainings": [trained] if trained else [],
        "accuracy": accuracy_tables(runs),
        "budgets": budget_tables(runs),
        "protocols": [*protocol_tables(runs), *ladder_tables(runs), *switch_tables(runs)],
        "classes": class_tables(runs),
        "pairs": [paired] if paired else [],
        "unions": union_tables(runs),
        "steps": steps_tables(runs),
        "costs": cost_tables(runs),
        "repeat": [repeat_table(runs)],
    }
