"""Rows of evidence as tables: plain data first, then markdown, the terminal or a page."""

from .accuracy import accuracy_tables
from .budgets import budget_tables
from .cells import Cell, Table, narrow
from .costs import cost_tables
from .drawn import as_markdown, as_rich
from .recipes import recipe_table

__all__ = [
    "Cell",
    "Table",
    "accuracy_tables",
    "as_markdown",
    "as_rich",
    "budget_tables",
    "cost_tables",
    "narrow",
    "recipe_table",
]
