"""Attacks made of attacks: bind the parts with `partial` and the result is an attack again.

    partial(cascade, [partial(fgsm, threat=Linf(8 / 255)), partial(square, threat=Linf(8 / 255))])

Each part is an attack with its threat bound. Images that a part fools do not meet the next one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..draws import derive
from ..errors import UserError, at_least_one
from ..threats import ThreatModel
from ..types import Attack, Model
from .manners import check_call, is_fooled, look, undisturbed
from .objectives import margin


def where_close(
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    first: Attack,
    within: float = 0.2,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
) -> Tensor:
    """`first` on every image, then `attack` on those it brought close to an error and did not fool.

    Close: the label's lead over the other logits (over the target's, if targeted) has shrunk to `within` of what it was
    on the clean image. Next to all images that long attacks fool and short ones do not are among them, and where most
    images hold they are few: most of a long attack's passes are saved. Skipped are images that `first` cannot move at
    all (masked gradients; if it ends in random squares, it sees those too), and with outputs that saturate, as
    probabilities do, images whose lead stays near 1 until the boundary.

    Raises:
        UserError: `within` is not in [0, 1]; at 1 every image is close that `first` has not made safer.
    """
    check_call(model, x, y, targets, seeds)
    if not 0 <= within <= 1:
        raise UserError(f"within must lie in [0, 1], got {within}: it is the share of the clean lead that is left")
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x_adv = first(model, x, y, targets=targets, seeds=seeds).clone()
    if not len(x):
        return x_adv
    with undisturbed(model):
        logits = look(model, x_adv)
        lead, clean_lead = -margin(logits, y, targets), -margin(look(model, x), y, targets)
    close = ((lead <= within * clean_lead) & ~is_fooled(logits, y)).nonzero().squeeze(1)
    if len(close):
        aims = None if targets is None else targets[close]
        x_adv[close] = attack(model, x[close], y[close], targets=aims, seeds=derive(seeds[close], 1))
    return x_adv


def cascade(
    attacks: Sequence[Attack],
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
) -> Tensor:
    """The attacks in order, cheap ones first; only images that hold meet the next one."""
    check_call(model, x, y, targets, seeds)
    x_adv, held = x.clone(), torch.arange(len(x), device=x.device)
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    for number, attack in enumerate(attacks):
        if number > 0:
            with undisturbed(model):
                held = held[~is_fooled(look(model, x_adv[held]), y[held])]
        if not len(held):
            break
        aims = None if targets is None else targets[held]
        x_adv[held] = attack(model, x[held], y[held], targets=aims, seeds=seeds[held])
    return x_adv


def strongest_of(
    attacks: Sequence[Attack],
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
) -> Tensor:
    """Every attack on every image; of those that fool, the image with the smallest perturbation in the threat's norm.

    An image that none fools comes back as the last attack left it.
    """
    check_call(model, x, y, targets, seeds)
    if not attacks:
        raise UserError("strongest_of needs at least one attack")
    best, least = x.clone(), torch.full(y.shape, torch.inf, dtype=x.dtype, device=x.device)
    for attack in attacks:
        x_adv = attack(model, x, y, targets=targets, seeds=seeds)
        with undisturbed(model):
            size = threat.size(x_adv - x).masked_fill(~is_fooled(look(model, x_adv), y), torch.inf)
        better = (size < least) | least.isinf()
        best = torch.where(better.view(-1, 1, 1, 1), x_adv, best)
        least = least.minimum(size)
    return best


def transferred_from(
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    source: Model,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
) -> Tensor:
    """What `attack` makes of the images against `source`, another model; `model` itself is never asked.

    Bind an attack with `stop_when_fooled=False`: what barely fools the source seldom fools another model.
    """
    return attack(source, x, y, targets=targets, seeds=seeds)


class ExpectationOver(nn.Module):
    """A randomized model seen through the mean of its logits over `samples` calls (see `expectation_over`)."""

    def __init__(self, model: Model, samples: int):
        super().__init__()
        at_least_one(samples=samples)
        self.model = model
        self.samples = samples

    def forward(self, x: Tensor) -> Tensor:
        """Mean logits (batch, classes)."""
        return torch.stack([self.model(x) for _ in range(self.samples)]).mean(dim=0)


def expectation_over(model: Model, samples: int = 20) -> ExpectationOver:
    """A model to attack in place of a randomized one: its logits, and so its gradients, averaged over `samples` calls.

    Expectation over transformation (Athalye et al. 2018, https://arxiv.org/abs/1707.07397); each pass costs `samples`.
    """
    return ExpectationOver(model, samples)
