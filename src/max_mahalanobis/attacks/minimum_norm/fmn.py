"""FMN: fast minimum-norm attacks by adaptive norm constraints."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...errors import UserError, at_least_one, one_of
from ...threats import L2, ThreatModel
from ...types import Model
from ..manners import check_call, is_fooled, slope, undisturbed
from ..objectives import margin
from ..standing import Standing
from .boundary import DUALS

_LAST_GAMMA, _LAST_STEP = 0.001, 0.01
_ROUNDING = 5e-7  # a perturbation of length eps may come out longer by this, half of what threats tolerate
_MICHELOT_STEPS = 20


def fmn(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    steps: int = 100,
    step_size: float = 1.0,
    gamma: float = 0.05,
    stop_when_fooled: bool = False,
) -> Tensor:
    """The smallest fooling perturbation in Linf, L2, L1 or L0, from balls that shrink when fooled and grow when not.

    delta <- projection of delta + alpha * gradient / ||gradient||_2 onto the ball of `radius`, then clipped to the box;
    until x + delta fools for the first time, radius <- (1 + gamma) max(radius, ||delta|| + |margin| / ||gradient||_*),
    then radius <- min((1 - gamma) radius, smallest fooling size) where it fools, (1 + gamma) radius where not. The
    gradient is the margin's; alpha falls from step_size to a hundredth of it, gamma to 0.001, along a cosine (Pintor et
    al. 2021, algorithm 1, https://arxiv.org/abs/2102.12827). In L0 the radius changes by at least 1, as there.

    Two things differ from the paper: until the first success its radius is the estimate alone, which the box can hold
    short of the boundary forever, while here it grows; and no radius exceeds eps. It is a local search: among many
    classes it may settle beside the nearest boundary. Aim it at every target where that matters.

    Each step costs 1 forward and 1 backward. Nothing is random: `seeds` is taken and not used.

    Args:
        step_size: the first step, an L2 length, above 0.
        gamma: in (0, 1).
        stop_when_fooled: images leave with the first fooling one found.

    Returns:
        For each image the smallest fooling one found within eps, else the image itself.
    """
    check_call(model, x, y, targets, seeds)
    one_of("threat for fmn", threat.name, _BALLS)
    at_least_one(steps=steps)
    if not (0 < gamma < 1 and step_size > 0):
        raise UserError(f"fmn needs gamma in (0, 1) and step_size above 0, got {gamma} and {step_size}")
    x, y = x.detach(), y.long()
    project, grain = _BALLS[threat.name], 1.0 if threat.name == "L0" else 0.0  # L0 radii change by at least 1
    limit, tiny = threat.eps + _ROUNDING, torch.finfo(x.dtype).tiny
    enough = limit if stop_when_fooled else 0.0
    at = Standing(x, y=y, targets=targets, x_adv=x, size=torch.full_like(x[:, 0, 0, 0], limit))
    at.radius, at.found = torch.zeros_like(at.size), torch.zeros_like(y, dtype=torch.bool)
    with undisturbed(model):
        for step in range(steps):
            logits, lead, gradient = slope(model, at.x_adv, lambda logits: margin(logits, at.y, at.targets))
            fooled, size = is_fooled(logits, at.y), threat.size(at.x_adv - at.x)
            rounding = 16 * torch.finfo(x.dtype).eps * logits.abs().amax(dim=1)
            clear = ~(margin(logits, at.y) <= rounding)  # in another batch it must fool too
            better = fooled & clear & (size <= at.size)
            at.improve(better, at.x_adv)
            at.size = torch.where(better, size, at.size)
            length = DUALS[threat.name].size(gradient) if threat.name in DUALS else torch.inf
            reach = size + lead.abs() / (length + tiny)
            falling = (1 + math.cos(math.pi * step / steps)) / 2
            rate = _LAST_GAMMA + (gamma - _LAST_GAMMA) * falling
            at.radius = _next_radius(at, fooled, reach, rate, grain).clamp_max(threat.eps)
            at.found = at.found | fooled
            alpha = step_size * (_LAST_STEP + (1 - _LAST_STEP) * falling)
            delta = at.x_adv - at.x + alpha * L2(1).steepest(gradient)
            delta = project(delta.flatten(1), at.radius[:, None])
            at.x_adv = (at.x + delta.view_as(at.x)).clamp_(0, 1)
            at.settle(better & (size <= enough))
            if not len(at):
                break
    return at.result()


def _next_radius(at: Standing, fooled: Tensor, reach: Tensor, rate: float, grain: float) -> Tensor:
    shrunk = torch.minimum(at.radius * (1 - rate), at.radius - grain).minimum(at.size).clamp_min(grain)
    grown = torch.maximum(at.radius * (1 + rate), at.radius + grain)
    first = torch.where(at.found, grown, grown.maximum(reach * (1 + rate)))
    return torch.where(fooled, shrunk, first)


def _into_linf(delta: Tensor, radius: Tensor) -> Tensor:
    return delta.clamp(-radius, radius)


def _into_l2(delta: Tensor, radius: Tensor) -> Tensor:
    length = delta.norm(dim=1, keepdim=True).clamp_min(torch.finfo(delta.dtype).tiny)
    return delta * (radius / length).clamp_max(1)


def _into_l1(delta: Tensor, radius: Tensor) -> Tensor:
    """Every component shortened by one amount, found by Newton's steps from 0 (Michelot 1986) instead of a sort."""
    length, cut = delta.abs(), torch.zeros_like(radius)
    longer = torch.empty_like(length)
    for _ in range(_MICHELOT_STEPS):
        torch.gt(length, cut, out=longer)
        excess = torch.linalg.vecdot(length, longer)[:, None] - radius
        fresh = (excess / longer.sum(dim=1, keepdim=True).clamp_min(1)).maximum(cut)
        if cut.device.type == "cpu" and torch.equal(fresh, cut):
            break
        cut = fresh
    return (length - cut).clamp_min_(0).copysign_(delta)


def _into_l0(delta: Tensor, radius: Tensor) -> Tensor:
    """The largest components, as many as the radius allows."""
    order = delta.abs().argsort(dim=1, descending=True)
    kept = torch.arange(delta.shape[1], device=delta.device) < radius.floor()
    return delta * torch.zeros_like(delta).scatter_(1, order, kept.to(delta.dtype))


_BALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Linf": _into_linf,
    "L2": _into_l2,
    "L1": _into_l1,
    "L0": _into_l0,
}
