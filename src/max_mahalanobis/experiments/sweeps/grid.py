"""A grid file: what all cells share, the axes along which they differ, the seeds, how each is judged."""

import itertools
import re
import tomllib
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from ...data import default_eps
from ...errors import UserError, one_of
from ...evaluation import SUITES
from ...recipe import Recipe, check_eps, check_seed
from ...threats import ThreatModel, make_threat
from ...training import fill_defaults

HINTS = get_type_hints(Recipe)
LIMITED = tuple(name for name in SUITES if name != "curve")  # suites that hold the adversary to one budget


class Cell(NamedTuple):
    """One recipe of a grid: `choices` has the name chosen on each axis, `settings` what the grid says of the recipe."""

    name: str
    choices: dict[str, str]
    seed: int
    settings: dict[str, Any]

    @property
    def recipe(self) -> Recipe:
        """The recipe with its defaults filled in; UserError where it is impossible."""
        return fill_defaults(Recipe(**self.settings))


@dataclass(frozen=True)
class Evaluation:
    """How every cell is judged: the table [evaluate]."""

    suites: tuple[str, ...] = ("quick",)
    """the attacks, by the names that `mmc evaluate --suite` takes"""
    threat: str = "linf"
    """norm that bounds the adversary: linf, l2 or l1"""
    eps: tuple[float, ...] = ()
    """budgets, as numbers or as "8/255" (the data set's usual one)"""
    images: int = 1000
    """how many of the test images, from the first"""
    batch_size: int = 256
    """images at a time; verdicts do not depend on it"""
    seed: int = 0
    """of the attacks, the same for every cell: seeds of the grid vary the training alone"""

    def threats(self, recipe: Recipe) -> list[ThreatModel]:
        """The budgets a model of this recipe is held to."""
        return [make_threat(self.threat, eps) for eps in self.eps or (default_eps(recipe.data, self.threat),)]


class Grid(NamedTuple):
    """Cells in the order in which they are done: all of the first seed, then all of the next."""

    cells: list[Cell]
    evaluation: Evaluation


def read_grid(path: Path) -> Grid:
    """The grid in a file.

    Raises:
        UserError: nothing can be run: unknown names, an empty axis, a setting that two axes make, names that collide.
            A cell whose recipe is impossible does not raise here, but where its recipe is asked for.
    """
    values = _read(path)
    for key in values:
        one_of(f"table in {path}:", key, ("seeds", "recipe", "axes", "evaluate"))
    shared = _settings(f"{path} [recipe]", values.get("recipe", {}))
    axes = _axes(path, values.get("axes"))
    seeds = _seeds(path, values.get("seeds", [0]))
    cells = [_cell(path, shared, choice, seed) for seed in seeds for choice in itertools.product(*axes)]
    _check_names(path, cells)
    return Grid(cells, _evaluation(f"{path} [evaluate]", values.get("evaluate", {})))


def _read(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): give a grid (.toml)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error


class _Choice(NamedTuple):
    axis: str
    name: str
    settings: dict[str, Any]


def _axes(path: Path, found: Any) -> list[list[_Choice]]:
    """Of each axis its named settings."""
    if not found:
        raise UserError(f"{path} has no [axes.NAME]: give at least one axis, with named settings")
    axes = []
    for axis, choices in _table(f"{path} [axes]", found).items():
        where = f"{path} [axes.{axis}]"
        if not _table(where, choices):
            raise UserError(f'{where} names no settings: give at least one, as NAME = {{ head = "mmc" }}')
        axes.append([_Choice(axis, name, _settings(f"{where} {name}", each)) for name, each in choices.items()])
    return axes


def _seeds(path: Path, seeds: Any) -> list[int]:
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise UserError(f"{path}: seeds {seeds!r} must be a list of whole numbers, at least one")
    for seed in seeds:
        check_seed(seed)
        if seeds.count(seed) > 1:
            raise UserError(f"{path}: seed {seed} stands in seeds more than once: once is enough")
    return seeds


