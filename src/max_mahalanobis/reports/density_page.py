"""The folder of `mmc density`: a drawing a file, the numbers behind them, one page that shows it all."""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from ..errors import UserError
from ..files import write_atomically
from .figures import Drawing
from .figures.density import SCALE_NOTE, density_drawings

SCHEMA = 1  # of density.json
NUMBERS, PAGE, ANIMATION = "density.json", "density.html", "toy.gif"


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a file, and a folder that holds anything, unless it is an earlier one of ours to be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose another --out")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / NUMBERS).exists():
        raise UserError(f"{folder} exists and was not made by mmc density: choose another --out")
    if not overwrite:
        raise UserError(f"{folder} exists: replace its drawings with --overwrite")


def write_folder(records: Sequence[dict], folder: Path, *, toys: Sequence[Drawing], animation: bytes) -> Path:
    """Write the numbers, every drawing, the animation and the page; the page's path. Old drawings of runs leave.

    The page is self-contained: no network, no script. NaN and infinities, which JSON lacks, become null.
    """
    numbers = {"schema": SCHEMA, "logarithms": "natural", "runs": [_finite(record) for record in records]}
    write_atomically(folder / NUMBERS, (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    for old in folder.glob("features-*.svg"):
        old.unlink()
    drawings = density_drawings(records) | {f"toy-{number}": drawing for number, drawing in enumerate(toys)}
    for name, drawing in drawings.items():
        write_atomically(folder / f"{name}.svg", _alone(drawing.svg).encode())
    write_atomically(folder / ANIMATION, animation)
    write_atomically(folder / PAGE, _page(records, list(drawings.values()), animation).encode())
    return folder / PAGE


def verdict(records: Sequence[dict]) -> str:
    """Which run's features lie most densely on equal terms, in one sentence a split that says by how much."""
    if len(records) < 2:
        return f"{records[0]['name']}: {_cores(records[0])} (scale-free natural log density of half a class)."
    split = list(records[0]["splits"])[-1]
    ordered = sorted(records, key=lambda record: record["splits"][split]["core"]["scale_free"], reverse=True)
    values = [record["splits"][split]["core"]["scale_free"] for record in ordered]
    if len({record["dim"] for record in records}) > 1:
        return "The features have different numbers of dimensions: their densities have different units."
    others = ", ".join(f"{r['name']} {value:.1f}" for r, value in zip(ordered[1:], values[1:], strict=True))
    return (
        f"{ordered[0]['name']} has the densest features ({split}, scale-free): half of a class at a log density "
        f"(natural) of {values[0]:.1f}, against {others}."
    )


def _cores(record: dict) -> str:
    return ", ".join(f"{split} {found['core']['scale_free']:.1f}" for split, found in record["splits"].items())


def _page(records: Sequence[dict], drawings: Sequence[Drawing], animation: bytes) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files(__package__) / "density.html").read_text(encoding="utf-8"))
    gif = base64.b64encode(animation).decode()
    return template.render(records=records, drawings=drawings, gif=gif, verdict=verdict(records), scale_note=SCALE_NOTE)


def _alone(svg: str) -> str:
    """A drawing outside a page: on white, where black ink shows."""
    return svg.replace("<defs>", '<rect width="100%" height="100%" fill="white"/><defs>', 1)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not -float("inf") < value < float("inf") else value
