"""What a table is made of, drawn nowhere yet."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...results import AttackResult
from ...statistics import Difference, Proportion, Seeds, proportion
from ..conditions import Condition, rows_under
from ..reading import RunRecord

NOTHING = "–"
DAGGER = "†"


class Cell(NamedTuple):
    """What stands in one place of a table; `detail` is said more quietly, a `suspect` number carries a dagger.

    `number` is what the text rounds, for machines: a share of images, a difference of two, a mean over seeds.
    """

    text: str
    detail: str = ""
    suspect: bool = False
    number: Proportion | Difference | Seeds | None = None


class Table(NamedTuple):
    """Plain data, drawn nowhere yet.

    `keys`: how many of the first columns name a line. `turned`: each line of it became a column.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    keys: int = 1
    turned: bool = False


def lines(
    runs: Sequence[RunRecord],
    condition: Condition,
    numbers: Callable[[list[AttackResult], Sequence[str]], list[Cell]],
) -> tuple[list[str], tuple[tuple[Cell, ...], ...]]:
    """The attacks in order of appearance, and for each run that met the condition its name and `numbers`."""
    met = [(run.name, rows_under(run, condition)) for run in runs]
    met = [(name, rows) for name, rows in met if rows]
    attacks = list(dict.fromkeys(row.attack for _, rows in met for row in rows))
    return attacks, tuple((Cell(name), *numbers(rows, attacks)) for name, rows in met)


def share_cell(share: Proportion) -> Cell:
    """A share in percent with its interval."""
    return Cell(f"{100 * share.value:.1f}", f"[{100 * share.low:.1f}, {100 * share.high:.1f}]", number=share)


def held_cell(held: Sequence[bool]) -> Cell:
    """The share of images that hold."""
    return share_cell(proportion(sum(held), len(held)))


def difference_cell(found: Difference, suspect: bool = False) -> Cell:
    """A difference of two shares in points, with its interval."""
    value, low, high = (f"{100 * share:+.1f}" for share in found[:3])
    return Cell(value, f"[{low}, {high}]", suspect, found)


def any_missing(rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether a run did not meet one of the attacks."""
    return any(cell.text == NOTHING for row in rows for cell in row)


def narrow(table: Table) -> Table:
    """Rows and columns exchanged where that leaves fewer columns; where two columns name a line they stay."""
    if table.keys > 1 or len(table.header) <= len(table.rows) + 1:
        return table
    corner, *columns = table.header
    names = (row[0].text for row in table.rows)
    rows = [(Cell(name), *(row[place] for row in table.rows)) for place, name in enumerate(columns, 1)]
    header = ("" if corner == "run" else corner, *names)
    return table._replace(header=header, rows=tuple(rows), turned=True)
