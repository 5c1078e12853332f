"""Where nothing limits the adversary: at which sizes images fall, in words."""

from collections.abc import Sequence
from math import inf

from ..conditions import Condition, rows_under, size_text
from ..reading import RunRecord
from ..sizes import smallest_sizes, summary
from ..verdicts import MIN_POINTS
from .words import Sentence, attacks_in, where


def finding_without_limit(run: RunRecord, condition: Condition) -> Sentence:
    """The sizes at which this run's images fall; a warning when many never do, for then the attacks failed."""
    rows = rows_under(run, condition)
    found = summary(smallest_sizes(rows))
    low, median, high = (size_text(size, condition.threat) for size in (found.low, found.median, found.high))
    fell = f"half of the images fall within {median}, the quartiles are {low} and {high}"
    if found.median == inf:
        fell = "fewer than half of the images fall at any size"
    fell += f" (smallest perturbations that {attacks_in(rows)} found; true sizes are at most these)."
    if found.held == 0:
        return Sentence(f"{where(run, condition)}: {fell}")
    held = (
        f"on {found.held} of {found.total} images every attack failed although nothing limited it, as happens where "
        "gradients vanish: of these nothing is known"
    )
    warns = 100 * found.held >= MIN_POINTS * found.total
    text = f"{held}; {fell}" if warns else f"{fell[:-1]}; {held}."
    return Sentence(f"{where(run, condition)}: {text}", warns)


def medians(runs: Sequence[RunRecord], condition: Condition) -> str:
    """Where half of each run's images fall, the run that holds longest first."""
    rows = {run.name: rows_under(run, condition) for run in runs}
    found = {name: summary(smallest_sizes(some)) for name, some in rows.items()}
    order = sorted(found, key=lambda name: (-found[name].median, -found[name].high))
    said = ", ".join(f"{name} {size_text(found[name].median, condition.threat)}" for name in order)
    same = len({frozenset(row.attack for row in some) for some in rows.values()}) == 1
    by = attacks_in(rows[order[0]]) if same else "attacks that were not the same for all"
    start = f"On {condition.images}, {condition.budget}, the median of the smallest perturbations found by {by}"
    return f"{start} is: {said}. True sizes are at most these; no attack was run at a fixed budget."
