"""Accuracy clean, under each attack, and in the worst case of all: a run a line."""

from collections.abc import Sequence

from ...results import AttackResult, is_cascade
from ..conditions import FIXED, MINIMUM_NORM, TRANSFORMATIONS, Condition, conditions, titles
from ..reading import RunRecord
from ..verdicts import clean_accuracy, comparisons, met, robust_accuracy
from .cells import DAGGER, NOTHING, Cell, Table, any_missing, lines, share_cell
from .smallest import smallest_table

UPPER_BOUND = "Accuracies in %, with 95 % Wilson intervals. Under attack each is an upper bound of robust accuracy."
NOT_ROBUSTNESS = f"{DAGGER} not robustness: the adaptive objectives leave at least 5 points less (p < 0.01)."
NOT_ROBUSTNESS_IN_CASCADE = (
    f"{DAGGER} not robustness: the attacks that followed take at least 5 points more (p < 0.01)."
)
CASCADE = (
    "In a cascade images that fall do not meet the next attack: the number says what is left after this attack and "
    "those before it, and “met” how many images it was tried on, where not all."
)


def accuracy_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """One table per condition, a run a line: accuracies, or where nothing limits the adversary the smallest sizes."""
    found = conditions(runs, FIXED, MINIMUM_NORM, TRANSFORMATIONS)
    drawn = {FIXED: _accuracy_table, MINIMUM_NORM: smallest_table, TRANSFORMATIONS: _accuracy_table}
    return [drawn[c.kind](runs, c, title) for c, title in zip(found, titles(found), strict=True)]


def _accuracy_table(runs: Sequence[RunRecord], condition: Condition, title: str) -> Table:
    cascades: list[bool] = []  # of the runs with a suspect number, or with any: which notes are needed
    suspects: list[bool] = []

    def numbers(rows: list[AttackResult], attacks: Sequence[str]) -> list[Cell]:
        overstated = {found.attack for found in comparisons(rows) if found.overstated}
        cascades.append(is_cascade(rows))
        suspects.extend([cascades[-1]] if overstated else [])
        cells = [_attack_cell(rows, attack, attack in overstated) for attack in attacks]
        return [share_cell(clean_accuracy(rows)), *cells, share_cell(robust_accuracy(rows))]

    attacks, rows = lines(runs, condition, numbers)
    said = {
        UPPER_BOUND: True,
        CASCADE: any(cascades),
        NOT_ROBUSTNESS: False in suspects,
        NOT_ROBUSTNESS_IN_CASCADE: True in suspects,
        f"{NOTHING} this attack was not run, so that worst case is over fewer attacks.": any_missing(rows),
    }
    notes = tuple(note for note, holds in said.items() if holds)
    return Table(title, ("run", "clean", *attacks, "worst case"), rows, notes)


def _attack_cell(rows: list[AttackResult], attack: str, suspect: bool) -> Cell:
    """One attack; when it was run with several seeds or settings, their worst case per image, and it says so."""
    mine = [row for row in rows if row.attack == attack]
    if not mine:
        return Cell(NOTHING)
    cell = share_cell(robust_accuracy(mine))
    several = f" worst of {len(mine)}" if len(mine) > 1 else ""
    tried = f" met {met(mine)}" if is_cascade(mine) else ""
    return cell._replace(detail=cell.detail + several + tried, suspect=suspect)
