"""Rows of evidence as tables: plain data first, then markdown, the terminal or a page."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..results import AttackResult
from ..statistics import Proportion
from .conditions import Condition, conditions, eps_text, norm_name, rows_under, titles
from .reading import RunRecord
from .verdicts import adaptive_rows, clean_accuracy, compare, cross_entropy_rows, robust_accuracy

if TYPE_CHECKING:
    import rich.table

NOTHING = "–"
DAGGER = "†"
NOT_ROBUSTNESS = f"{DAGGER} not robustness: the adaptive objectives leave at least 5 points less (p < 0.01)."
UPPER_BOUND = "Accuracies in %, with 95 % Wilson intervals. Under attack each is an upper bound of robust accuracy."
COST = "Forward and backward passes per image, then seconds for all; images wrong when clean are not attacked."


class Cell(NamedTuple):
    """What stands in one place of a table; `detail` is said more quietly, a `suspect` number carries a dagger."""

    text: str
    detail: str = ""
    suspect: bool = False


class Table(NamedTuple):
    """Plain data, drawn nowhere yet."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def accuracy_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """One table per condition: a run a line; clean, under each attack, and in the worst case of all."""
    found = conditions(runs)
    return [_accuracy_table(runs, c, title) for c, title in zip(found, titles(found), strict=True)]


def cost_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """One table per condition: what each attack cost, in passes per image and in seconds."""
    found = conditions(runs)
    return [_cost_table(runs, c, title) for c, title in zip(found, titles(found), strict=True)]


def recipe_table(runs: Sequence[RunRecord]) -> Table | None:
    """What was trained, a run a line; none when no run brought its recipe."""
    known = [run for run in runs if run.recipe is not None]
    header = ("run", "data", "backbone", "head", "adversary in training", "epochs", "parameters", "seed")
    return Table("Recipes in short", header, tuple(_recipe_row(run) for run in known)) if known else None


def as_markdown(table: Table) -> str:
    """A GitHub table under its title."""
    lines = [_line(table.header), _line(["---"] + ["---:"] * (len(table.header) - 1))]
    lines += [_line([_plain(cell) for cell in row]) for row in table.rows]
    return "\n\n".join([f"**{_one_line(table.title)}**", "\n".join(lines), *map(_one_line, table.notes)])


def as_rich(table: Table) -> "rich.table.Table":
    """A table for the terminal, turned so that it is narrow; names are shown as they are, never read as markup."""
    import rich.table
    from rich.text import Text

    table = _narrow(table)

    caption = Text("\n".join(table.notes)) if table.notes else None
    drawn = rich.table.Table(title=Text(table.title), caption=caption, title_justify="left", caption_justify="left")
    for number, name in enumerate(table.header):
        drawn.add_column(Text(name), justify="left" if number == 0 else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text.assemble(_marked(cell), ("\n" + cell.detail, "dim")) for cell in row))
    return drawn


def _accuracy_table(runs: Sequence[RunRecord], condition: Condition, title: str) -> Table:
    def numbers(rows: list[AttackResult], attacks: Sequence[str]) -> list[Cell]:
        suspects = {row.attack for row in _suspects(rows)}
        cells = [_attack_cell(rows, attack, attack in suspects) for attack in attacks]
        return [_share(clean_accuracy(rows)), *cells, _share(robust_accuracy(rows))]

    attacks, rows = _lines(runs, condition, numbers)
    suspect = any(cell.suspect for row in rows for cell in row)
    missing = any(cell.text == NOTHING for row in rows for cell in row)
    notes = [UPPER_BOUND, *([NOT_ROBUSTNESS] if suspect else [])]
    notes += [f"{NOTHING} this attack was not run, so that worst case is over fewer attacks."] if missing else []
    return Table(title, ("run", "clean", *attacks, "worst case"), rows, tuple(notes))


def _cost_table(runs: Sequence[RunRecord], condition: Condition, title: str) -> Table:
    def numbers(rows: list[AttackResult], attacks: Sequence[str]) -> list[Cell]:
        return [*(_cost([row for row in rows if row.attack == attack]) for attack in attacks), _cost(rows)]

    attacks, rows = _lines(runs, condition, numbers)
    return Table(title, ("run", *attacks, "together"), rows, (COST,))


def _lines(runs: Sequence[RunRecord], condition: Condition, numbers: Callable) -> tuple[list[str], tuple]:
    """The attacks in order of appearance, and for each run that met the condition its name and `numbers`."""
    met = [(run.name, rows_under(run, condition)) for run in runs]
    met = [(name, rows) for name, rows in met if rows]
    attacks = list(dict.fromkeys(row.attack for _, rows in met for row in rows))
    return attacks, tuple((Cell(name), *numbers(rows, attacks)) for name, rows in met)


def _suspects(rows: list[AttackResult]) -> list[AttackResult]:
    adaptive = adaptive_rows(rows)
    return [row for row in cross_entropy_rows(rows) if adaptive and compare(row, adaptive).overstated]


def _attack_cell(rows: list[AttackResult], attack: str, suspect: bool) -> Cell:
    """One attack; when it was run with several seeds or settings, their worst case per image, and it says so."""
    mine = [row for row in rows if row.attack == attack]
    if not mine:
        return Cell(NOTHING)
    cell = _share(robust_accuracy(mine))
    several = f" worst of {len(mine)}" if len(mine) > 1 else ""
    return Cell(cell.text, cell.detail + several, suspect)


def _share(share: Proportion) -> Cell:
    return Cell(f"{100 * share.value:.1f}", f"[{100 * share.low:.1f}, {100 * share.high:.1f}]")


def _cost(rows: list[AttackResult]) -> Cell:
    if not rows:
        return Cell(NOTHING)
    passes = sum(row.forwards + row.backwards for row in rows) / rows[0].num_images
    return Cell(f"{passes:,.1f}", f"{sum(row.seconds for row in rows):.2f} s")


def _recipe_row(run: RunRecord) -> tuple[Cell, ...]:
    recipe, facts = run.recipe or {}, run.facts
    published = {True: "published", False: "own or changed"}.get(facts.get("published"), "")
    parameters = facts.get("num_parameters")
    return (
        Cell(run.name),
        Cell(_known(recipe, "data"), published),
        Cell(_known(recipe, "model"), _counted(recipe.get("dim"), "features")),
        Cell({"mmc": "MMC", "softmax": "softmax (SCE)"}.get(recipe.get("head", ""), _known(recipe, "head"))),
        Cell(*_adversary(recipe)),
        Cell(_known(recipe, "epochs")),
        Cell(f"{parameters:,}" if isinstance(parameters, int) else NOTHING),
        Cell(_known(recipe, "seed")),
    )


def _adversary(recipe: dict) -> tuple[str, str]:
    if recipe.get("adversary", "none") == "none":
        return "none", ""
    threat, eps = recipe.get("threat", "linf"), recipe.get("eps")
    budget = norm_name(threat) + (f" eps {eps_text(eps, threat)}" if isinstance(eps, int | float) else "")
    return f"{recipe['adversary']}-{recipe.get('adversary_steps', '?')} {recipe.get('adversary_objective', '')}", budget


def _known(recipe: dict, key: str) -> str:
    return str(recipe.get(key, NOTHING))


def _counted(count: int | None, what: str) -> str:
    return "" if count is None else f"{count} {what}"


def _marked(cell: Cell) -> str:
    return cell.text + (f" {DAGGER}" if cell.suspect else "")


def _plain(cell: Cell) -> str:
    return f"{_marked(cell)} {cell.detail}".strip()


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _narrow(table: Table) -> Table:
    """Rows and columns exchanged where that leaves fewer columns."""
    if len(table.header) <= len(table.rows) + 1:
        return table
    corner, *columns = table.header
    names = (row[0].text for row in table.rows)
    rows = [(Cell(name), *(row[place] for row in table.rows)) for place, name in enumerate(columns, 1)]
    return table._replace(header=("" if corner == "run" else corner, *names), rows=tuple(rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_one_line, cells)) + " |"
