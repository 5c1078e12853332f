"""What was trained, a run a line."""

from collections.abc import Sequence

from ...recipe import describe_adversary
from ..conditions import eps_text, norm_name
from ..reading import RunRecord
from .cells import NOTHING, Cell, Table

HEADS = {  # as the papers call them
    "softmax": "softmax (SCE)",
    "mmc": "MMC",
    "mmlda": "MMLDA",
    "center_loss": "center loss",
    "large_margin_gaussian": "L-GM",
    "hypersphere": "HE",
    "squared": "squared",
    "cosface": "CosFace",
    "arcface": "ArcFace",
}


def recipe_table(runs: Sequence[RunRecord]) -> Table | None:
    """What was trained, a run a line; none when no run brought its recipe."""
    known = [run for run in runs if run.recipe is not None]
    header = ("run", "data", "backbone", "head", "adversary in training", "epochs", "parameters", "seed")
    return Table("Recipes in short", header, tuple(_recipe_row(run) for run in known)) if known else None


def _recipe_row(run: RunRecord) -> tuple[Cell, ...]:
    recipe, facts = run.recipe or {}, run.facts
    published = {True: "published", False: "own or changed"}.get(facts.get("published"), "")
    parameters = facts.get("num_parameters")
    return (
        Cell(run.name),
        Cell(_known(recipe, "data"), published),
        Cell(_known(recipe, "model"), _counted(recipe.get("dim"), "features")),
        Cell(HEADS.get(recipe.get("head", ""), _known(recipe, "head"))),
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
    return describe_adversary(recipe), budget


def _known(recipe: dict, key: str) -> str:
    return str(recipe.get(key, NOTHING))


def _counted(count: int | None, what: str) -> str:
    return "" if count is None else f"{count} {what}"
