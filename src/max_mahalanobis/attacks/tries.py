"""Attacks tried several times: with other draws, or aimed at other classes. Each is made of an attack with its threat.

    partial(every_target, partial(apgd, threat=Linf(8 / 255), objective=dlr), top=9)

Images that one try fools do not meet the next.
"""

import torch
from torch import Tensor

from ..draws import derive, uniform
from ..errors import UserError, at_least_one
from ..threats import ThreatModel
from ..types import Attack, Model
from .manners import check_call, explained, is_fooled, look, undisturbed

_TARGET_STREAM = 7919
_SMALL_BATCH = 2**18  # numbers in the images of a batch that no machine minds: 334 of MNIST, 85 of CIFAR-10


def restarts(
    attack: Attack, model: Model, x: Tensor, y: Tensor, *, targets: Tensor | None = None, seeds=None, times: int = 5
) -> Tensor:
    """`attack` up to `times` times, each with draws of its own, on the images that hold; costs up to `times` of it."""
    check_call(model, x, y, targets, seeds)
    at_least_one(times=times)
    aims = None if targets is None else targets[:, None].expand(-1, times)
    return _try_each(attack, model, x, y, aims, seeds, times)


def every_target(
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    top: int | None = 9,
    smallest: ThreatModel | None = None,
) -> Tensor:
    """`attack` aimed at the `top` other classes with the largest clean logits (all of them: None), best first.

    AutoAttack's targeted attacks take 9 (Croce and Hein 2020, https://arxiv.org/abs/2003.01690); with fewer other
    classes all are taken. When few images are left, several targets share a batch; what is found does not depend on it.

    Args:
        smallest: with a threat, every image meets all targets and the smallest fooling perturbation in its norm counts,
            as minimum-norm attacks want it; without, the first that fools.

    Raises:
        UserError: `targets` are given: there is nothing left to choose.
    """
    others = _likeliest(model, x, y, targets, seeds, top)
    return _try_each(attack, model, x, y, others, seeds, others.shape[1], smallest)


def nearest_targets(
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    scout: Attack,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    scouted: int | None = 9,
    top: int = 1,
) -> Tensor:
    """`scout` aimed at the `scouted` likeliest other classes, then `attack` at the `top` of them it came nearest to.

    Nearest is where the target's logit rose highest above the label's. Clean logits say little of which class an image
    can be turned into (with MMC next to nothing, its centers being equally far apart); a few steps say nearly all. Bind
    a scout of few steps and an attack of many: as strong as `every_target` with the many, at a fraction of the passes.

    Raises:
        UserError: `targets` are given: there is nothing left to choose.
    """
    others = _likeliest(model, x, y, targets, seeds, scouted)
    at_least_one(top=top)
    if not len(x):
        return x.clone()
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    leads = torch.full(others.shape, -torch.inf, dtype=x.dtype, device=x.device)
    x_adv = _try_each(scout, model, x, y, others, seeds, others.shape[1], leads=leads)
    with undisturbed(model):
        held = (~is_fooled(look(model, x_adv), y)).nonzero().squeeze(1)
    if len(held):
        order = torch.nan_to_num(leads[held], nan=-torch.inf).argsort(dim=1, descending=True, stable=True)
        best = others[held].gather(1, order)[:, :top]
        own = derive(seeds[held], others.shape[1])
        x_adv[held] = _try_each(attack, model, x[held], y[held], best, own, best.shape[1])
    return x_adv


def toward_random_class(
    attack: Attack, model: Model, x: Tensor, y: Tensor, *, targets: Tensor | None = None, seeds: Tensor | None = None
) -> Tensor:
    """`attack` aimed at one random wrong class per image, as in the paper's targeted tables.

    An image still counts as fooled when it is not classified as `y`.
    """
    if targets is not None:
        raise UserError("toward_random_class draws the targets: call it without")
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    with undisturbed(model):
        num_classes = look(model, x[:1]).shape[1]
    return attack(model, x, y, targets=random_wrong_targets(y, num_classes, seeds), seeds=seeds)


def random_wrong_targets(y: Tensor, num_classes: int, seeds: Tensor) -> Tensor:
    """For each label a class drawn uniformly from all others; shape (batch,)."""
    offset = (uniform(seeds, 1, stream=_TARGET_STREAM).squeeze(1) * (num_classes - 1)).long() + 1
    return (y + offset) % num_classes


def _likeliest(
    model: Model, x: Tensor, y: Tensor, targets: Tensor | None, seeds: Tensor | None, top: int | None
) -> Tensor:
    """The `top` other classes with the largest clean logits, best first, shape (batch, top or fewer)."""
    check_call(model, x, y, targets, seeds)
    if targets is not None:
        raise UserError("this attack chooses its targets: call it without")
    at_least_one(top=top)
    if not len(x):
        return y[:, None]
    with undisturbed(model):
        clean = torch.nan_to_num(look(model, x), nan=-torch.inf)
    with explained(clean):
        unlike = clean.scatter(1, y.long()[:, None], -torch.inf)
    others = unlike.argsort(dim=1, descending=True, stable=True)
    others = others[others != y[:, None]].view(len(x), -1)
    return others if top is None else others[:, :top]


def _try_each(
    attack: Attack,
    model: Model,
    x: Tensor,
    y: Tensor,
    aims: Tensor | None,
    seeds: Tensor | None,
    count: int,
    smallest: ThreatModel | None = None,
    leads: Tensor | None = None,
) -> Tensor:
    """Tries 0, 1, ... of the attack; `aims` (batch, tries) are their targets. Several run side by side on few images.

    The first try that fools counts and ends it for its image; with `smallest`, all are made and the least size counts.
    Into `leads` (batch, tries) goes how far each try brought its target's logit above the label's.
    """
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x_adv, held, number = x.clone(), torch.arange(len(x), device=x.device), 0
    least = torch.full(y.shape, torch.inf, dtype=torch.float64, device=x.device)  # size, or number of the try
    while len(held) and number < count:
        width = 2 * number if smallest is None else count  # what falls early has not met many in vain
        width = max(1, min(width, count - number, _batch_size(x) // len(held)))
        rows = held.repeat_interleave(width)
        tries = torch.arange(number, number + width, device=x.device).repeat(len(held))
        targets = None if aims is None else aims[rows, tries]
        made = attack(model, x[rows], y[rows], targets=targets, seeds=derive(seeds[rows], tries))
        with undisturbed(model):
            logits = look(model, made)
        fooled = is_fooled(logits, y[rows])
        if leads is not None:
            leads[rows, tries] = (logits.gather(1, targets[:, None]) - logits.gather(1, y[rows, None]))[:, 0]
        rank = tries if smallest is None else smallest.size(made - x[rows])
        rank, best = rank.double().masked_fill(~fooled, torch.inf).view(-1, width).min(dim=1)
        better = (rank < least[held]) | least[held].isinf()
        chosen = torch.arange(len(held), device=x.device) * width + best
        x_adv[held[better]] = made[chosen[better]]
        least[held] = least[held].minimum(rank)
        held, number = held if smallest is not None else held[least[held].isinf()], number + width
    return x_adv


def _batch_size(x: Tensor) -> int:
    """As many images as the caller sent, or as a small batch holds."""
    return max(len(x), _SMALL_BATCH // x[0].numel())
