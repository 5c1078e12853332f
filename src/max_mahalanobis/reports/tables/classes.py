"""Accuracy per class, clean and in the worst case: a line for each run and class."""

from collections.abc import Sequence

from ..classes import by_class, labelled
from ..conditions import titles
from ..reading import RunRecord
from .cells import Cell, Table, share_cell

PER_CLASS = (
    "Accuracies in %, with 95 % Wilson intervals, each over the images of one class; in the worst case an upper bound."
)


def class_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """One table per condition at a fixed budget whose rows name the true classes (schema 3)."""
    found = labelled(runs)
    return [
        Table(f"{title}, by class", ("run", "class", "images", "clean", "worst case"), lines, (PER_CLASS,), keys=2)
        for (condition, labels), title in zip(found.items(), titles(list(found)), strict=True)
        if (lines := tuple(line for run in runs for line in _lines(run, by_class(run, condition, labels))))
    ]


def _lines(run: RunRecord, shares: Sequence) -> list[tuple[Cell, ...]]:
    return [
        (
            Cell(run.name),
            Cell(run.class_name(share.label)),
            Cell(str(share.robust.total)),
            share_cell(share.clean),
            share_cell(share.robust),
        )
        for share in shares
    ]
