"""How accuracy falls with steps: one attack with few steps beside the same with more."""

import json
from collections.abc import Sequence
from itertools import groupby

from ...results import AttackResult, is_cascade
from ...statistics import paired_difference
from ..conditions import CURVE, FIXED, Condition, conditions, rows_under
from ..reading import RunRecord
from ..verdicts import robust_accuracy
from .cells import NOTHING, Cell, Table, difference_cell, share_cell

UNALIKE = {"steps", "step_size", "batch_size"}  # settings in which rows of one line may differ
FALLS = (
    "Accuracies in %, on the same images. Last: the most steps less the fewest, in points, with a 95 % interval "
    "(Newcombe 1998). While more steps still take accuracy away, the attack has not ended."
)


def steps_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """For each set of images and budget at which a run met one attack with several numbers of steps, in any suite."""
    found = sorted(conditions(runs, FIXED, CURVE), key=_images)
    tables = [_table(runs, list(same)) for _, same in groupby(found, _images)]
    return [table for table in tables if table is not None]


def _images(condition: Condition) -> tuple:
    return condition.data, condition.data_hash, condition.split, condition.threat, condition.eps, condition.index


def _table(runs: Sequence[RunRecord], found: list[Condition]) -> Table | None:
    several = [(run.name, rows) for run in runs for rows in _series([row for c in found for row in rows_under(run, c)])]
    if not several:
        return None
    counts = sorted({row.settings["steps"] for _, rows in several for row in rows})
    lines = tuple(_line(name, rows, counts) for name, rows in several)
    header = ("run", "attack", *(f"{count} steps" for count in counts), "most less fewest")
    return Table(f"{found[0].images}, {found[0].budget}, by steps", header, lines, (FALLS,), keys=2)


def _series(rows: Sequence[AttackResult]) -> list[list[AttackResult]]:
    """Rows alike but for their steps, fewest first, of each number the last; only of attacks that met every image."""
    alike: dict[str, dict[int, AttackResult]] = {}
    for row in rows:
        if isinstance(row.settings.get("steps"), int) and not is_cascade([row]):
            alike.setdefault(_kind(row), {})[row.settings["steps"]] = row
    return [[by[steps] for steps in sorted(by)] for by in alike.values() if len(by) > 1]


def _kind(row: AttackResult) -> str:
    settings = {key: value for key, value in row.settings.items() if key not in UNALIKE}
    return json.dumps([settings, row.seed], sort_keys=True)


def _line(name: str, rows: list[AttackResult], counts: Sequence[int]) -> tuple[Cell, ...]:
    by = {row.settings["steps"]: share_cell(robust_accuracy([row])) for row in rows}
    few, many = ([not fooled for fooled in row.fooled] for row in (rows[0], rows[-1]))
    attack = rows[0].attack.replace(f"-{rows[0].settings['steps']}", "", 1)
    return Cell(name), Cell(attack), *(by.get(c, Cell(NOTHING)) for c in counts), _fall(many, few)


def _fall(many: Sequence[bool], few: Sequence[bool]) -> Cell:
    return difference_cell(paired_difference(many, few))
