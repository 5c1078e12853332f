"""What each attack cost, in passes per image and in seconds: a run a line."""

from collections.abc import Sequence

from ...results import AttackResult, is_cascade
from ..conditions import FIXED, MINIMUM_NORM, TRANSFORMATIONS, Condition, conditions, titles
from ..reading import RunRecord
from ..verdicts import met
from .cells import NOTHING, Cell, Table, lines

COST = (
    "Forward and backward passes per image attacked, then seconds for all of them; images wrong when clean are not "
    "attacked."
)
CASCADE = "In a cascade passes are per image that met the attack; together, per image that met any."


def cost_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """One table per condition: what each attack cost, in passes per image and in seconds."""
    found = conditions(runs, FIXED, MINIMUM_NORM, TRANSFORMATIONS)
    return [_cost_table(runs, c, title) for c, title in zip(found, titles(found), strict=True)]


def _cost_table(runs: Sequence[RunRecord], condition: Condition, title: str) -> Table:
    cascades: list[bool] = []

    def numbers(rows: list[AttackResult], attacks: Sequence[str]) -> list[Cell]:
        cascades.append(is_cascade(rows))
        mine = [[row for row in rows if row.attack == attack] for attack in attacks]
        return [_cost(some, cascades[-1]) for some in (*mine, rows)]

    attacks, rows = lines(runs, condition, numbers)
    notes = (COST, CASCADE) if any(cascades) else (COST,)
    return Table(title, ("run", *attacks, "together"), rows, notes)


def _cost(rows: list[AttackResult], cascade: bool) -> Cell:
    """Of one row, its `passes_per_image`; of several, all passes over the images that met any of them."""
    if not rows:
        return Cell(NOTHING)
    passes = sum(row.forwards + row.backwards for row in rows) / max(1, met(rows))
    tried = f", met {met(rows)}" if cascade else ""
    return Cell(f"{passes:,.1f}", f"{sum(row.seconds for row in rows):.2f} s{tried}")
