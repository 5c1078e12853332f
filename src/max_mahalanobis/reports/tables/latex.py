"""A table for a paper, in LaTeX."""

from collections.abc import Sequence

from .cells import DAGGER, NOTHING, Cell, Table, narrow

SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", DAGGER: r"$^\dagger$", NOTHING: "--", "∞": r"$\infty$",
    "×": r"$\times$", "“": "``", "”": "''",
} | {letter: f"\\{letter}" for letter in "&%$#_{}"}  # fmt: skip


def as_latex(table: Table) -> str:
    """A `table` with its notes under it; needs no package. Turned where that is narrower, as on the terminal."""
    table = narrow(table)
    body = [_line([[_escaped(name)] for name in table.header]), r"\hline"]
    body += [_line([_parts(cell) for cell in row]) for row in table.rows]
    notes = [f"\\par\\footnotesize {_escaped(note)}" for note in table.notes]
    columns = "l" * table.keys + "r" * (len(table.header) - table.keys)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{_escaped(table.title)}}}",
            f"\\begin{{tabular}}{{{columns}}}",
            *body,
            r"\end{tabular}",
            *notes,
            r"\end{table}",
        ]
    )


def _line(cells: Sequence[Sequence[str]]) -> str:
    r"""A line of the table; one that begins with [ would be read as an option of the \\ before it."""
    line = " & ".join(" ".join(parts) for parts in cells)
    return ("{}" if line.startswith("[") else "") + line + r" \\"


def _parts(cell: Cell) -> list[str]:
    mark = SPECIAL[DAGGER] if cell.suspect else ""
    return [_escaped(cell.text) + mark] + ([f"{{\\scriptsize {_escaped(cell.detail)}}}"] if cell.detail else [])


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
