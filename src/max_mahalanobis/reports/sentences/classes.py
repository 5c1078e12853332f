"""Which classes hold worst and best, in words, where most runs met."""

from collections.abc import Sequence
from dataclasses import replace

from ...statistics import Proportion, proportion
from ..classes import ClassShare, by_class, chance, labelled
from ..conditions import Condition, main_condition
from ..reading import RunRecord
from ..verdicts import MAX_P_VALUE
from .words import Sentence, where

MOST_NAMED = 3  # classes that hold alike; of more only the number is told


def class_sentences(runs: Sequence[RunRecord]) -> list[Sentence]:
    """A sentence for each run that met the main one of the conditions whose images have labels."""
    found = labelled(runs)
    known = [replace(run, results=[row for row in run.results if len(row.labels)]) for run in runs]
    condition = main_condition(known)
    if condition is None:
        return []
    told = ((run, by_class(run, condition, found[condition])) for run in runs)
    return [Sentence(_told(run, condition, shares)) for run, shares in told if len(shares) > 1]


def _told(run: RunRecord, condition: Condition, shares: Sequence[ClassShare]) -> str:
    start, ordered = where(run, condition), sorted(shares, key=lambda share: share.robust.value)
    worst, best, p = ordered[0], ordered[-1], chance(shares)
    if worst.robust.value == best.robust.value:
        return f"{start}: all {len(shares)} classes hold alike in the worst case, {worst.robust} of their images each."
    ends = (_end(run, [share for share in shares if share.robust.value == end.robust.value]) for end in (worst, best))
    said = "; ".join(f"{who} {how}: {held}" for (who, held), how in zip(ends, ("worst", "best"), strict=True))
    doubt = f" Chance alone would part classes that hold alike this far (p = {p:.2g})." if p >= MAX_P_VALUE else ""
    return f"{start}: in the worst case {said}.{doubt}"


def _end(run: RunRecord, shares: Sequence[ClassShare]) -> tuple[str, Proportion]:
    """Who stands at one end, and what they hold together."""
    held = proportion(*(sum(counts) for counts in zip(*(share.robust[3:] for share in shares), strict=True)))
    *others, last = (run.class_name(share.label) for share in shares)
    if len(shares) > MOST_NAMED:
        return f"{len(shares)} of the classes hold", held
    return (f"classes {', '.join(others)} and {last} hold" if others else f"class {last} holds"), held
