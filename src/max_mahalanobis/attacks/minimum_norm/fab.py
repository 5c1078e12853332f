"""FAB: the fast adaptive boundary attack."""

import torch
from torch import Tensor

from ...draws import derive, normal, uniform
from ...errors import UserError, at_least_one, one_of
from ...threats import Linf, ThreatModel
from ...types import Model
from ..manners import check_call, is_fooled, look, undisturbed
from ..objectives import margin
from ..standing import Standing
from .boundary import all_others, nearest_boundary
from .projections import PROJECTIONS

_SEARCH_STEPS = 3
_BEYOND = 1.001  # the answer must stay on its side of the boundary when other batches round otherwise


def fab(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    steps: int = 100,
    restarts: int = 1,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    stop_when_fooled: bool = False,
) -> Tensor:
    """The smallest fooling perturbation in Linf, L2 or L1, by steps onto the linearized boundary.

    x_adv <- (1 - alpha) (x_adv + eta d) + alpha (x + eta d0), with d and d0 the smallest perturbations of x_adv and of
    x that reach the boundary inside the box, and alpha = min(||d|| / (||d|| + ||d0||), alpha_max); a fooling x_adv is
    kept when it is the smallest yet, and drawn back to x + beta (x_adv - x). A final search on the line between x and
    the best ends it (Croce and Hein 2020, algorithm 1, https://arxiv.org/abs/1907.02044). The defaults are those of
    AutoAttack's FAB-T, which runs it once for each of the 9 likeliest targets and leaves the final search out.

    A step costs 2 forwards and 1 backward with `targets`, and 2 forwards and classes - 1 backwards without, where the
    nearest of all boundaries is taken; a restart costs `steps` steps and 5 forwards, and 1 forward comes before all.

    Args:
        restarts: the first begins at x, others at random points at most min(eps, best size) / 2 from it.
        alpha_max: the largest pull back toward x, in [0, 1].
        eta: overshoot of the steps, at least 1.
        beta: what is kept of a fooling perturbation, in (0, 1).
        stop_when_fooled: images leave once something within eps is found.

    Returns:
        For each image the smallest fooling one found within eps, else the image itself.
    """
    check_call(model, x, y, targets, seeds)
    _check_settings(threat, steps, restarts, alpha_max, eta, beta)
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x, y = x.detach(), y.long()
    with undisturbed(model):
        logits = look(model, x)
        rivals = all_others(y, logits.shape[1]) if targets is None else targets.long()[:, None]
        at = Standing(x, y=y, rivals=rivals, seeds=seeds, x_adv=x, size=torch.full_like(x[:, 0, 0, 0], torch.inf))
        at.settle(is_fooled(logits, y))
        for restart in range(restarts):
            at.x_adv = at.x if restart == 0 else _start(at, threat, restart)
            for _ in range(steps):
                if not len(at):
                    return at.result()
                gap, slope = nearest_boundary(model, at.x_adv, at.y, at.rivals, threat)
                at.x_adv = _step(at.x, at.x_adv, gap, slope, threat, alpha_max, eta)
                fooled = _keep_better(at, at.x_adv, look(model, at.x_adv), threat)
                at.x_adv = torch.lerp(at.x, at.x_adv, _per_image(torch.where(fooled, beta, 1.0), x))
                if stop_when_fooled:
                    at.settle(at.size <= threat.eps)
            _search_line(model, at, threat)
    at.improve(at.size > threat.eps, at.x)
    return at.result()


def _step(
    x: Tensor, x_adv: Tensor, gap: Tensor, slope: Tensor, threat: ThreatModel, alpha_max: float, eta: float
) -> Tensor:
    """Onto the boundary gap + <slope, . - x_adv> = 0 and beyond, from x_adv mostly and from x a little."""
    near, far, slope = x_adv.flatten(1), x.flatten(1), slope.flatten(1)
    project = PROJECTIONS[threat.name]
    from_near = project(near, slope, -gap)
    from_far = project(far, slope, torch.linalg.vecdot(slope, near - far) - gap)
    near_size, far_size = threat.size(from_near).clamp_min(1e-8), threat.size(from_far).clamp_min(1e-8)
    alpha = (near_size / (near_size + far_size)).clamp_max(alpha_max)[:, None]
    stepped = torch.lerp(near + eta * from_near, far + eta * from_far, alpha)
    return stepped.clamp_(0, 1).view_as(x)


def _keep_better(at: Standing, x_adv: Tensor, logits: Tensor, threat: ThreatModel) -> Tensor:
    """Who is fooled; where that is the smallest perturbation yet, it is kept."""
    fooled = is_fooled(logits, at.y)
    size = threat.size(x_adv - at.x)
    better = fooled & (size < at.size)
    at.improve(better, x_adv)
    at.size = torch.where(better, size, at.size)
    return fooled


def _start(at: Standing, threat: ThreatModel, restart: int) -> Tensor:
    """A random image half as far as the best known, or as the budget."""
    seeds, count = derive(at.seeds, restart), at.x.shape[1:].numel()
    draws = uniform(seeds, count) * 2 - 1 if isinstance(threat, Linf) else normal(seeds, count)
    radius = at.size.clamp_max(threat.eps) / 2 / threat.size(draws).to(at.x.dtype)
    return (at.x + _per_image(radius, at.x) * draws.to(at.x.dtype).view_as(at.x)).clamp_(0, 1)


def _search_line(model: Model, at: Standing, threat: ThreatModel) -> None:
    """False position on the margin between x and the best: where a straight line would cross 0, three times."""
    if not len(at):
        return
    inner, outer = at.x, at.best.clone()
    below, above = -margin(look(model, inner), at.y), margin(look(model, outer), at.y)
    for _ in range(_SEARCH_STEPS):
        share = torch.nan_to_num(below / (below + above) * _BEYOND, nan=1.0).clamp(0, 1)
        middle = torch.lerp(inner, outer, _per_image(share, inner))
        logits = look(model, middle)
        fooled, lead = _keep_better(at, middle, logits, threat), margin(logits, at.y)
        below, above = torch.where(fooled, below, -lead), torch.where(fooled, lead, above)
        crossed = fooled.view(-1, 1, 1, 1)
        inner, outer = torch.where(crossed, inner, middle), torch.where(crossed, middle, outer)


def _per_image(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype).view(-1, 1, 1, 1)


def _check_settings(threat: ThreatModel, steps: int, restarts: int, alpha_max: float, eta: float, beta: float) -> None:
    one_of("threat for fab", threat.name, PROJECTIONS)
    at_least_one(steps=steps, restarts=restarts)
    if not (0 <= alpha_max <= 1 and eta >= 1 and 0 < beta < 1):
        raise UserError(f"fab needs alpha_max in [0, 1], eta >= 1, beta in (0, 1), got {alpha_max}, {eta} and {beta}")
