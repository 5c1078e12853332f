"""Which attack broke which share of the images, in order: a line for each run and attack that broke any."""

from collections.abc import Sequence

from ...results import is_cascade
from ...statistics import proportion
from ..conditions import FIXED, Condition, conditions, rows_under, titles
from ..reading import RunRecord
from ..unions import union
from .cells import Cell, Table, share_cell

ONCE = "Every image counts once, for the first attack that fooled it; shares are of all images, in %."
CASCADE = "Attacks of a cascade stand in its order; “tried on” says how many images each met."
GREEDY = "Attacks that met every image stand in greedy order, each time the one that breaks most of what still holds."


def union_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """One table per condition at a fixed budget at which at least one run met several attacks."""
    found = conditions(runs, FIXED)
    tables = (_table(runs, c, title) for c, title in zip(found, titles(found), strict=True))
    return [table for table in tables if table is not None]


def _table(runs: Sequence[RunRecord], condition: Condition, title: str) -> Table | None:
    met = [(run.name, rows_under(run, condition)) for run in runs]
    met = [(name, rows) for name, rows in met if len({row.attack for row in rows}) > 1]
    if not met:
        return None
    cascades = {is_cascade(rows) for _, rows in met}
    lines = tuple(line for name, rows in met for line in _lines(name, rows))
    notes = (ONCE, *([CASCADE] if True in cascades else []), *([GREEDY] if False in cascades else []))
    return Table(title, ("run", "attack", "tried on", "broke", "left after it"), lines, notes, keys=2)


def _lines(name: str, rows: Sequence) -> list[tuple[Cell, ...]]:
    """The images wrong when clean, the attacks that broke any; then how many broke none."""
    total, shares = rows[0].num_images, union(rows)
    right = rows[0].num_correct
    wrong = (Cell("wrong when clean"), Cell(str(total)), _share(total - right, total), _share(right, total))
    broke = [
        (Cell(share.attack), Cell(str(share.met)), _share(share.fell, total), _share(share.left, total))
        for share in shares
        if share.fell
    ]
    idle = [share for share in shares if not share.fell]
    most = max((share.met for share in idle), default=0)
    others = f"{len(idle)} other{'s' if len(idle) > 1 else ''}"
    rest = [(Cell(others), Cell(str(most)), _share(0, total), _share(shares[-1].left, total))] if idle else []
    return [(Cell(name), *line) for line in (wrong, *broke, *rest)]


def _share(count: int, total: int) -> Cell:
    return share_cell(proportion(count, total))
