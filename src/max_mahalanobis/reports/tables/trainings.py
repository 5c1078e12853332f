"""How training went, a run a line: its best and its last epoch, its speed."""

from collections.abc import Sequence
from statistics import median

from ..reading import RunRecord
from ..trainings import CLEAN, ROBUST, counted, ends, epochs, is_number
from .cells import NOTHING, Cell, Table

HEADER = (
    *("run", "best epoch", "clean, best", "clean, last", "robust, best", "robust, last"),
    *("weights are", "images/s", "seconds", "adversary fools"),
)
JUDGED = "Accuracies in %, on the validation images; “best” is the epoch with the largest {}."
ROBUST_BY = (
    "Robust: under the short PGD that training judges itself by, more than the attacks of an evaluation leave. "
    "The adversary fools: training images, in the last epoch."
)


def training_table(runs: Sequence[RunRecord]) -> Table | None:
    """What metrics say of each training; columns that no run has anything for are left out. None without metrics."""
    known = [(run, lines) for run in runs if (lines := epochs(run.metrics)) and ends(lines) is not None]
    if not known:
        return None
    rows = [_row(run, lines) for run, lines in known]
    shown = [place for place in range(len(HEADER)) if any(row[place].text != NOTHING for row in rows)]
    robust = HEADER.index("robust, best") in shown
    notes = [JUDGED.format("robust accuracy, where there is one, else clean" if robust else "clean accuracy")]
    notes += [ROBUST_BY] if robust else []
    notes += [f"{run.name} stopped early: {reason}." for run, _ in known for reason in _reasons(run)]
    kept = tuple(tuple(row[place] for place in shown) for row in rows)
    return Table("Trainings", tuple(HEADER[place] for place in shown), kept, tuple(notes))


def _row(run: RunRecord, lines: Sequence[dict]) -> tuple[Cell, ...]:
    _, best, last = ends(lines)
    speeds = [line["images_per_second"] for line in lines if is_number(line.get("images_per_second"))]
    seconds = [line["seconds"] for line in lines if is_number(line.get("seconds"))]
    return (
        Cell(run.name),
        Cell(str(counted(best)), f"of {len(lines)}"),
        *(_percent(line, by) for by in (CLEAN, ROBUST) for line in (best, last)),
        Cell(_weights(run)),
        Cell(f"{median(speeds):,.0f}" if speeds else NOTHING),
        Cell(f"{sum(seconds):,.0f}" if seconds else NOTHING),
        _percent(last, "adversary_success"),
    )


def _weights(run: RunRecord) -> str:
    """Which weights the run ends with: what its recipe says, unless what stopped it says otherwise."""
    said = [line["weights"] for line in run.metrics if line.get("event") == "stopped" and "weights" in line]
    return said[-1] if said else NOTHING if run.recipe is None else run.recipe.get("checkpoint", "last")


def _percent(line: dict, name: str) -> Cell:
    return Cell(f"{100 * line[name]:.1f}" if is_number(line.get(name)) else NOTHING)


def _reasons(run: RunRecord) -> list[str]:
    """Why training stopped before its last epoch, as its events say."""
    stops = [line for line in run.metrics if line.get("event") == "stopped" and line.get("reason")]
    return [str(line["reason"]).rstrip(".") for line in stops[-1:]]
