"""SPSA: gradient descent on a slope measured from logits, for models whose gradient is hidden or useless."""

import torch
from torch import Tensor

from ...draws import derive
from ...errors import UserError, at_least_one
from ...threats import ThreatModel
from ...types import Model, Objective
from ..manners import check_call, explained, is_fooled, look, undisturbed
from ..objectives import margin
from ..standing import Standing

_PIXELS_AT_ONCE = 2**19  # of one forward, as far as samples (not images) can be split: 2 MB in float32


def spsa(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    steps: int = 100,
    samples: int = 128,
    delta: float | int = 0.01,
    learning_rate: float | int = 0.01,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Simultaneous perturbation (Spall 1992) as an attack (Uesato et al. 2018, https://arxiv.org/abs/1802.05666).

    g = mean over `samples` random signs v of v (f(x + delta v) - f(x - delta v)) / (2 delta), f the objective; then a
    step of Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980) along g and back into the threat's ball. It
    starts at the image. The mirrored points x +- delta v are shown to the model as they are, also where they leave
    [0, 1] or the ball by up to delta.

    Costs steps * (2 samples + 1) forwards per image at most, without the + 1 when nothing leaves. The paper uses few
    steps with many samples where a forward is dear; steps=100, samples=8192 is its strong setting.

    Args:
        samples: mirrored pairs of points per step.
        delta: half the distance between the points of a pair, in pixels of [0, 1].
        learning_rate: of Adam; a pixel moves by about this much per step.
        stop_when_fooled: images leave once fooled; False keeps all to the last step.

    Returns:
        Allowed images: the first iterate that fools, else the last.

    Raises:
        UserError: a setting is out of its range.
    """
    check_call(model, x, y, targets, seeds)
    at_least_one(steps=steps, samples=samples)
    if not delta > 0 or not learning_rate > 0:
        raise UserError(f"delta and learning_rate must be positive, got {delta} and {learning_rate}")
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x = x.detach()
    zeros = torch.zeros_like(x)
    at = Standing(x, y=y.long(), targets=targets, seeds=seeds, x_adv=x, mean=zeros, power=zeros)
    with undisturbed(model):
        for step in range(1, steps + 1):
            if stop_when_fooled:
                at.settle(is_fooled(look(model, at.x_adv), at.y), at.x_adv)
            if not len(at):
                break
            gradient = _measured(model, at, objective, derive(at.seeds, step), samples, delta)
            at.mean = 0.9 * at.mean + 0.1 * gradient
            at.power = 0.999 * at.power + 0.001 * gradient**2
            length = (at.power / (1 - 0.999**step)).sqrt() + 1e-8
            at.x_adv = threat.project(at.x_adv + learning_rate / (1 - 0.9**step) * at.mean / length, at.x)
    return at.result(at.x_adv)


def _measured(
    model: Model, at: Standing, objective: Objective, seeds: Tensor, samples: int, delta: float | int
) -> Tensor:
    """The slope of the objective in the images, estimated from mirrored pairs; pairs without a finite slope count 0."""
    total = torch.zeros_like(at.x_adv).flatten(1)
    at_once = max(_PIXELS_AT_ONCE // (2 * total.numel()), 1)
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        signs = _signs(seeds, torch.arange(first, first + count, device=seeds.device), total.shape[1], total.dtype)
        middle, away = at.x_adv.flatten(1)[:, None], delta * signs
        points = torch.stack([middle + away, middle - away]).view(-1, *at.x.shape[1:])
        y, targets = (None if rows is None else rows.repeat_interleave(count).repeat(2) for rows in (at.y, at.targets))
        logits = look(model, points)
        with explained(logits):
            above, below = objective(logits, y, targets).view(2, len(at), count)
        slopes = torch.nan_to_num((above - below) / (2 * delta), nan=0.0, posinf=0.0, neginf=0.0)
        total += torch.einsum("bs,bsp->bp", slopes, signs)
    return total.view_as(at.x) / samples


def _signs(seeds: Tensor, samples: Tensor, pixels: int, dtype: torch.dtype) -> Tensor:
    """+1 or -1 for each image, sample and pixel: the bits of one 64-bit hash serve 64 pixels."""
    words = torch.arange(-(-pixels // 64), device=seeds.device)
    hashes = derive(0, seeds[:, None, None], samples[:, None], words)
    bits = 2 ** torch.arange(8, dtype=torch.uint8, device=seeds.device)
    signs = (hashes.view(torch.uint8)[..., None] & bits).ne(0).to(dtype).mul_(2).sub_(1)
    return signs.flatten(2)[..., :pixels]
