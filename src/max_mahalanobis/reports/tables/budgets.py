"""Suites beside each other at every budget: how far apart what they report is, and what each costs."""

from collections.abc import Sequence
from itertools import groupby

from ...results import AttackResult, cross_entropy_rows
from ..conditions import FIXED, Condition, conditions, eps_text, norm_name, rows_under
from ..reading import RunRecord
from ..verdicts import clean_accuracy, robust_accuracy
from .cells import NOTHING, Cell, Table, share_cell

PASSES = "Under a suite: its worst case, and the forward and backward passes it took per image right when clean."
PLAIN = "Cross-entropy PGD: the strongest one that met every image, in any of the suites."


def budget_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """For each set of images and norm met by several suites or at several budgets: a line for each run and budget."""
    found = sorted(conditions(runs, FIXED), key=lambda c: (_images(c), c.eps))
    together = [list(same) for _, same in groupby(found, _images)]
    return [_table(runs, same) for same in together if len(same) > 1]


def _images(condition: Condition) -> tuple:
    return condition.data, condition.data_hash, condition.split, condition.threat, condition.index


def _table(runs: Sequence[RunRecord], found: list[Condition]) -> Table:
    suites = [suite for suite in dict.fromkeys(row.suite for run in runs for row in run.results) if suite in _of(found)]
    lines = []
    for run in runs:
        for eps in dict.fromkeys(c.eps for c in found):
            rows = [row for c in found if c.eps == eps for row in rows_under(run, c)]
            if rows:
                lines.append((Cell(run.name), Cell(eps_text(eps, found[0].threat)), *_cells(rows, suites)))
    title = f"{found[0].images}, {norm_name(found[0].threat)}, by budget and suite"
    header = ("run", "eps", "clean", "cross-entropy PGD", *suites)
    return Table(title, header, tuple(lines), (PLAIN, PASSES), keys=2)


def _cells(rows: list[AttackResult], suites: Sequence[str]) -> list[Cell]:
    plain = [row for row in cross_entropy_rows(rows) if row.settings.get("attack") == "pgd"]
    best = share_cell(robust_accuracy(plain[:1])) if plain else Cell(NOTHING)
    by_suite = [[row for row in rows if row.suite == suite] for suite in suites]
    return [share_cell(clean_accuracy(rows)), best, *map(_suite_cell, by_suite)]


def _suite_cell(rows: list[AttackResult]) -> Cell:
    if not rows:
        return Cell(NOTHING)
    cell = share_cell(robust_accuracy(rows))
    passes = sum(row.forwards + row.backwards for row in rows) / max(1, rows[0].num_correct)
    return cell._replace(detail=f"{cell.detail} {passes:,.0f} passes")


def _of(found: Sequence[Condition]) -> set[str]:
    return {condition.suite for condition in found}