def _cell(path: Path, shared: dict[str, Any], choice: tuple[_Choice, ...], seed: int) -> Cell:
    """One cell; what an axis sets replaces what all cells share, two axes must not set the same."""
    made: dict[str, _Choice] = {}
    for each in choice:
        for name in each.settings:
            if name in made:
                first = made[name]
                raise UserError(
                    f"{path}: {name} is set in [axes.{first.axis}] {first.name} and in [axes.{each.axis}] {each.name}: "
                    "set it on one axis"
                )
            made[name] = each
    settings = shared | {name: each.settings[name] for name, each in made.items()} | {"seed": seed}
    return Cell("-".join([*map(_slug, choice), str(seed)]), {each.axis: each.name for each in choice}, seed, settings)


def _slug(choice: _Choice) -> str:
    slug = re.sub(r"[^\w.+=]+", "-", choice.name).strip("-.")
    if not slug:
        raise UserError(f"[axes.{choice.axis}] {choice.name!r} names no folder: use letters or digits")
    return slug


def _check_names(path: Path, cells: list[Cell]) -> None:
    """Every cell needs a folder of its own, also where the disk does not tell capitals from small letters."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.name.casefold(), cell)
        if other is not cell:
            first, second = (" and ".join(each.choices.values()) for each in (other, cell))
            raise UserError(f"{path}: {first}, and {second}, would both be {cell.name}: rename one")


def _evaluation(where: str, found: Any) -> Evaluation:
    hints = {field.name: field for field in fields(Evaluation)}
    values = {}
    for name, value in _table(where, found).items():
        one_of(f"setting in {where}:", name, hints)
        several = isinstance(hints[name].default, tuple)
        if several and not (isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value)):
            raise UserError(f"{where}: {name} {value!r} must be a list of numbers or words, at least of one")
        values[name] = tuple(dict.fromkeys(value)) if several else value
        if not several and type(value) is not type(hints[name].default):
            raise UserError(f"{where}: {name} {value!r} must be {type(hints[name].default).__name__}")
    evaluation = Evaluation(**values)
    evaluation = replace(evaluation, eps=tuple(_budget(where, eps, evaluation.threat) for eps in evaluation.eps))
    one_of(f"threat in {where}:", evaluation.threat, ("linf", "l2", "l1"))
    for suite in evaluation.suites:
        one_of(f"suite in {where}:", suite, LIMITED)
    for name in ("images", "batch_size"):
        if getattr(evaluation, name) < 1:
            raise UserError(f"{where}: {name} {getattr(evaluation, name)} must be at least 1")
    check_seed(evaluation.seed)
    return evaluation


def _budget(where: str, eps: Any, threat: str) -> float:
    number = _number(f"{where}: eps", eps)
    if isinstance(number, bool) or not isinstance(number, float | int):
        raise UserError(f'{where}: eps {eps!r} must be numbers, or text as "8/255"')
    check_eps(number, threat)
    return float(number)


def _settings(where: str, found: Any) -> dict[str, Any]:
    """Fields of the recipe, known by name; numbers may be written as "8/255"."""
    values = {}
    for name, value in _table(where, found).items():
        one_of(f"setting in {where}:", name, HINTS)
        if name == "seed":
            raise UserError(f"{where}: seed {value!r} belongs into the list: seeds = [{value!r}]")
        a_number = float in (HINTS[name], *get_args(HINTS[name]))
        values[name] = _number(f"{where}: {name}", value) if a_number else value
    return values


def _number(where: str, value: Any) -> Any:
    """What a text such as "8/255" says; other values are checked elsewhere."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise UserError(f'{where} {value!r} is no number: write it as 0.1 or "8/255"') from error


def _table(where: str, found: Any) -> dict:
    if not isinstance(found, dict):
        raise UserError(f"{where} is {found!r}: it must be a table")
    return found
