"""One difference between the protocols switched alone: the same attacks twice, otherwise with the same settings."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...results import AttackResult, is_cascade
from ...statistics import paired_difference
from ..conditions import Condition
from ..protocols import PAPER, Beside, beside, held, near, title
from ..reading import RunRecord
from .cells import Cell, Table, difference_cell, held_cell
from .ladder import RANDOM

PAIRED = (
    "Worst cases in %, each over the attacks that were run both ways with all other settings alike, with 95 % Wilson "
    "intervals; last the second less the first, in points (paired, Newcombe 1998)."
)


class Switch(NamedTuple):
    """Which rows are the one way, which the other, and the settings in which these two may differ."""

    words: str
    is_paper: Callable[[AttackResult], bool]
    is_other: Callable[[AttackResult], bool]
    free: set[str]


SWITCHES = (
    Switch(
        "steps of a quarter of the budget, not of 2/256",
        lambda row: row.suite == PAPER,
        lambda row: row.suite != PAPER,
        {"step_size"},
    ),
    Switch("a budget in 1/255, not in 1/256", *2 * (lambda row: row.suite == PAPER,), {"eps"}),
    Switch(
        "other objectives, not cross-entropy",
        lambda row: row.settings.get("objective") == "cross_entropy" and "targeted" not in row.settings,
        lambda row: "targeted" not in row.settings,
        {"objective"},
    ),
    Switch(
        "every likely target, not one random one",
        lambda row: row.settings.get("targeted") == RANDOM,
        lambda row: "targeted" in row.settings,
        {"targeted", "top", "smallest", "composed"},
    ),
)


def switch_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """For each set of images and budget of the paper's at which a run met any difference both ways."""
    lines: dict[Condition, list[tuple[Cell, ...]]] = {}
    for each in beside(runs):
        lines.setdefault(each.paper, []).extend(_lines(each))
    header = ("run", "difference", "paper's way", "other way", "change")
    return [
        Table(f"{title(paper)}, one difference alone", header, tuple(some), (PAIRED,), keys=2)
        for paper, some in lines.items()
        if some
    ]


def _lines(each: Beside) -> Iterator[tuple[Cell, ...]]:
    rows = [row for row in near(each.run, each.paper) if not is_cascade([row])]
    for switch in SWITCHES:
        pairs = [(one, other) for one in rows for other in rows if _is_switched(switch, one, other)]
        nearest = min((one.eps for one, _ in pairs), default=None)
        ways = list(zip(*(pair for pair in pairs if pair[0].eps == nearest), strict=True))
        if ways:
            theirs, others = map(held, ways)
            change = difference_cell(paired_difference(others, theirs))
            yield Cell(each.run.name), Cell(switch.words), held_cell(theirs), held_cell(others), change


def _is_switched(switch: Switch, one: AttackResult, other: AttackResult) -> bool:
    """Whether two rows are the one way and the other, and differ in nothing else."""
    if not (switch.is_paper(one) and switch.is_other(other)):
        return False
    first, second = (row.settings | {"eps": row.eps, "seed": row.seed, "batch_size": None} for row in (one, other))
    differ = {name for name in first | second if first.get(name) != second.get(name)}
    return bool(differ) and differ <= switch.free
