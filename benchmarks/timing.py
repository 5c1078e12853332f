"""What the benchmarks share: contestants timed in turns, ratios as medians over the rounds, tables, rows on disk.

Every time is taken twice: on the wall, and of the processor (all threads of this process together), which other jobs on
the machine disturb less. A contestant named "torchattacks, ..." needs that package; absent, its row has a note.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import distributions
from itertools import product
from statistics import median
from typing import NamedTuple

import torch

PEERS = ("torchattacks", "foolbox", "pyautoattack")
INSTALLED = {package.name: package.version for package in distributions()}


class Times(NamedTuple):
    """Of one call."""

    seconds: float
    cpu_seconds: float


class Laps(NamedTuple):
    """One contestant's times, a round each, and those of the yardstick that ran right before it."""

    own: list[Times]
    yardstick: list[Times]


def timed(work: Callable[[], object]) -> Times:
    """How long one call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


def race(
    title: str,
    contestants: Mapping[str, Callable[[], object]],
    repeats: int,
    yardstick: Callable[[], object] = lambda: None,
) -> dict[str, Laps]:
    """All contestants in every round, one after the other, each behind its own run of the yardstick."""
    laps = {name: Laps([], []) for name in contestants}
    for turn, name in product(range(repeats), contestants):
        print(f"{title}, round {turn + 1} of {repeats}: {name}", file=sys.stderr)
        laps[name].yardstick.append(timed(yardstick))
        laps[name].own.append(timed(contestants[name]))
    return laps


def times_of(laps: Laps) -> dict[str, float]:
    """Median times, for a row."""
    return {name: median(getattr(times, name) for times in laps.own) for name in Times._fields}


def ratio(times: Sequence[Times], others: Sequence[Times], scale: float = 1.0) -> tuple[float, float]:
    """Medians over the rounds of `scale` times the one over the other: on the wall, of the processor."""
    pairs = list(zip(times, others, strict=True))
    return tuple(
        scale * median(getattr(one, name) / max(getattr(other, name), 1e-9) for one, other in pairs)
        for name in Times._fields
    )


def compare(rows: Sequence[dict], laps: Mapping[str, Laps], references: Sequence[str]) -> None:
    """Give rows `time_ratio` and `cpu_ratio`: their time over that of the fastest reference, in the same round."""
    present = [name for name in references if name in laps]
    if not present:
        return
    fastest = min(present, key=lambda name: times_of(laps[name])["seconds"])
    for row in rows:
        if row["candidate"] in laps:
            row["time_ratio"], row["cpu_ratio"] = ratio(laps[row["candidate"]].own, laps[fastest].own)
            row["reference"] = fastest


def is_peer(name: str) -> bool:
    """A contestant of another library, by its first word."""
    return name.split(",")[0] in PEERS


def is_absent(name: str) -> bool:
    """A contestant that needs a package which is not installed."""
    return is_peer(name) and name.split(",")[0] not in INSTALLED


def new_rows(shared: Mapping, names: Sequence[str]) -> list[dict]:
    """A row per contestant, with a note where it is absent."""
    note = {"note": "not installed: make peers"}
    return [{**shared, "candidate": name} | (note if is_absent(name) else {}) for name in names]


def parser(description: str, *, images: int, repeats: int, contests: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description.split("\n")[0])
    made.add_argument("--contests", nargs="+", default=list(contests), choices=contests, metavar="NAME")
    made.add_argument("--images", type=int, default=images, help="the batch")
    made.add_argument("--repeats", type=int, default=repeats, help="rounds")
    made.add_argument("--threads", type=int, default=2, help="of torch")
    made.add_argument("--out", help="append the rows to this file, as JSON lines")
    made.epilog = f"contests: {' '.join(contests)}"
    return made


def publish(rows: Sequence[dict], columns: Sequence[str], options: argparse.Namespace) -> None:
    """Print the rows as a markdown table under what they were measured with; append them to a file where asked."""
    shared = {name: INSTALLED.get(name) for name in ("max-mahalanobis", "torch", *PEERS)}
    shared |= {"python": platform.python_version(), "threads": torch.get_num_threads()}
    shared |= {"date": date.today().isoformat()}
    print(" · ".join(f"{key} {value or 'absent'}" for key, value in shared.items()), end="\n\n")
    columns = [column for column in columns if any(row.get(column) is not None for row in rows)]
    lines = [columns, ["---"] * len(columns)] + [[_cell(row.get(column)) for column in columns] for row in rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n", flush=True)
    if options.out:
        with open(options.out, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row | shared) + "\n" for row in rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}"
    return "" if value is None else str(value)
