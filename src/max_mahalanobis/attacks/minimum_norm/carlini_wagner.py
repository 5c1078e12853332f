"""Carlini and Wagner's L2 attack: Adam in tanh space, with a search over the constant."""

import torch
from torch import Tensor

from ...errors import UserError, one_of
from ...threats import ThreatModel
from ...types import Model, Objective
from ..manners import check_call, is_fooled, look, slope, undisturbed
from ..objectives import margin
from ..standing import Standing
from .constant import advance, check_search, check_signs, is_success, search_rows

_INSIDE = 0.999999  # share of the box's half width that the clean image keeps: atanh(1) is infinite


def cw_l2(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    steps: int = 1000,
    search_steps: int = 9,
    learning_rate: float | int = 0.005,
    initial_constant: float | int = 0.01,
    confidence: float | int = 0.0,
    abort_early: bool = True,
    stop_when_fooled: bool = False,
) -> Tensor:
    """The closest fooling image seen on the way (Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644).

        minimize over w  ||x_adv - x||^2 + constant * max(confidence - objective, 0),   x_adv = (tanh w + 1) / 2

    by Adam from the image itself, once per constant of a search over it (see `constant`). The defaults are those of
    Pang et al. 2020. 1 + search_steps * steps forwards and search_steps * steps backwards per image at most; an
    image's descents that stall end early. Nothing is random: `seeds` is not used.

    Args:
        threat: an `L2`; nothing found within its eps returns the image unchanged.
        objective: must change sign where the model errs: margin, dlr, un_2, tar_2.
        steps: of Adam, for each of `search_steps` constants.
        confidence: lead (in the objective's units) without which an image does not count as fooled.
        stop_when_fooled: images leave with the first success within eps.
    """
    check_call(model, x, y, targets, seeds)
    one_of("threat for cw_l2", threat.name, ("L2",))
    check_search(steps, search_steps, initial_constant, confidence)
    if not learning_rate > 0:
        raise UserError(f"learning_rate must be positive, got {learning_rate}")
    x, y = x.detach(), y.long()
    start = torch.logit(0.5 + _INSIDE * (x - 0.5))
    rows = {"start": start, "twice_w": start.clone(), "first": torch.zeros_like(x), "second": torch.zeros_like(x)}
    rows |= {"nearest": x.new_full((len(x),), threat.eps), **search_rows(x, initial_constant)}
    at, weights = Standing(x, y=y, targets=targets, **rows), _adam_weights(x, steps)
    with undisturbed(model):
        logits = look(model, x)
        check_signs(objective, logits, y, targets)
        at.settle(is_fooled(logits, y))
        for _ in range(search_steps * steps):
            if not len(at):
                break
            x_adv = torch.sigmoid(at.twice_w)  # (tanh w + 1) / 2
            logits, shortfall, slope_of_shortfall = slope(
                model, x_adv, lambda logits: (confidence - objective(logits, at.y, at.targets)).clamp_min(0)
            )
            delta = x_adv - at.x
            squared = delta.flatten(1).square().sum(dim=1)
            distance = squared.sqrt()
            success = is_success(logits, at.y, shortfall, confidence)
            nearer = success & (distance <= at.nearest)
            at.improve(nearer, x_adv)
            at.nearest = torch.where(nearer, distance, at.nearest)
            half = torch.addcmul(delta, slope_of_shortfall, _wide(at.constant / 2))
            _adam(at, torch.ops.aten.sigmoid_backward(half, x_adv), weights, learning_rate)
            loss = squared + at.constant * shortfall
            over = advance(at, success, loss, steps=steps, abort_early=abort_early)
            at.reset(over, twice_w=at.start, first=0.0, second=0.0)
            at.settle((at.searched == search_steps) | (nearer & stop_when_fooled))
    return at.result()


def _adam_weights(x: Tensor, steps: int) -> Tensor:
    """What turns the moments after each step into a direction, shape (2, steps): see `_adam`."""
    first, second = (1 - decay ** torch.arange(1, steps + 1, dtype=torch.float64) for decay in (0.9, 0.999))
    return torch.stack([1e-8 / 4 * first, first / second.sqrt()]).to(x)


def _adam(at: Standing, quarter: Tensor, weights: Tensor, learning_rate: float | int) -> None:
    """A step of Kingma and Ba's algorithm 1 (2015, arXiv:1412.6980) on w, from a quarter of the gradient in it.

    Moments and step count are rows. With a quarter of the 1e-8 that keeps from 0 / 0 the step is that of the whole.
    """
    at.first.lerp_(quarter, 0.1)
    at.second.mul_(0.999).addcmul_(quarter, quarter, value=0.001)
    tiny, scale = weights[:, at.taken.long()]
    length = torch.addcmul(_wide(tiny), at.second.sqrt(), _wide(scale))
    at.twice_w.addcdiv_(at.first, length, value=-2 * learning_rate)


def _wide(rows: Tensor) -> Tensor:
    return rows.view(-1, 1, 1, 1)
