"""The command that does many runs: sweep."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..errors import UserError, one_of
from ..terminal import print_tables
from .machine import load_data, use

if TYPE_CHECKING:
    from ..experiments.sweeps import Grid, Start, Swept


def sweep(asked: options.Sweep) -> int:
    """Train and attack what of a grid is not finished; the table of all. Exit code 1 when cells failed."""
    from ..experiments.sweeps import read_grid
    from ..experiments.sweeps import sweep as sweep_grid

    _check(asked)
    grid = read_grid(asked.grid)
    if asked.cell is not None:
        _act(asked, grid)
        return 0
    jobs = asked.jobs or (1 if asked.cluster.cluster == "none" else len(grid.cells))
    swept = sweep_grid(
        grid,
        asked.grid,
        asked.out,
        command=lambda grid_file, cell: _command(asked, grid_file, cell, jobs),
        starter=lambda: _start(asked),
        most=jobs,
        quiet=asked.machine.quiet,
    )
    _print(swept, asked.format)
    return 1 if swept.failures else 0


def _check(asked: options.Sweep) -> None:
    cluster = asked.cluster
    counts = {"jobs": asked.jobs, "minutes": cluster.minutes, "cpus": cluster.cpus, "memory": cluster.memory}
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    if cluster.gpus is not None and cluster.gpus < 0:
        raise UserError(f"--gpus {cluster.gpus} must be 0 or more")
    given = [name for name in ("partition", "gpus", "cpus", "memory") if getattr(cluster, name) is not None]
    if given and cluster.cluster == "none":
        raise UserError(f"--{given[0]} is for jobs of a cluster: add --cluster slurm")


def _act(asked: options.Sweep, grid: "Grid") -> None:
    """One cell, in this process."""
    from ..experiments.sweeps import act

    one_of("cell", asked.cell, [cell.name for cell in grid.cells])
    for warning in (signal.SIGUSR1, signal.SIGUSR2):  # a cluster's, for the job that started us: it will end us
        signal.signal(warning, signal.SIG_IGN)
    device, quiet = use(asked.machine, mps=False), asked.machine.quiet
    act(
        next(cell for cell in grid.cells if cell.name == asked.cell),
        grid.evaluation,
        asked.out,
        load=lambda recipe, remembered: load_data(recipe, asked.files, remembered, quiet=quiet),
        data_dir=asked.files.data_dir,
        device=device,
        quiet=quiet,
    )
    print(f"finished {asked.out / asked.cell}")


def _command(asked: options.Sweep, grid_file: Path, cell: str, jobs: int) -> Sequence[str]:
    """The command line that works on one cell, wherever it is run."""
    here = asked.cluster.cluster == "none"
    threads = asked.machine.threads or (max(1, _cores() // jobs) if here else asked.cluster.cpus)
    words = ["sweep", str(grid_file.resolve()), "--out", str(asked.out.resolve()), "--cell", cell]
    words += ["--device", asked.machine.device]
    words += [] if threads is None else ["--threads", str(threads)]
    words += [] if asked.files.data_dir is None else ["--data-dir", str(asked.files.data_dir.resolve())]
    words += ["--no-download"] if asked.files.no_download else []
    return [sys.executable, "-P", "-c", "from max_mahalanobis.cli import main; main()", *words]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(asked: options.Sweep) -> "Start":
    from ..experiments.sweeps import Cluster, here, on_cluster

    cluster = asked.cluster
    if cluster.cluster == "none":
        use(asked.machine, mps=False)  # what is not there is refused once, not by every cell
        return here
    resources = Cluster(cluster.cluster, cluster.minutes, cluster.partition, cluster.gpus, cluster.cpus, cluster.memory)
    return on_cluster(resources, asked.out / "jobs")


def _print(swept: "Swept", form: str) -> None:
    from ..reports.document import table_document
    from ..reports.tables import as_csv, as_latex, as_markdown, sweep_table

    table = sweep_table(swept.lines, [str(failure) for failure in swept.failures])
    if form == "terminal":
        print_tables([table])
    elif form == "json":
        failures = [failure._asdict() for failure in swept.failures]
        document = {"schema": 1, "table": table_document(table), "rows": swept.lines, "failures": failures}
        print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print({"markdown": as_markdown, "latex": as_latex, "csv": lambda t: as_csv({"sweep": [t]})}[form](table))
