"""The paper's protocol beside an honest one: what each reports of the same images at the nearest budget."""

from collections.abc import Iterator, Sequence

from ...results import AttackResult, worst_case
from ...statistics import paired_difference
from ..conditions import FIXED, Condition, conditions, eps_text, norm_name, rows_under
from ..reading import RunRecord
from ..verdicts import MAX_P_VALUE, MIN_POINTS, adaptive_rows, clean_accuracy, robust_accuracy
from .cells import DAGGER, Cell, Table, difference_cell, share_cell

PAPER = "paper_faithful"
NEAR = 0.05  # of the budget: 8/256 and 8/255 are 0.004 apart
DIFFERS = (
    "What differs: the paper's scripts (Pang et al. 2020) count budgets in 1/256, take steps of 2/256 whatever the "
    "budget, climb cross-entropy alone, and where targeted aim at one random wrong class; the suites beside them climb "
    "other objectives too."
)
LEFT_OUT = (
    "Two habits of the scripts are in neither number, as every image is verified: a box wider than [0, 1], "
    "which allows images that are none, and labels guessed from the model in place of the true ones."
)
POINTS = (
    "Worst cases in %, with 95 % Wilson intervals, and how many attacks; last the paper's less the honest one, "
    "in points, with a 95 % interval (Newcombe 1998)."
)
NOT_ROBUSTNESS = f"{DAGGER} not robustness: the honest suites leave at least 5 points less (p < 0.01)."


def protocol_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """For each set of images and norm on which a run met both: a line for each run and budget of the paper's."""
    lines: dict[Condition, list[tuple[Cell, ...]]] = {}
    for paper in (c for c in conditions(runs, FIXED) if c.suite == PAPER):
        for run in runs:
            lines.setdefault(paper._replace(eps=0.0), []).extend(_lines(run, paper))
    header = ("run", "paper's eps", "clean", "paper's protocol", "eps", "honest", "difference")
    return [
        Table(f"{c.images}, {norm_name(c.threat)}, by protocol", header, tuple(some), _notes(some), keys=2)
        for c, some in lines.items()
        if some
    ]


def _lines(run: RunRecord, paper: Condition) -> Iterator[tuple[Cell, ...]]:
    """The run's line under one budget of the paper's; none where it did not meet both."""
    theirs, honest = rows_under(run, paper), _nearest(run, paper)
    if not theirs or not honest:
        return
    held = ([not fooled for fooled in worst_case(rows)] for rows in (theirs, honest))
    apart = paired_difference(*held)
    suspect = 100 * apart.value >= MIN_POINTS and apart.p_value < MAX_P_VALUE
    suites = ", ".join(dict.fromkeys(row.suite for row in honest))
    yield (
        Cell(run.name),
        Cell(_in_256ths(paper.eps, paper.threat)),
        share_cell(clean_accuracy(theirs)),
        _worst(theirs)._replace(suspect=suspect),
        Cell(eps_text(honest[0].eps, paper.threat), suites),
        _worst(honest),
        difference_cell(apart),
    )


def _nearest(run: RunRecord, paper: Condition) -> list[AttackResult]:
    """All rows of suites with adaptive objectives on the same images, at the budget that is nearest, if it is near."""
    alike = [
        (other.eps, rows)
        for other in conditions([run], FIXED)
        if other.suite != PAPER
        and other._replace(suite=PAPER, eps=paper.eps) == paper
        and abs(other.eps - paper.eps) <= NEAR * paper.eps
        and adaptive_rows(rows := rows_under(run, other))
    ]
    nearest = min((eps for eps, _ in alike), key=lambda eps: abs(eps - paper.eps), default=None)
    return [row for eps, rows in alike if eps == nearest for row in rows]


def _worst(rows: Sequence[AttackResult]) -> Cell:
    cell = share_cell(robust_accuracy(rows))
    return cell._replace(detail=f"{cell.detail} of {len({row.attack for row in rows})} attacks")


def _in_256ths(eps: float, threat: str) -> str:
    """The paper's way where it is a whole number of 1/256, as in 8/256."""
    parts = eps * 256
    whole = norm_name(threat) == "Linf" and round(parts) > 0 and abs(parts - round(parts)) < 1e-4
    return f"{round(parts)}/256" if whole else eps_text(eps, threat)


def _notes(lines: Sequence[Sequence[Cell]]) -> tuple[str, ...]:
    suspect = any(cell.suspect for line in lines for cell in line)
    return (POINTS, DIFFERS, LEFT_OUT, *([NOT_ROBUSTNESS] if suspect else []))
