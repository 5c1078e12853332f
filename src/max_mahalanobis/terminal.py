"""What a user sees on the terminal: tables on stdout; progress, with speed and time left, on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .reports.reading import RunRecord
from .reports.sentences import alarms, take_away
from .reports.tables import Table, as_rich

QUIET_FOR = 5.0  # seconds between two lines where there is no terminal to redraw


def say(message: str, *, quiet: bool = False) -> None:
    """One line for the user, beside the results."""
    if not quiet:
        print(f"mmc: {message}", file=sys.stderr)


def print_tables(tables: Iterable[Table]) -> None:
    """Tables on stdout, as wide as the terminal, or as they need where there is none."""
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for table in tables:
        console.print(as_rich(table))


def print_reading(runs: Sequence[RunRecord]) -> None:
    """What to take away, on stdout: which numbers must not be believed, then who holds best."""
    for alarm in alarms(runs):
        print(f"\n{alarm.text}")
    print(f"\n{take_away(runs)}")


@contextmanager
def training_progress(name: str, epochs: int, *, quiet: bool) -> Iterator[Callable[[dict], None]]:
    """Shows loss, validation accuracy, the adversary's success, images/s, time left; takes what `train` reports."""
    with _bar(quiet, "{task.fields[note]}") as bar:
        task = bar.add_task(name, total=epochs, note="starting")
        validation, spoke = "", time.monotonic()

        def show(event: dict) -> None:
            nonlocal validation, spoke
            if "event" in event:
                say(f"{name}: {event['event']}", quiet=quiet)
            if "loss" not in event:
                return
            if event["epoch_done"]:
                validation = _judged(event)
            done = event["epoch"] + (1 if event["epoch_done"] else event["step"] / event["steps"])
            note = f"loss {event['loss']:.4g}{validation}, {event['images_per_second']:,.0f} images/s"
            bar.update(task, completed=done, note=note)
            last = done == epochs or time.monotonic() - spoke > QUIET_FOR
            if event["epoch_done"] and last and not bar.console.is_terminal:
                spoke = time.monotonic()
                left = event["seconds"] * (epochs - done)
                say(f"{name}: epoch {event['epoch'] + 1}/{epochs}, {note}, {left:.0f} s left", quiet=quiet)

        yield show


@contextmanager
def attack_progress(name: str, *, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Shows the attack under way; takes what `evaluate` reports."""
    with _bar(quiet, "images") as bar:
        tasks: dict[str, int] = {}

        def show(attack: str, done: int, total: int) -> None:
            if attack not in tasks:
                for task in tasks.values():
                    bar.remove_task(task)
                tasks.clear()
                tasks[attack] = bar.add_task(f"{name}: {attack}", total=total)
            bar.update(tasks[attack], completed=done)

        yield show


@contextmanager
def centers_progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows how far the search for centers is; takes what `max_mahalanobis_centers` reports."""
    with _bar(quiet, "stages") as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _judged(event: dict) -> str:
    """What validation says of an epoch: clean, and where training fights an adversary robust, and how often it won."""
    said = f", validation {100 * event['validation_accuracy']:.1f} %"
    if event.get("robust_validation_accuracy") is not None:
        said += f" ({100 * event['robust_validation_accuracy']:.1f} robust)"
    if event.get("adversary_success") is not None:
        said += f", fooled {100 * event['adversary_success']:.0f} %"
    return said


def _bar(quiet: bool, note: str) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn(note),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
