"""Everything a report says, as one HTML file that needs nothing else."""

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from ..errors import UserError
from ..files import write_atomically
from .commands import commands
from .conditions import CURVE, MINIMUM_NORM
from .figures import Drawing, budget_drawings, examples_drawing, features_drawing, surfaces_drawing, training_drawing
from .reading import RunRecord
from .sentences import alarms, class_sentences, findings, take_away, verdicts_on
from .tables import DAGGER, NOTHING, Table, every_table, narrow, recipe_table

TITLE = "What is left under attack"


def write_page(runs: Sequence[RunRecord], path: Path, *, title: str = TITLE) -> Path:
    """Write the report of these runs as one self-contained file: no network, no script; the same runs, the same bytes.

    Raises:
        UserError: there are no runs, or the file cannot be written there.
    """
    if not runs:
        raise UserError("no runs to report on: give run folders made by `mmc train`")
    write_atomically(Path(path), page(runs, title=title).encode())
    return Path(path)


def page(runs: Sequence[RunRecord], *, title: str = TITLE) -> str:
    """The page's text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = unbroken
    template = environment.from_string((files(__package__) / "page.html").read_text(encoding="utf-8"))
    tables = every_table(runs)
    trained = [run for run in runs if not run.shares_training]
    return template.render(
        title=title,
        narrow=narrow,
        take_away=take_away(runs),
        verdicts=[verdict for run in runs for verdict in verdicts_on(run)],
        notes=[note for run in runs for note in run.notes],
        trained=recipe_table(trained),
        trainings=tables["trainings"],
        accuracy=_once([*tables["accuracy"], *tables["budgets"]]),
        protocols=_once(tables["protocols"]),
        classes=tables["classes"],
        by_class=class_sentences(runs),
        pairs=tables["pairs"],
        unions=_once(tables["unions"]),
        steps=_once(tables["steps"]),
        alarms=alarms(runs),
        findings=findings(runs),
        budgets=budget_drawings(runs),
        training=_drawn([training_drawing(runs)]),
        features=_drawn(features_drawing(run, f"features{number}") for number, run in enumerate(runs)),
        examples=_drawn(examples_drawing(run, f"examples{number}") for number, run in enumerate(runs)),
        surfaces=_drawn(surfaces_drawing(run, f"surfaces{number}") for number, run in enumerate(runs)),
        costs=_once(tables["costs"]),
        repeat=tables["repeat"],
        commands=[(run.name, commands(run)) for run in runs],
        recipes=[(run.name, _toml(run.recipe)) for run in trained if run.recipe is not None],
        missing=missing(trained),
        versions=sorted({row.version for run in runs for row in run.results}),
        num_rows=sum(len(run.results) for run in runs),
    )


def unbroken(detail: str) -> str:
    """What a narrow cell says quietly, so that it breaks only behind a bracket or between clauses."""
    return re.sub(r"(?<![\]),]) |(?<=,) (?=[-+\d])", "\u00a0", detail)


def missing(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """For each section, which runs have nothing to show in it and how to get it."""
    folder, again = "report on its run folder", "run `mmc evaluate` on its folder, then report on the folder"
    lacking = {
        "recipe": ("recipe", folder, lambda run: run.recipe is None),
        "training": ("training metrics", folder, lambda run: not run.metrics),
        "budgets": (
            "budget curve",
            again,
            lambda run: all(row.suite not in (CURVE, MINIMUM_NORM) for row in run.results),
        ),
        "features": ("features", again, lambda run: "features" not in (run.pictures or {})),
        "examples": ("example images", again, lambda run: "images" not in (run.pictures or {})),
    }
    return {
        section: [f"No {what} of {run.name}: {remedy}." for run in runs if lacks(run)]
        for section, (what, remedy, lacks) in lacking.items()
    }


def _once(tables: Sequence[Table]) -> list[Table]:
    """The tables of a section, a note under the first that needs it; those that explain a mark stand under each."""
    told: set[str] = set()
    shown = []
    for table in tables:
        kept = tuple(note for note in table.notes if note not in told or note.startswith((DAGGER, NOTHING)))
        shown.append(table._replace(notes=kept))
        told.update(table.notes)
    return shown


def _drawn(drawings: Iterable[Drawing | None]) -> list[Drawing]:
    return [drawing for drawing in drawings if drawing is not None]


def _toml(recipe: dict) -> str:
    import tomli_w

    return tomli_w.dumps(recipe)
