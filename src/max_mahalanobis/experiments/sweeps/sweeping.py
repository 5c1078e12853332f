"""A whole grid: which cells are to be done, what became of them, and the files they amount to."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ...files import write_atomically
from ...reports.reading import read_run
from ...reports.sweeps import sweep_lines
from ...reports.tables import as_markdown, sweep_table
from ...runs import load_classifier
from ...terminal import say
from .cell import log_file, missing, num_images, started
from .grid import Cell, Grid
from .jobs import Ended, Start, exit_text, run_all

MARK = "grid.toml"  # the grid as it was last asked for; in a folder that is a sweep's


class Failure(NamedTuple):
    """A cell that is not finished, and why."""

    cell: str
    exit: str
    reason: str

    def __str__(self) -> str:
        return f"{self.cell} failed ({self.exit}): {self.reason}"


class Swept(NamedTuple):
    """What there is after a sweep: lines of finished cells, and the cells that failed."""

    lines: list[dict]
    failures: list[Failure]


def sweep(
    grid: Grid,
    grid_file: Path,
    out: Path,
    *,
    command: Callable[[Path, str], Sequence[str]],
    starter: Callable[[], Start],
    most: int,
    quiet: bool,
) -> Swept:
    """Do what is not finished, at most so many cells at a time, and write rows.jsonl, failures.jsonl and table.md.

    Args:
        command: from the grid's copy in `out` and a cell's name the command line that works on that cell.
        starter: makes what begins a command, here or on a cluster; called once the folder is known to be a sweep's.
    """
    text = _checked(grid, grid_file, out)
    start = starter()
    write_atomically(out / MARK, text)
    done = {cell.name: lines for cell in grid.cells if (lines := finished(cell, grid, out)) is not None}
    todo = [cell for cell in grid.cells if cell.name not in done]
    failures = {cell.name: Failure(cell.name, "exit 2", reason) for cell in todo if (reason := _impossible(cell))}
    for failure in failures.values():
        say(str(failure), quiet=quiet)
    work = [(c.name, command(out / MARK, c.name), log_file(out, c.name)) for c in todo if c.name not in failures]
    say(f"{len(grid.cells)} cells, {len(done)} finished before, {len(work)} to do", quiet=quiet)
    cells = {cell.name: cell for cell in grid.cells}
    for ended in run_all(work, start, most=most):
        lines = finished(cells[ended.name], grid, out) if ended.code == 0 else None
        if lines is None:
            failures[ended.name] = _failure(ended)
        else:
            done[ended.name] = lines
        story = failures[ended.name] if lines is None else f"{ended.name}: {_in_short(lines, ended.seconds)}"
        say(f"{len(done) + len(failures)} of {len(cells)}: {story}", quiet=quiet)
    swept = Swept(
        [line for name in cells for line in done.get(name, [])],
        [failures[name] for name in cells if name in failures],
    )
    _write(out, swept)
    return swept


def finished(cell: Cell, grid: Grid, out: Path) -> list[dict] | None:
    """The lines of a finished cell, one for each budget; None where anything is missing or damaged."""
    try:
        recipe = cell.recipe
        run = started(out / cell.name, recipe)
        if run is None or not run.weights_file.exists():
            return None
        if missing(run, load_classifier(run), recipe, grid.evaluation):
            return None
        return sweep_lines(
            read_run(run.path),
            choices=cell.choices,
            recipe=recipe,
            suites=grid.evaluation.suites,
            threats=[(threat.name, float(threat.eps)) for threat in grid.evaluation.threats(recipe)],
            images=num_images(run, grid.evaluation),
            seed=grid.evaluation.seed,
        )
    except UserError:
        return None  # the cell's own process says what is wrong


def _checked(grid: Grid, grid_file: Path, out: Path) -> bytes:
    """The grid's text; refused before anything is written: a folder not ours, and runs of other recipes in it."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: choose another --out")
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise UserError(f"{out} exists and was not made by mmc sweep: choose another --out")
    for cell in grid.cells:
        if (out / cell.name / "recipe.toml").exists() and not _impossible(cell):
            started(out / cell.name, cell.recipe)
    return grid_file.read_bytes()


def _impossible(cell: Cell) -> str:
    """Why the cell's recipe cannot be; nothing where it can."""
    try:
        _ = cell.recipe
    except UserError as error:
        return str(error)
    return ""


def _failure(ended: Ended) -> Failure:
    reason = ended.said or "it said nothing"
    if ended.code == 0:
        reason = "it ended without all of its rows"
    return Failure(ended.name, exit_text(ended.code), reason)


def _in_short(lines: Sequence[dict], seconds: float) -> str:
    """Clean and worst case of the largest budget."""
    line = max(lines, key=lambda line: line["eps"])
    clean, worst = (100 * line[name] / line["images"] for name in ("clean", "worst"))
    return f"{seconds:.0f} s, clean {clean:.1f} %, worst case {worst:.1f} % at {line['threat']} eps {line['eps']:.4g}"


def _write(out: Path, swept: Swept) -> None:
    write_atomically(out / "rows.jsonl", "".join(json.dumps(line) + "\n" for line in swept.lines).encode())
    failures = "".join(json.dumps(failure._asdict()) + "\n" for failure in swept.failures)
    write_atomically(out / "failures.jsonl", failures.encode())
    text = as_markdown(sweep_table(swept.lines, [str(failure) for failure in swept.failures]))
    write_atomically(out / "table.md", f"{text}\n".encode())
