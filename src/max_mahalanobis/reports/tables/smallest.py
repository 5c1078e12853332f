"""Sizes of the smallest perturbations found, where nothing limits the adversary: a run a line."""

from collections.abc import Sequence

from ...results import AttackResult
from ..conditions import Condition, is_in_levels, size_text, size_unit
from ..reading import RunRecord
from ..sizes import smallest_sizes, summary
from ..verdicts import clean_accuracy
from .cells import NOTHING, Cell, Table, any_missing, lines, share_cell

MEDIANS = (
    "Clean accuracy in %; then the median size of the smallest perturbations found that fool, in parentheses the "
    "quartiles, and how many images fell. Each is an upper bound of the true size."
)
ENDS = "Images wrong when clean count as fallen at 0; those that no attack fooled count as infinite (∞)."


def smallest_table(runs: Sequence[RunRecord], condition: Condition, title: str) -> Table:
    """Per attack, and per image the smallest over all attacks."""

    def numbers(rows: list[AttackResult], attacks: Sequence[str]) -> list[Cell]:
        mine = [[row for row in rows if row.attack == attack] for attack in attacks]
        return [share_cell(clean_accuracy(rows)), *(_size_cell(some, condition.threat) for some in (*mine, rows))]

    attacks, rows = lines(runs, condition, numbers)
    missing = f"{NOTHING} this attack was not run, so that smallest size is over fewer attacks."
    unit = "" if is_in_levels(condition.threat) else f" Sizes: {size_unit(condition.threat)}."
    notes = (MEDIANS + unit, ENDS, *([missing] if any_missing(rows) else []))
    return Table(title, ("run", "clean", *attacks, "smallest of all"), rows, notes)


def _size_cell(rows: list[AttackResult], threat: str) -> Cell:
    if not rows:
        return Cell(NOTHING)
    found = summary(smallest_sizes(rows))
    low, median, high = (size_text(size, threat) for size in (found.low, found.median, found.high))
    return Cell(median, f"({low.removesuffix('/255')} to {high}) {found.fell} fell")
