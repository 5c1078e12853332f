"""Two runs beside each other on the same images: by how much the first is better, and whether that is chance."""

from collections.abc import Sequence
from itertools import combinations

from ...results import AttackResult, worst_case
from ...statistics import Difference, paired_difference
from ..conditions import main_condition, rows_under
from ..reading import RunRecord
from .cells import Cell, Table, difference_cell

PAIRED = (
    "Points by which a run's accuracy is above that of the run it stands against, on the same images, with 95 % "
    "intervals (Newcombe 1998). In the worst case: how many images hold in one run only, left and right, and p of the "
    "exact McNemar test."
)
OTHERS = "† the two did not meet the same attacks: the difference may be one of the attacks."


def pair_table(runs: Sequence[RunRecord]) -> Table | None:
    """Every pair of runs where most of them met (`main_condition`); none where fewer than two did."""
    condition = main_condition(runs)
    met = [(run.name, rows) for run in runs if condition and (rows := rows_under(run, condition))]
    if len(met) < 2:
        return None
    lines = tuple(_line(*pair) for pair in combinations(met, 2))
    notes = (PAIRED, *([OTHERS] if any(cell.suspect for line in lines for cell in line) else []))
    header = ("run", "against", "clean", "worst case", "only one holds", "p")
    title = f"{condition.images}, {condition.budget}, suite {condition.suite}, paired"
    return Table(title, header, lines, notes, keys=2)


def _line(first: tuple[str, list[AttackResult]], second: tuple[str, list[AttackResult]]) -> tuple[Cell, ...]:
    (name, rows), (other, others) = first, second
    clean = paired_difference(rows[0].correct, others[0].correct)
    worst = paired_difference(*([not fooled for fooled in worst_case(some)] for some in (rows, others)))
    unlike = {row.attack for row in rows} != {row.attack for row in others}
    alone = Cell(f"{worst.only_first} : {worst.only_second}")
    return Cell(name), Cell(other), difference_cell(clean), difference_cell(worst, unlike), alone, _p_cell(worst)


def _p_cell(found: Difference) -> Cell:
    return Cell("< 0.001" if found.p_value < 0.001 else f"{found.p_value:.2g}")
