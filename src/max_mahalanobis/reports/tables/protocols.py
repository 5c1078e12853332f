"""The paper's protocol beside an honest one: what each reports of the same images at nearly the same budget."""

from collections.abc import Sequence

from ...results import AttackResult
from ...statistics import paired_difference
from ..conditions import Condition, norm_name
from ..protocols import Beside, beside, held, in_256ths
from ..reading import RunRecord
from ..verdicts import MAX_P_VALUE, MIN_POINTS, clean_accuracy
from .cells import DAGGER, Cell, Table, difference_cell, held_cell, share_cell

DIFFERS = (
    "Honest: an image that any attack fooled is fooled, the paper's among them. What differs, a line each below: the "
    "paper's scripts (Pang et al. 2020) count budgets in 1/256, take steps of 2/256 whatever the budget, climb "
    "cross-entropy alone, and where targeted aim at one random wrong class."
)
LEFT_OUT = (
    "Three habits of the scripts are in neither number. A box wider than [0, 1], which allows images that are none: "
    "here every image is verified. Labels guessed from the model: here the true ones. Weights chosen by the test "
    "images: runs trained here end with the last, or with those best on validation images held out of training."
)
POINTS = (
    "Worst cases in %, with 95 % Wilson intervals, and how many attacks; last the paper's less the honest one, "
    "in points, with a 95 % interval (Newcombe 1998)."
)
NOT_ROBUSTNESS = f"{DAGGER} not robustness: an honest protocol leaves at least 5 points less (p < 0.01)."


def protocol_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """For each set of images and norm on which a run met both: a line for each run and budget of the paper's."""
    lines: dict[Condition, list[tuple[Cell, ...]]] = {}
    for each in beside(runs):
        lines.setdefault(each.paper._replace(eps=0.0), []).append(_line(each))
    header = ("run", "paper's eps", "clean", "paper's protocol", "eps", "honest", "difference")
    return [
        Table(f"{c.images}, {norm_name(c.threat)}, by protocol", header, tuple(some), _notes(some), keys=2)
        for c, some in lines.items()
    ]


def _line(each: Beside) -> tuple[Cell, ...]:
    theirs, together = held(each.theirs), held(each.together)
    apart = paired_difference(theirs, together)
    suspect = 100 * apart.value >= MIN_POINTS and apart.p_value < MAX_P_VALUE
    suites = ", ".join(dict.fromkeys(row.suite for row in each.honest))
    return (
        Cell(each.run.name),
        Cell(in_256ths(each.paper.eps, each.paper.threat)),
        share_cell(clean_accuracy(each.theirs)),
        _worst(each.theirs, theirs)._replace(suspect=suspect),
        Cell(in_256ths(each.eps, each.paper.threat), suites),
        _worst(each.together, together),
        difference_cell(apart),
    )


def _worst(rows: Sequence[AttackResult], left: Sequence[bool]) -> Cell:
    cell = held_cell(left)
    return cell._replace(detail=f"{cell.detail} of {len({(row.suite, row.attack) for row in rows})} attacks")


def _notes(lines: Sequence[Sequence[Cell]]) -> tuple[str, ...]:
    suspect = any(cell.suspect for line in lines for cell in line)
    return (POINTS, DIFFERS, LEFT_OUT, *([NOT_ROBUSTNESS] if suspect else []))
