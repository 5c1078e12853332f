"""Which rows may stand beside each other: those about the same images, budget and suite."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..results import AttackResult, worst_case
from .reading import RunRecord

FIXED = "fixed"  # kinds of rows: one budget,
CURVE = "curve"  # one of several budgets, for accuracy against budget: suites of this name,
MINIMUM_NORM = "minimum_norm"  # no limit: `size` is the smallest found; suites of this name
TRANSFORMATIONS = "transformations"  # no adversary in a ball: rotations, noise, corruptions; suites of this name
PLAIN = "plain"  # no suite: 20 steps of PGD on cross-entropy, which an audit adds where none of its suites has them
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}


class Condition(NamedTuple):
    """What rows must share before their accuracies can be compared."""

    data: str
    data_hash: str
    split: str
    suite: str
    threat: str
    eps: float
    index: tuple[int, ...]

    @property
    def kind(self) -> str:
        """What the rows are made for: FIXED, CURVE, MINIMUM_NORM or TRANSFORMATIONS."""
        return self.suite if self.suite in (CURVE, MINIMUM_NORM, TRANSFORMATIONS) else FIXED

    @property
    def budget(self) -> str:
        """The threat and its size in words: Linf eps 8/255, or Linf without limit."""
        norm = norm_name(self.threat)
        if self.kind == MINIMUM_NORM:
            return f"{norm} without limit"
        if self.kind == TRANSFORMATIONS:
            return "any image in [0, 1]"
        return f"{norm} eps {eps_text(self.eps, self.threat)}"

    @property
    def images(self) -> str:
        """Which images: 1,000 images of digits (test)."""
        return f"{len(self.index):,} images of {self.data} ({self.split})"


def condition_of(row: AttackResult) -> Condition:
    """The condition a row was made under."""
    return Condition(row.data, row.data_hash, row.split, row.suite, row.threat, row.eps, tuple(row.index))


def conditions(runs: Sequence[RunRecord], *kinds: str) -> list[Condition]:
    """Every condition of these kinds in the runs' rows, sorted; of the same images, in the order of the kinds."""
    every = {condition for run in runs for row in run.results for condition in _conditions_of(run, row)}

    def order(c: Condition) -> tuple:
        return c.data, c.split, kinds.index(c.kind), c.suite, c.threat, c.eps, -len(c.index), c

    return sorted((condition for condition in every if condition.kind in kinds), key=order)


def rows_under(run: RunRecord, condition: Condition) -> list[AttackResult]:
    """A run's rows made under the condition; what an audit added to its suites first."""
    alike = (row for row in run.results if row.eps == condition.eps and row.suite in (condition.suite, PLAIN))
    rows = [row for row in alike if condition in _conditions_of(run, row)]
    return sorted(rows, key=lambda row: row.suite != PLAIN)


def _conditions_of(run: RunRecord, row: AttackResult) -> list[Condition]:
    """Where a row counts: under its own suite, or, where an audit added it, under each suite of that audit."""
    own = condition_of(row)
    if row.suite != PLAIN:
        return [own]
    together = [each for audit in run.audits if asked_of(row) in attacked(audit) for each in attacked(audit)]
    suites = {suite for suite, *about in together if tuple(about) == asked_of(row)[1:]} - {PLAIN}
    return [own._replace(suite=suite) for suite in sorted(suites)] or [own]


def asked_of(row: AttackResult) -> tuple:
    """What was asked for when the row was made: suite, threat, budget, split, number of images, seed."""
    return row.suite, row.threat, row.eps, row.split, row.num_images, row.seed


def attacked(audit: dict) -> list[tuple]:
    """The same of each attack of an audit."""
    threat, split, seed = (audit.get(name) for name in ("threat", "split", "seed"))
    attacks = audit.get("attacks", ())
    return [(each["suite"], threat, each["eps"], split, each["num_images"], seed) for each in attacks]


def main_condition(runs: Sequence[RunRecord], kind: str = FIXED) -> Condition | None:
    """Where most runs met, of one kind: then most images, a budget that was audited, the smallest budget above 0, the
    suite that fooled most.
    """
    audited = {(audit["threat"], audit["eps"]) for run in runs for audit in run.audits}

    def weight(condition: Condition) -> tuple:
        met = [rows for run in runs if (rows := rows_under(run, condition))]
        fooled = sum(sum(worst_case(rows)) for rows in met)
        budget = (condition.threat, condition.eps) in audited, condition.eps > 0, -condition.eps
        return len(met), len(condition.index), *budget, fooled, sum(map(len, met))

    return max(conditions(runs, kind), key=weight, default=None)


def titles(found: Sequence[Condition]) -> list[str]:
    """One heading per condition; equal ones are told apart by the hash of the data and the images' positions."""
    plain = [f"{c.images}, {c.budget}, suite {c.suite}" for c in found]
    counts = Counter(plain)
    return [
        text if counts[text] == 1 else f"{text} (data {c.data_hash[:8]}, images {min(c.index)} to {max(c.index)})"
        for text, c in zip(plain, found, strict=True)
    ]


def norm_name(threat: str) -> str:
    """How the norm is written: Linf, L2, L1, L0."""
    return NORMS.get(threat.lower(), threat)


def eps_text(eps: float, threat: str) -> str:
    """A budget as people write it: 8/255 in Linf when it is a whole number of gray levels, else a decimal, as 0.2."""
    levels, is_short = eps * 255, abs(eps - round(eps, 2)) < 1e-6
    if is_in_levels(threat) and not is_short and abs(levels - round(levels)) < 1e-4 and round(levels) > 0:
        return f"{round(levels)}/255"
    return f"{eps:.4g}"


def attack_text(name: str) -> str:
    """An attack's name with its budget as people write it: Linf(eps=0.0313725) becomes Linf eps 8/255."""
    return re.sub(
        r"(\w+)\(eps=([0-9.e-]+)\)", lambda found: f"{found[1]} eps {eps_text(float(found[2]), found[1])}", name
    )


def size_text(size: float, threat: str) -> str:
    """The size of a perturbation to three digits: 3.14/255 in Linf, 0.512 in L2, 1,234 in L1; infinite: ∞."""
    levels = is_in_levels(threat)
    if size == float("inf"):
        return "∞"
    text = f"{size * 255 if levels else size:.3g}"
    return (text if "e+" not in text else f"{size:,.0f}") + ("/255" if levels and size > 0 else "")


def size_unit(threat: str) -> str:
    """In what sizes and budgets are counted."""
    if is_in_levels(threat):
        return "1/255 of the pixel range"
    return "pixels times channels" if threat.lower() == "l0" else "pixels in [0, 1]"


def is_in_levels(threat: str) -> bool:
    """Whether people count this norm in gray levels, 1/255."""
    return threat.lower() == "linf"
