"""A sweep as a table: a combination of the axes a line, its seeds together."""

import math
from collections.abc import Sequence

from ...statistics import VARIED, mcnemar, over_seeds
from ..conditions import eps_text, norm_name
from ..verdicts import MAX_P_VALUE, MIN_POINTS
from .cells import DAGGER, NOTHING, Cell, Table

MEANS = (
    f"Means over seeds in %, with 95 % t intervals of the mean ({VARIED['training']}). Under attack each is an upper "
    "bound of robust accuracy."
)
ONE_SEED = "One seed: an accuracy in %, without an interval. Under attack each is an upper bound of robust accuracy."
ALIKE = "An interval without width: all its seeds counted alike, as a few may by chance; other seeds need not."
NOT_ROBUSTNESS = f"{DAGGER} not robustness: the other attacks leave at least 5 points less (p < 0.01)."
COUNTED = ("clean", "cross_entropy", "worst")


def sweep_table(lines: Sequence[dict], failures: Sequence[str] = ()) -> Table:
    """The table of `sweeps.sweep_lines`; each failure is a note."""
    axes = list(dict.fromkeys(axis for line in lines for axis in line["axes"]))
    groups: dict[tuple, list[dict]] = {}
    for line in lines:
        names = tuple(line["axes"].get(axis, NOTHING) for axis in axes)
        groups.setdefault((*names, line["threat"], line["eps"]), []).append(line)
    budgets = len({key[-2:] for key in groups}) > 1
    columns = ("clean", "PGD on cross-entropy", "worst case", "seconds of training", "seeds")
    rows = []
    for (*names, threat, eps), group in groups.items():
        keys = [*map(Cell, names), *([Cell(_budget(threat, eps))] if budgets else [])]
        rows.append((*keys, *_numbers(group)))
    several = any(len(group) > 1 for group in groups.values())
    notes = {
        MEANS: several,
        ONE_SEED: any(len(group) == 1 for group in groups.values()),
        ALIKE: any(cell.number is not None and cell.number.spread == 0 for row in rows for cell in row),
        NOT_ROBUSTNESS: any(cell.suspect for row in rows for cell in row),
    }
    header = (*axes, *(["budget"] if budgets else []), *columns)
    said = (*(note for note, holds in notes.items() if holds), *(f"{failure}." for failure in failures))
    return Table(_title(lines, budgets), header, tuple(rows), said, keys=len(header) - len(columns))


def _title(lines: Sequence[dict], budgets: bool) -> str:
    if not lines:
        return "Sweep: no cell is finished"
    data = ", ".join(dict.fromkeys(line["data"] for line in lines))
    suites = ", ".join(dict.fromkeys(suite for line in lines for suite in line["suites"]))
    images = " or ".join(dict.fromkeys(f"{line['images']:,}" for line in lines))
    budget = "" if budgets else f", {_budget(lines[0]['threat'], lines[0]['eps'])}"
    return f"Sweep: {images} test images of {data}{budget}, {'suites' if ', ' in suites else 'suite'} {suites}"


def _budget(threat: str, eps: float) -> str:
    return f"{norm_name(threat)} eps {eps_text(eps, threat)}"


def _numbers(group: Sequence[dict]) -> list[Cell]:
    cells = [_mean(group, name) for name in COUNTED]
    if _overstated(group):
        cells[1] = cells[1]._replace(suspect=True)
    seconds = math.fsum(line["seconds"] for line in group) / len(group)
    return [*cells, Cell(f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"), Cell(str(len(group)))]


def _mean(group: Sequence[dict], name: str) -> Cell:
    if any(line[name] is None for line in group):
        return Cell(NOTHING)
    found = over_seeds([line[name] / line["images"] for line in group])
    detail = "" if found.spread is None else f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return Cell(f"{100 * found.mean:.1f}", detail, number=found)


def _overstated(group: Sequence[dict]) -> bool:
    """Whether cross-entropy says more than is left; the worst case is over the same images, and never more."""
    if any(line["cross_entropy"] is None for line in group):
        return False
    lost, images = (sum(line[name] for line in group) for name in ("cross_entropy", "images"))
    lost -= sum(line["worst"] for line in group)
    return 100 * lost / images >= MIN_POINTS and mcnemar(lost, 0) < MAX_P_VALUE
