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
    start = torch.logit(0.5 + _INSIDE * (x - 0.5)) / 2
    rows = {"start": start, "w": start, "first": torch.zeros_like(x), "second": torch.zeros_like(x)}
    rows |= {"nearest": x.new_full((len(x),), threat.eps), **search_rows(x, initial_constant)}
    at = Standing(x, y=y, targets=targets, **rows)
    with undisturbed(model):
        logits = look(model, x)
        check_signs(objective, logits, y, targets)
        at.settle(is_fooled(logits, y))
        for _ in range(search_steps * steps):
            if not len(at):
                break
            x_adv = torch.sigmoid(2 * at.w)  # (tanh w + 1) / 2
            logits, shortfall, slope_of_shortfall = slope(
                model, x_adv, lambda logits: (confidence - objective(logits, at.y, at.targets)).clamp_min(0)
            )
            delta = x_adv - at.x
            distance = threat.size(delta)
            success = is_success(logits, at.y, shortfall, confidence)
            nearer = success & (distance <= at.nearest)
            at.improve(nearer, x_adv)
            at.nearest = torch.where(nearer, distance, at.nearest)
            gradient = (2 * delta + _wide(at.constant) * slope_of_shortfall) * (2 * x_adv * (1 - x_adv))
            at.w = at.w - learning_rate * _adam(at, gradient)
            loss = distance.square() + at.constant * shortfall
            over = advance(at, success, loss, steps=steps, abort_early=abort_early)
            at.reset(over, w=at.start, first=0.0, second=0.0)
            at.settle((at.searched == search_steps) | (nearer & stop_when_fooled))
    return at.result()


def _adam(at: Standing, gradient: Tensor) -> Tensor:
    """Direction of Kingma and Ba's algorithm 1 (2015, arXiv:1412.6980); its moments and step count are rows."""
    at.first = torch.lerp(at.first, gradient, 0.1)
    at.second = torch.lerp(at.second, gradient.square(), 0.001)
    first_weight, second_weight = 1 - 0.9 ** (at.taken + 1), 1 - 0.999 ** (at.taken + 1)
    return (at.first / _wide(first_weight)) / ((at.second / _wide(second_weight)).sqrt_().add_(1e-8))


def _wide(rows: Tensor) -> Tensor:
    return rows.view(-1, 1, 1, 1)
