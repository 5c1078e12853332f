"""DeepFool."""

import torch
from torch import Tensor

from ...errors import UserError, at_least_one, one_of
from ...threats import ThreatModel
from ...types import Model
from ..manners import check_call, is_fooled, look, undisturbed
from ..standing import Standing
from .boundary import DUALS, nearest_boundary, strongest_others

_THREATS = ("Linf", "L2")
_LEAST_STEP = 1e-3  # share of the perturbation so far


def deepfool(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int = 10,
    stop_when_fooled: bool = True,
) -> Tensor:
    """A small fooling perturbation in L2 or Linf, by steps to the nearest linearized boundary.

    r <- r + |f| / ||w||_* steepest(w), with f = h_k - h_y and w its gradient at x_adv = x + (1 + overshoot) r, for the
    class k whose boundary is nearest, |f| / ||w||_* in the dual norm, until x_adv, clipped to the box, is fooled
    (Moosavi-Dezfooli et al. 2016, algorithm 2, https://arxiv.org/abs/1511.04599). With `targets`, k is the target.
    No step but the first is shorter than a thousandth of r: where clipping takes a part of every step, r would creep
    toward the boundary and cross it by a rounding error.

    1 forward, and for each step taken 2 forwards and candidates - 1 backwards (1 with `targets`); two to four steps are
    usual, and images leave with the first fooling one found. So `stop_when_fooled` changes nothing here, and `seeds`
    neither: nothing is random.

    Args:
        overshoot: share of the perturbation added to cross the boundary, not below 0.
        candidates: how many of the classes likeliest at x are considered, the true one among them; at least 2.

    Returns:
        For each image the fooling one, where it lies within eps, else the image itself.
    """
    check_call(model, x, y, targets, seeds)
    one_of("threat for deepfool", threat.name, _THREATS)
    at_least_one(steps=steps, candidates=candidates)
    if candidates < 2 or not overshoot >= 0:
        raise UserError(f"deepfool needs candidates >= 2 and overshoot >= 0, got {candidates} and {overshoot}")
    x, y = x.detach(), y.long()
    with undisturbed(model):
        logits = look(model, x)
        rivals = strongest_others(logits, y, candidates - 1) if targets is None else targets.long()[:, None]
        at = Standing(x, y=y, rivals=rivals, x_adv=x, moved=torch.zeros_like(x))
        at.settle(is_fooled(logits, y))
        for _ in range(steps):
            if not len(at):
                break
            gap, slope = nearest_boundary(model, at.x_adv, at.y, at.rivals, threat)
            distance = gap.abs() / DUALS[threat.name].size(slope).clamp_min(torch.finfo(x.dtype).tiny)
            distance = distance.maximum(_LEAST_STEP * threat.size(at.moved))
            at.moved = at.moved + distance.view(-1, 1, 1, 1) * threat.steepest(slope)
            at.x_adv = (at.x + (1 + overshoot) * at.moved).clamp_(0, 1)
            fooled = is_fooled(look(model, at.x_adv), at.y)
            at.improve(fooled & (threat.size(at.x_adv - at.x) <= threat.eps), at.x_adv)
            at.settle(fooled)
    return at.result()
