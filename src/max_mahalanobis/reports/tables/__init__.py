"""Rows of evidence as tables: plain data first, then markdown, the terminal, a page, LaTeX or CSV."""

from .accuracy import accuracy_tables
from .budgets import budget_tables
from .cells import DAGGER, NOTHING, Cell, Table, narrow
from .classes import class_tables
from .costs import cost_tables
from .drawn import as_markdown, as_rich
from .every import every_table
from .flat import as_csv
from .ladder import ladder_tables
from .latex import as_latex
from .pairs import pair_table
from .protocols import protocol_tables
from .recipes import recipe_table
from .repeat import repeat_table
from .steps import steps_tables
from .sweep import sweep_table
from .switches import switch_tables
from .trainings import training_table
from .unions import union_tables

__all__ = [
    "DAGGER",
    "NOTHING",
    "Cell",
    "Table",
    "accuracy_tables",
    "as_csv",
    "as_latex",
    "as_markdown",
    "as_rich",
    "budget_tables",
    "class_tables",
    "cost_tables",
    "every_table",
    "ladder_tables",
    "narrow",
    "pair_table",
    "protocol_tables",
    "recipe_table",
    "repeat_table",
    "steps_tables",
    "sweep_table",
    "switch_tables",
    "training_table",
    "union_tables",
]
