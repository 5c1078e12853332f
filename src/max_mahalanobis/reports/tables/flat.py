"""All tables of a report as one list of cells, in CSV."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from .cells import Table

COLUMNS = (
    *("section", "table", "run", "line", "column", "text", "detail", "suspect"),
    *("value", "low", "high", "count", "total"),
)


def as_csv(sections: Mapping[str, Sequence[Table]]) -> str:
    """A cell a line, under the names in `COLUMNS` (RFC 4180, but lines end in a plain newline).

    `line` is what names a line beside the run (an attack, a budget, the other run); `value`, `low` and `high` are
    shares, differences or means of shares, unrounded, and empty where the cell is no such number; `count` is then of
    images, and of seeds for a mean.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for section, tables in sections.items():
        for table in tables:
            writer.writerows([section, table.title, *line] for line in _cells(table))
    return file.getvalue().rstrip("\n")


def _cells(table: Table) -> Iterator[list]:
    for row in table.rows:
        run, line = row[0].text, ", ".join(cell.text for cell in row[1 : table.keys])
        for name, cell in list(zip(table.header, row, strict=True))[table.keys :]:
            number = cell.number._asdict() if cell.number else {}
            number = {"value": number.get("mean")} | number
            yield [run, line, name, cell.text, cell.detail, int(cell.suspect), *map(number.get, COLUMNS[8:])]
