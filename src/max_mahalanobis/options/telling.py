"""Options of the commands that tell: report, density, plan."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .shared import Files, Flat, Machine


@dataclass(frozen=True)
class Report:
    """Make a table and one self-contained page of evaluated runs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, or .jsonl files of result rows"""
    out: Path = Path("report.html")
    """the page"""
    format: Literal["terminal", "markdown", "latex", "json", "csv", "robustbench"] = "terminal"
    """how the tables are printed; json and csv hold all of the page's, and nothing else is printed beside them;
    robustbench: of one run, a record in the form of RobustBench's model_info"""
    seed: int = 0
    """unused: a report has nothing random"""
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Density:
    """Measure and draw how densely the features of trained runs lie: the paper's argument for its loss."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders"""
    out: Path = Path("density")
    """folder for the drawings, their numbers and the page"""
    overwrite: bool = False
    """replace an earlier one"""
    images: int = 10000
    """most images of each split, from the first; densities count them"""
    convention: Literal["volume", "surface"] = "volume"
    """number in a shell over its volume, or per unit of loss over its surface, as the paper prints"""
    seed: int = 0
    """of the animation"""
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Plan:
    """How many images a precision needs, and what that many (or --images) can show of one model, or of two."""

    precision: float = 1.0
    """how far the 95 % interval may reach to either side, in points of accuracy"""
    accuracy: float = 50.0
    """the accuracy expected, in percent (near 50 more images are needed than elsewhere)"""
    images: int | None = None
    """what this many images can show (as many as the precision needs)"""
    seed: int = 0
    """unused: a plan has nothing random"""
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)
