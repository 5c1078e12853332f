"""Options of the command that does many runs: sweep."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .shared import Files, Flat, Machine


@dataclass(frozen=True)
class Cluster:
    """What a job may use of a cluster; sites that want more take it from Slurm's own SBATCH_ variables."""

    cluster: Literal["none", "slurm", "local"] = "none"
    """hand the cells to Slurm, through submitit (extra cluster); local: the same way on this machine, for trying it"""
    partition: str | None = None
    """of Slurm"""
    minutes: int = 720
    """most time of a job; Slurm starts it again where it stopped, three times"""
    gpus: int | None = None
    """of a job"""
    cpus: int | None = None
    """of a job, and its threads"""
    memory: int | None = None
    """of a job, in GB"""


@dataclass(frozen=True)
class Sweep:
    """Train and attack every cell of a grid, several times over seeds; what is finished is not done again."""

    grid: tyro.conf.Positional[Path]
    """the grid: .toml with seeds, [recipe], [axes.NAME], [evaluate]"""
    out: Path
    """folder for a run of each cell, its log, the rows and the table"""
    jobs: int | None = None
    """cells at a time (1; on a cluster all)"""
    cell: str | None = None
    """only this cell, in this very process, without the table: what a sweep starts, and what scripts of yours may"""
    format: Literal["terminal", "markdown", "latex", "json", "csv"] = "terminal"
    """how the table is printed"""
    cluster: Annotated[Cluster, Flat] = field(default_factory=Cluster)
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)
