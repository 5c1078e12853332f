"""Attacks and experiments that try an evaluation: orders of strength to be kept, examples planted to be found."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..attacks import apgd, cross_entropy, fgsm, margin, pgd, square, transferred_from, undisturbed, uniform_noise
from ..results import AttackResult, worst_case
from ..threats import ThreatModel
from ..types import Model, Split
from .binarization import binarization_test
from .endurance import Crashed
from .probes import detection, look_at_all
from .suites import Suite

_PLANTED = 12  # images of the binarization test
_EVERYTHING = {"Linf": 1.0}


def trials_on(
    run: Callable,
    split: Split,
    correct: Tensor,
    rows: Sequence[AttackResult],
    threat: ThreatModel,
    count: int,
    source: Model | None = None,
) -> dict[str, AttackResult]:
    """Attacks that test the evaluation, by what they try; those under which the model fails are left out."""
    first, held = taken(split, correct, count), taken(split, ~torch.tensor(worst_case(rows)), count)
    wide = replace(threat, eps=min(4 * threat.eps, _EVERYTHING.get(threat.name, torch.inf)))
    free = type(threat).unlimited(split.images[0].numel())
    trials = {
        "white box": (first, {"apgd-50 margin": partial(apgd, threat=threat, objective=margin, steps=50)}),
        "one step": (first, {"fgsm margin": partial(fgsm, threat=threat, objective=margin)}),
        "noise": (first, {"uniform noise": partial(uniform_noise, threat=threat, draws=20)}),
        "black box": (first, {"square-500": partial(square, threat=threat, queries=500, ahead=4)}),
        "four budgets": (first, {"apgd-50 margin": partial(apgd, threat=wide, objective=margin, steps=50)}),
        "no limit": (first, {"apgd-100 margin": partial(apgd, threat=free, objective=margin, steps=100)}),
        "longer": (
            held,
            {
                f"apgd-200 {objective.__name__}, 2 restarts": partial(
                    apgd, threat=threat, objective=objective, steps=200, restarts=2
                )
                for objective in (margin, cross_entropy)
            },
        ),
    }
    if source is not None:
        strong = partial(apgd, threat=threat, objective=margin, steps=50, stop_when_fooled=False)
        trials["transfer"] = (first, {"transfer": partial(transferred_from, strong, source=source)})
    made: dict[str, AttackResult] = {}
    for name, (images, attacks) in trials.items():
        room = {"four budgets": wide, "no limit": free}.get(name, threat)
        if len(images.labels):
            with contextlib.suppress(Crashed):
                some = run(images, threat=room, suite=Suite(attacks, cascade=True))
                made[name] = replace(some[-1], attempted=some[0].attempted)
    return made


def planted(model: Model, x: Tensor, y: Tensor, threat: ThreatModel, *, batch_size: int = 256) -> dict:
    """The binarization test on the model's features, or on its logits where it has none."""
    if not threat.eps:
        return {}
    attack, features = partial(apgd, threat=threat, objective=margin, steps=50), getattr(model, "features", None)
    with undisturbed(model):
        test = partial(binarization_test, features if callable(features) else model, batch_size=batch_size)
        return {"binarization": test(x[:_PLANTED], threat=threat, attack=attack)}


def under_attack(
    model: Model, x: Tensor, y: Tensor, threat: ThreatModel, *, labels: set[int], batch_size: int = 256
) -> dict:
    """How well a low score tells attacked images from clean ones; and of those that fell, how many went to one class
    that no label has.
    """
    seeds = torch.arange(len(x), device=x.device)
    batches = zip(*(each.split(batch_size) for each in (x, y, seeds)), strict=True)
    attack = partial(pgd, model, threat=threat, objective=margin, steps=20)
    x_adv = torch.cat([attack(some, labels_of, seeds=own) for some, labels_of, own in batches])
    with undisturbed(model):
        predicted = look_at_all(model, x_adv, batch_size).argmax(dim=1)
    fallen = predicted != y
    unknown = [int((predicted[fallen] == k).sum()) for k in set(predicted[fallen].tolist()) - labels]
    return {
        "refused": (max(unknown, default=0), int(fallen.sum())),
        "detection": detection(model, x, x_adv, batch_size=batch_size),
    }


def taken(split: Split, chosen: Tensor, count: int) -> Split:
    """The first `count` of the images chosen."""
    rows = chosen.nonzero().squeeze(1)[:count]
    return Split(*(each[rows] for each in split))
