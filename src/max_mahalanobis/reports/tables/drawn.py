"""A table as markdown or on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .cells import DAGGER, Cell, Table, narrow

if TYPE_CHECKING:
    import rich.table


def as_markdown(table: Table) -> str:
    """A GitHub table under its title."""
    lines = [_line(table.header), _line(["---"] * table.keys + ["---:"] * (len(table.header) - table.keys))]
    lines += [_line([_plain(cell) for cell in row]) for row in table.rows]
    return "\n\n".join([f"**{_one_line(table.title)}**", "\n".join(lines), *map(_one_line, table.notes)])


def as_rich(table: Table) -> "rich.table.Table":
    """A table for the terminal, turned so that it is narrow; names are shown as they are, never read as markup."""
    import rich.table
    from rich.text import Text

    table = narrow(table)
    caption = Text("\n".join(table.notes)) if table.notes else None
    drawn = rich.table.Table(title=Text(table.title), caption=caption, title_justify="left", caption_justify="left")
    for number, name in enumerate(table.header):
        drawn.add_column(Text(name), justify="left" if number < table.keys else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text.assemble(_marked(cell), ("\n" + cell.detail, "dim")) for cell in row))
    return drawn


def _marked(cell: Cell) -> str:
    return cell.text + (f" {DAGGER}" if cell.suspect else "")


def _plain(cell: Cell) -> str:
    return f"{_marked(cell)} {cell.detail}".strip()


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_one_line, cells)) + " |"
