"""Attacks that somebody hands in: run under watch, left out where they break the rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..attacks import is_fooled
from ..attacks.manners import look
from ..errors import AttackCheated, UserError
from ..results import AttackResult
from ..threats import ThreatModel
from ..types import Attack, Model, Split
from .probes import Witness
from .robustness import evaluate
from .suites import Suite


@dataclass
class Lost:
    """By attack: how many images it had fooled and gave up, of how many; and which."""

    counts: dict[str, tuple[int, int]]
    images: set[int]


def try_own_attacks(
    model: Model,
    split: Split,
    attacks: Mapping[str, Attack],
    threat: ThreatModel,
    broken: dict[str, str],
    settings: Mapping,
) -> tuple[list[AttackResult], Lost]:
    """A row for each attack that keeps the rules; why the others have none goes into `broken`."""
    rows, lost = [], Lost({}, set())
    fresh = {key: value for key, value in settings.items() if key != "journal"}
    for name, attack in attacks.items():
        seen: list[Tensor] = []
        try:
            watched = partial(_watched, attack, threat, seen)
            rows += evaluate(model, split, threat=threat, suite=Suite({name: watched}), **fresh)
        except UserError:
            raise
        except Exception as error:  # whatever somebody's attack, or the model under it, may raise
            cheated = isinstance(error, AttackCheated)
            broken[name] = str(error) if cheated else f"{name}: {type(error).__name__}: {error}"
            continue
        flags = torch.cat(seen) if seen else torch.zeros(0, dtype=torch.bool)
        attempted = torch.tensor(rows[-1].index)[torch.tensor(rows[-1].attempted)]
        if len(flags) == len(attempted):
            lost.counts[name] = (int(flags.sum()), len(flags))
            lost.images |= set(attempted[flags].tolist())
    return rows, lost


def _watched(attack: Attack, threat: ThreatModel, seen: list[Tensor], model: Model, x: Tensor, y: Tensor, **call):
    """The attack, with a witness of what it sees; what fooled and was not returned is noted."""
    witness = Witness(model, x, y, threat)
    x_adv = attack(witness, x, y, **call)
    if x_adv.shape == x.shape:
        seen.append((witness.saw & ~is_fooled(look(model, x_adv.detach().to(x.dtype)), y)).cpu())
    return x_adv
