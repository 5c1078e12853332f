"""Sweeps: every combination of heads, adversaries, seeds, ... trained and attacked, a table at the end.

Command: `mmc sweep GRID.toml --out runs/sweep`. A grid is read (`grid`), each of its cells becomes a run (`cell`) in a
process of its own, here or on a cluster (`jobs`), and what is finished is not done again (`sweeping`).
"""

from .cell import act
from .grid import Cell, Evaluation, Grid, read_grid
from .jobs import Cluster, Start, here, on_cluster
from .sweeping import Failure, Swept, sweep

__all__ = [
    "Cell",
    "Cluster",
    "Evaluation",
    "Failure",
    "Grid",
    "Start",
    "Swept",
    "act",
    "here",
    "on_cluster",
    "read_grid",
    "sweep",
]
