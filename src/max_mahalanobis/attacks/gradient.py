"""Attacks that follow the gradient under a fixed budget: FGSM, BIM, PGD, MIM.

All take `(model, x, y)`: any function from images to logits, images (batch, channels, height, width) in [0, 1] and
the true labels. `targets` aims at other classes (an image still counts as fooled when it is not classified as `y`);
`seeds` holds one integer per image, the only source of its random start (0, 1, 2, ... when absent). Images already
fooled leave the batch and are returned as they were then, unless `stop_when_fooled=False`.
"""

import torch
from torch import Tensor

from ..draws import derive
from ..errors import UserError, at_least_one
from ..threats import ThreatModel
from ..types import Model, Objective
from .manners import check_call, is_fooled, look, slope, undisturbed
from .objectives import cross_entropy
from .standing import Standing


def pgd(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    momentum: float = 0.0,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Projected gradient descent (Madry et al. 2018, https://arxiv.org/abs/1706.06083).

    x <- project(x + step_size * steepest(gradient of the objective)), `steps` times from a random point of the ball
    (or from the image itself); `restarts` times for the images that hold. Each step costs one forward and one
    backward per image still in the batch; each restart but the last one more forward.

    Args:
        step_size: in the threat's norm; 2.5 eps / steps when absent.
        momentum: decay of the accumulated gradient (see `mim`); 0 follows the gradient alone.
        stop_when_fooled: images leave once fooled. False keeps all to the last step, as training wants it.

    Returns:
        Allowed images, shape and dtype of `x`; `x` itself is not touched.
    """
    check_call(model, x, y, targets, seeds)
    at_least_one(steps=steps, restarts=restarts)
    if restarts > 1 and not random_start:
        raise UserError(f"{restarts} restarts without a random start repeat one attack: set random_start=True")
    if step_size is not None and not step_size >= 0:
        raise UserError(f"step_size must not be negative, got {step_size}")
    step_size = 2.5 * threat.eps / steps if step_size is None else step_size
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x, y = x.detach(), y.long()
    x_adv, held = x.clone(), torch.arange(len(x), device=x.device)
    settings = {"objective": objective, "steps": steps, "step_size": step_size}
    settings |= {"threat": threat, "momentum": momentum, "stop_when_fooled": stop_when_fooled}
    with undisturbed(model):
        for restart in range(restarts):
            if restart > 0:
                held = held[~is_fooled(look(model, x_adv[held]), y[held])]
            if len(held) == 0:
                break
            start = threat.sample(x[held], derive(seeds[held], restart)) if random_start else x[held]
            aims = None if targets is None else targets[held]
            x_adv[held] = _ascend(model, start, x[held], y[held], aims, **settings)
    return x_adv


def _ascend(
    model: Model,
    start: Tensor,
    x: Tensor,
    y: Tensor,
    targets: Tensor | None,
    *,
    threat: ThreatModel,
    objective: Objective,
    steps: int,
    step_size: float,
    momentum: float,
    stop_when_fooled: bool,
) -> Tensor:
    """The one loop: climb the objective from `start`."""
    at = Standing(x, y=y, targets=targets, x_adv=start, velocity=torch.zeros_like(x) if momentum > 0 else None)
    for _ in range(steps):
        logits, _, at.gradient = slope(model, at.x_adv, lambda logits: objective(logits, at.y, at.targets))
        if stop_when_fooled:
            at.settle(is_fooled(logits, at.y), at.x_adv)
            if not len(at):
                break
        direction = at.gradient
        if momentum > 0:
            scale = direction.flatten(1).abs().mean(dim=1).clamp_min(torch.finfo(direction.dtype).tiny)
            at.velocity = momentum * at.velocity + direction / scale.view(-1, 1, 1, 1)
            direction = at.velocity
        step = threat.steepest(threat.free(direction, at.x_adv))
        at.x_adv = threat.project(at.x_adv + step_size * step, at.x)
    return at.result(at.x_adv)


def fgsm(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Fast gradient sign method: one step of length eps from the image (Goodfellow et al. 2015, arXiv:1412.6572).

    `seeds` is taken, as every attack does, and not used: nothing here is random.
    """
    settings = {"objective": objective, "steps": 1, "stop_when_fooled": stop_when_fooled}
    return bim(model, x, y, threat=threat, targets=targets, seeds=seeds, **settings)


def bim(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    steps: int = 10,
    step_size: float | None = None,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Basic iterative method (Kurakin et al. 2017, arXiv:1607.02533): PGD from the image itself, step eps / steps."""
    settings = {"objective": objective, "steps": steps, "step_size": step_size, "stop_when_fooled": stop_when_fooled}
    return mim(model, x, y, threat=threat, targets=targets, seeds=seeds, momentum=0.0, **settings)


def mim(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    steps: int = 10,
    step_size: float | None = None,
    momentum: float = 1.0,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Momentum iterative method (Dong et al. 2018, https://arxiv.org/abs/1710.06081), step eps / steps.

    g <- momentum * g + gradient / mean|gradient|, then a step along g, from the image itself. (The paper divides by the
    sum of |gradient|: a constant factor, which the steepest direction does not see.)
    """
    return pgd(
        model,
        x,
        y,
        threat=threat,
        targets=targets,
        seeds=seeds,
        objective=objective,
        steps=steps,
        step_size=threat.eps / max(steps, 1) if step_size is None else step_size,
        random_start=False,
        momentum=momentum,
        stop_when_fooled=stop_when_fooled,
    )
