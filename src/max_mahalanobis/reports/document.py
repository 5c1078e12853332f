"""Everything a report says in words or in numbers, as one JSON document."""

import json
from collections.abc import Sequence

from .reading import RunRecord
from .sentences import alarms, take_away
from .tables import Cell, Table, every_table

SCHEMA = 2  # 2: verdicts, before one verdict


def as_json(runs: Sequence[RunRecord]) -> str:
    """The report of these runs.

    `schema`: 2, raised when a name below leaves or changes its meaning. `take_away`: a sentence. `alarms`: sentences
    that must stand beside it. `runs`: of each its name, data, weights_hash and the verdicts of `mmc audit`, each with
    `threat`, `eps`, `split` ("" of images from a file), `number`, `interval`, `reliability`, `robustness`, `illusion`,
    `findings`. `tables`: by section
    (trainings, accuracy, budgets, protocols, classes, pairs, unions, steps, costs, repeat) a list of tables with
    `title`, `header`, `keys` (how many of the first columns name a line), `rows` of cells, `notes`. A cell has `text`,
    `detail`, `suspect` and `number`: null, or what the text rounds, unrounded: a share in [0, 1] with `value`, `low`,
    `high`, `count`, `total`; or a difference of two in [-1, 1] with `value`, `low`, `high`, `only_first`,
    `only_second`, `total`, `p_value`.
    """
    document = {
        "schema": SCHEMA,
        "take_away": take_away(runs),
        "alarms": [alarm.text for alarm in alarms(runs)],
        "runs": [_run(run) for run in runs],
        "tables": {
            section: [table_document(table) for table in tables] for section, tables in every_table(runs).items()
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _run(run: RunRecord) -> dict:
    newest = run.results[-1]
    verdicts = [{name: audit[name] for name in ("threat", "eps", "split")} | audit["verdict"] for audit in run.audits]
    return {"name": run.name, "data": newest.data, "weights_hash": newest.weights_hash, "verdicts": verdicts}


def table_document(table: Table) -> dict:
    """A table as plain values, its cells as `as_json` describes them."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return {"title": table.title, "header": table.header, "keys": table.keys, "rows": rows, "notes": table.notes}


def _cell(cell: Cell) -> dict:
    number = cell.number
    if number is not None:
        number = number._asdict() | ({"p_value": number.p_value} if hasattr(number, "p_value") else {})
    return {"text": cell.text, "detail": cell.detail, "suspect": cell.suspect, "number": number}
