"""Which rows follow the paper's protocol, which stand beside them, and what of both still holds."""

from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult
from .conditions import FIXED, Condition, conditions, eps_text, norm_name, rows_under
from .reading import RunRecord
from .verdicts import adaptive_rows

PAPER = "paper_faithful"
NEAR = 0.05  # of the budget, above it: 8/255 is 0.004 above 8/256, so that what falls within 8/256 falls within it


class Beside(NamedTuple):
    """One run under one budget of the paper's: its rows, and all rows of honest suites at it or a little above."""

    run: RunRecord
    paper: Condition
    theirs: list[AttackResult]
    honest: list[AttackResult]

    @property
    def eps(self) -> float:
        """The honest budget, which holds what fell within a smaller one."""
        return max(row.eps for row in self.honest)

    @property
    def together(self) -> list[AttackResult]:
        """An image that any attack fooled is fooled, the paper's among them."""
        return [*self.theirs, *self.honest]


def beside(runs: Sequence[RunRecord]) -> list[Beside]:
    """Every run and budget of the paper's at which both were run on the same images."""
    papers = [condition for condition in conditions(runs, FIXED) if condition.suite == PAPER]
    found = [Beside(run, c, rows_under(run, c), _honest(run, c)) for c in papers for run in runs]
    return [each for each in found if each.theirs and each.honest]


def near(run: RunRecord, paper: Condition) -> list[AttackResult]:
    """All rows of the run on the paper's images, at its budget or one a little larger."""
    alike = (c for c in conditions([run], FIXED) if c._replace(suite=PAPER, eps=paper.eps) == paper)
    return [row for c in alike if 0 <= c.eps - paper.eps <= NEAR * paper.eps for row in rows_under(run, c)]


def held(rows: Sequence[AttackResult]) -> list[bool]:
    """Per image, whether it is right when clean and none of the attacks fooled it.

    What a cascade carries over from its earlier attacks is not counted for its later ones.
    """
    return [all(each) for each in zip(*map(_held, rows), strict=True)]


def title(paper: Condition) -> str:
    """The images and the budget as the paper writes it."""
    return f"{paper.images}, {norm_name(paper.threat)} eps {in_256ths(paper.eps, paper.threat)}"


def in_256ths(eps: float, threat: str) -> str:
    """A budget the paper's way where it is a whole number of 1/256, as in 8/256."""
    parts = eps * 256
    whole = norm_name(threat) == "Linf" and round(parts) > 0 and abs(parts - round(parts)) < 1e-4
    return f"{round(parts)}/256" if whole else eps_text(eps, threat)


def _held(row: AttackResult) -> list[bool]:
    outcomes = zip(row.correct, row.attempted, row.fooled, strict=True)
    return [right and not (tried and fell) for right, tried, fell in outcomes]


def _honest(run: RunRecord, paper: Condition) -> list[AttackResult]:
    """All rows of suites with adaptive objectives near the paper's budget."""
    rows = [row for row in near(run, paper) if row.suite != PAPER]
    suites = {(row.eps, row.suite) for row in adaptive_rows(rows)}
    return [row for row in rows if (row.eps, row.suite) in suites]
