"""Evaluations that go on where a model fails or an attack cheats: what can be had is had, the rest is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from ..attacks import undisturbed
from ..attacks.manners import look
from ..errors import AttackFailed, AttackRaised, UserError
from ..results import AttackResult
from ..threats import ThreatModel
from ..types import Model, Split, as_pixels
from .identity import data_hash
from .robustness import evaluate
from .sharing import merge
from .suites import Suite


class Crashed(UserError):
    """The model failed on every image there was: nothing is left to judge."""


@dataclass(frozen=True)
class Mishaps:
    """What went wrong, in words: attacks that cheated or raised, by name, and where the model failed."""

    broken_rules: dict[str, str] = field(default_factory=dict)
    raised: dict[str, str] = field(default_factory=dict)
    crashes: dict[str, str] = field(default_factory=dict)

    def name(self, error: AttackFailed) -> None:
        """One more attack is left out."""
        (self.raised if isinstance(error, AttackRaised) else self.broken_rules)[error.attack] = str(error)

    def of_attacks(self) -> str:
        """Why attacks were left out."""
        return "; ".join([*self.broken_rules.values(), *self.raised.values()])


def evaluated(
    model: Model,
    split: Split,
    *,
    threat: ThreatModel,
    suite: str | Suite,
    mishaps: Mishaps,
    lost: dict[str, set[int]] | None = None,
    **settings,
) -> list[AttackResult]:
    """`evaluate` without attacks that cheat or raise; where the model fails, without the batches it fails on.

    Only attacks that are watched (`lost`) may do either: they are somebody's own.
    """
    attempt = partial(evaluate, model, threat=threat, suite=suite, lost=lost, **settings)
    try:
        return _attempted(attempt, split, mishaps.crashes, settings.get("batch_size", 256))
    except AttackFailed as error:
        if lost is None:
            raise
        mishaps.name(error)
        lost.pop(error.attack, None)
        left = {name: attack for name, attack in suite.attacks.items() if name != error.attack}
    kept = replace(suite, attacks=left)
    return evaluated(model, split, threat=threat, suite=kept, mishaps=mishaps, lost=lost, **settings) if left else []


def _attempted(attempt: Callable, split: Split, crashes: dict[str, str], size: int) -> list[AttackResult]:
    """All images at once; where the model fails on some, batch by batch without them."""
    try:
        return attempt(split)
    except (UserError, AttackFailed):
        raise
    except Exception:  # whatever a model may raise
        return _batch_by_batch(attempt, split, crashes, size)


def _batch_by_batch(attempt: Callable, split: Split, crashes: dict[str, str], size: int) -> list[AttackResult]:
    parts = []
    for rows in torch.arange(len(split.labels)).split(size):
        part = Split(*(each[rows] for each in split))
        try:
            parts.append(attempt(part))
        except (UserError, AttackFailed):
            raise
        except Exception as error:
            crashes[f"{part.index[0].item()} attacked"] = crash(part.index, error, "under attack")
    if not parts:
        raise Crashed(f"the model fails on every batch: {list(crashes.values())[-1]}")
    return joined(parts, split)


def sound_images(model: Model, split: Split, settings: Mapping) -> tuple[Split, dict[str, str]]:
    """The images on which the model answers at all, and what it raised on the others' batches."""
    kept, crashes = [], {}
    with undisturbed(model):
        for rows in torch.arange(len(split.labels)).split(settings.get("batch_size", 256)):
            try:
                look(model, as_pixels(split.images[rows]).to(settings.get("device", "cpu")))
                kept.append(rows)
            except UserError:
                raise
            except Exception as error:  # whatever a model may raise
                crashes[str(split.index[rows[0]].item())] = crash(split.index[rows], error, "on clean images")
    if not kept:
        raise Crashed(f"the model fails on every batch: {next(iter(crashes.values()))}")
    return (Split(*(each[torch.cat(kept)] for each in split)) if crashes else split), crashes


def crash(index: Tensor, error: Exception, when: str) -> str:
    """Which images a model failed on, when, and what it raised."""
    words = str(error).strip().splitlines()
    return f"images {index[0]} to {index[-1]} {when}: {type(error).__name__}: {words[0] if words else ''}"


def joined(parts: Sequence[list[AttackResult]], split: Split) -> list[AttackResult]:
    """Rows of parts that were attacked one after the other, as of one; an attack left out of one part is left out.

    Where that leaves none, there are no rows.
    """
    if len(parts) == 1:
        return parts[0]
    kept = set.intersection(*({row.attack for row in rows} for rows in parts))
    parts = [[row for row in rows if row.attack in kept] for rows in parts]
    if not kept:
        return []
    there = subset(split, [image for rows in parts for image in rows[0].index])
    seconds = [sum(row.seconds for row in rows) for rows in zip(*parts, strict=True)]
    return [replace(row, seconds=spent) for row, spent in zip(merge(parts, there), seconds, strict=True)]


def over_the_same_images(rows: Sequence[AttackResult], split: Split) -> list[AttackResult]:
    """Rows cut down to the images all of them speak of (a model may have failed under one attack and not another)."""
    common = set.intersection(*(set(row.index) for row in rows))
    if all(len(row.index) == len(common) for row in rows):
        return list(rows)
    if not common:
        raise Crashed("the model fails on every image under one attack or another")
    cut, same = [], data_hash(subset(split, [image for image in rows[0].index if image in common]))
    for row in rows:
        keep = [place for place, image in enumerate(row.index) if image in common]
        per_image = ("index", "correct", "fooled", "size", "attempted", "labels")
        left = {name: [getattr(row, name)[place] for place in keep] for name in per_image}
        cut.append(replace(row, data_hash=same, **left))
    return cut


def subset(split: Split, index: Sequence[int]) -> Split:
    """The images of these indices, in their order."""
    places = {image: place for place, image in enumerate(split.index.tolist())}
    rows = torch.tensor([places[image] for image in index])
    return Split(*(each[rows] for each in split))
