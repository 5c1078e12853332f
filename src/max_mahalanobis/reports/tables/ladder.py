"""From the paper's protocol to an honest one, a difference a line: what each takes away on top of those before it."""

from collections.abc import Callable, Iterator, Sequence

from ...results import AttackResult
from ...statistics import paired_difference
from ..conditions import Condition
from ..protocols import PAPER, Beside, beside, held, in_256ths, title
from ..reading import RunRecord
from .cells import NOTHING, Cell, Table, difference_cell, held_cell

RANDOM = "one random wrong class"  # how rows of the paper's targeted attacks say what they aim at
QUERIES = ("square", "spsa", "random_search", "uniform_noise", "gaussian_noise")
MOST_STEPS = 50  # of the paper's attacks

ADDED = (
    "Accuracy in % that is left when the attacks of a line join those of all lines above it, with 95 % Wilson "
    "intervals, and by how many points that is less (paired, Newcombe 1998). Lines without an attack are left out."
)
IN_ORDER = (
    "In a cascade images that fell do not meet the next attack, so that a line may take what a later one would have "
    "taken too."
)
ALONE = (
    "A difference alone needs the same attack both ways: `mmc evaluate RUN --suite paper_faithful --suite paper --eps "
    "16/256` for the step and the objective, `--suite paper_faithful --eps 16/255` for the budget."
)

Rung = tuple[str, Callable[[AttackResult], bool]]


def ladder_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """For each set of images and budget of the paper's: the lines of every run that met both protocols."""
    lines: dict[Condition, list[tuple[Cell, ...]]] = {}
    for each in beside(runs):
        lines.setdefault(each.paper, []).extend(_lines(each))
    header = ("run", "added", "left", "change", "attacks")
    return [
        Table(f"{title(paper)}, one difference a line", header, tuple(some), (ADDED, IN_ORDER, ALONE), keys=2)
        for paper, some in lines.items()
    ]


def _lines(each: Beside) -> Iterator[tuple[Cell, ...]]:
    """A row is of the first rung that takes it."""
    rungs, rows, before = _rungs(each), [], None
    groups: dict[str, list[AttackResult]] = {words: [] for words, _ in rungs}
    for row in each.together:
        groups[next(words for words, takes in rungs if takes(row))].append(row)
    for words, added in groups.items():
        if not added:
            continue
        rows += added
        now = held(rows)
        change = Cell(NOTHING) if before is None else difference_cell(paired_difference(now, before))
        yield Cell(each.run.name), Cell(words), held_cell(now), change, Cell(str(len(added)))
        before = now


def _rungs(each: Beside) -> tuple[Rung, ...]:
    """In the order of the lines."""
    wider = f"a budget of {in_256ths(each.eps, each.paper.threat)}, " if each.eps > each.paper.eps else ""
    return (
        ("PGD on cross-entropy, 10 steps of 2/256", lambda row: _is_plain(row) and row.settings["steps"] <= 10),
        ("+ 50 such steps", _is_plain),
        ("+ one random wrong class as target", lambda row: row.suite == PAPER and row.settings["attack"] == "pgd"),
        ("+ FGSM, BIM and MIM: all of the paper's attacks", lambda row: row.suite == PAPER),
        (f"+ {wider}steps that grow with the budget", lambda row: _is_short(row) and _climbs_cross_entropy(row)),
        ("+ other objectives", lambda row: _is_short(row) and "targeted" not in row.settings),
        ("+ more steps, restarts", lambda row: "targeted" not in row.settings and not _asks(row)),
        ("+ every likely target", lambda row: not _asks(row)),
        ("+ queries and noise", _asks),
    )


def _is_plain(row: AttackResult) -> bool:
    """The paper's PGD, untargeted."""
    return row.suite == PAPER and row.settings["attack"] == "pgd" and "targeted" not in row.settings


def _is_short(row: AttackResult) -> bool:
    """Follows a gradient, once, with no more steps than the paper's attacks."""
    runs = row.settings.get("restarts", 1) * row.settings.get("times", 1)
    return not _asks(row) and runs == 1 and row.settings.get("steps", 1) <= MOST_STEPS


def _climbs_cross_entropy(row: AttackResult) -> bool:
    target = row.settings.get("targeted", RANDOM)
    return row.settings.get("objective") == "cross_entropy" and target == RANDOM


def _asks(row: AttackResult) -> bool:
    """Only asks the model for answers; what such an attack starts from may have followed a gradient."""
    return row.settings.get("attack") in QUERIES
