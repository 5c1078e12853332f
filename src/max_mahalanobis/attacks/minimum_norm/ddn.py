"""DDN: the direction and the norm of an L2 perturbation, decoupled."""

import math

import torch
from torch import Tensor

from ...draws import normal
from ...errors import UserError, at_least_one, one_of
from ...threats import ThreatModel
from ...types import Model, Objective
from ..manners import check_call, is_fooled, slope, undisturbed
from ..objectives import cross_entropy
from ..standing import Standing

_LAST_STEP = 0.01
_ROUNDING = 5e-7  # a perturbation of length eps may come out longer by this, half of what threats tolerate


def ddn(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    steps: int = 100,
    gamma: float = 0.05,
    init_norm: float = 1.0,
    levels: int | None = None,
    stop_when_fooled: bool = False,
) -> Tensor:
    """The smallest fooling perturbation in L2 among points on spheres that shrink when fooled and grow when not.

    delta <- delta + alpha * gradient / ||gradient||, with alpha falling from 1 to 0.01 along a cosine;
    radius <- radius * (1 - gamma where x + delta fools, else 1 + gamma); delta <- radius * delta / ||delta||, clipped
    to the box (Rony et al. 2019, algorithm 1, https://arxiv.org/abs/1811.09600). The radius never exceeds eps. Where
    there is no gradient, a random direction (one per image, from its seed) is followed.

    Each step costs 1 forward and 1 backward.

    Args:
        objective: what the direction climbs; on an MMC model the published cross-entropy has no slope, the margin does.
        gamma: in (0, 1).
        init_norm: the first radius, above 0.
        levels: pixels are rounded to multiples of 1 / (levels - 1); 256 makes bytes, as the paper does.
        stop_when_fooled: images leave with the first fooling one found.

    Returns:
        For each image the smallest fooling one found within eps, else the image itself.
    """
    check_call(model, x, y, targets, seeds)
    one_of("threat for ddn", threat.name, ("L2",))
    at_least_one(steps=steps)
    if not (0 < gamma < 1 and init_norm > 0):
        raise UserError(f"ddn needs gamma in (0, 1) and init_norm above 0, got {gamma} and {init_norm}")
    if levels is not None and levels < 2:
        raise UserError(f"levels must be at least 2, got {levels}")
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x, y = x.detach(), y.long()
    limit, tiny = threat.eps + _ROUNDING, torch.finfo(x.dtype).tiny
    enough = limit if stop_when_fooled else 0.0
    at = Standing(x, y=y, targets=targets, x_adv=x)
    at.radius, at.size = (torch.full_like(x[:, 0, 0, 0], start) for start in (init_norm, limit))
    at.chance = normal(seeds, x.shape[1:].numel()).to(x.dtype).view_as(x)
    with undisturbed(model):
        for step in range(steps):
            logits, _, gradient = slope(model, at.x_adv, lambda logits: objective(logits, at.y, at.targets))
            fooled, size = is_fooled(logits, at.y), threat.size(at.x_adv - at.x)
            better = fooled & (size <= at.size)
            at.improve(better, at.x_adv)
            at.size = torch.where(better, size, at.size)
            flat = (gradient.flatten(1).abs().amax(dim=1) == 0).to(x.dtype)
            direction = threat.steepest(gradient + flat.view(-1, 1, 1, 1) * at.chance)
            alpha = _LAST_STEP + (1 - _LAST_STEP) * (1 + math.cos(math.pi * step / steps)) / 2
            delta = at.x_adv - at.x + alpha * direction
            at.radius = (at.radius * torch.where(fooled, 1 - gamma, 1 + gamma)).clamp_max(threat.eps)
            delta = delta * (at.radius / threat.size(delta).clamp_min(tiny)).view(-1, 1, 1, 1)
            at.x_adv = _rounded(at.x + delta, levels).clamp_(0, 1)
            at.settle(better & (size <= enough))
            if not len(at):
                break
    return at.result()


def _rounded(x: Tensor, levels: int | None) -> Tensor:
    return x if levels is None else (x * (levels - 1)).round_() / (levels - 1)
