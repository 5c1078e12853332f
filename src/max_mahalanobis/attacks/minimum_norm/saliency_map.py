"""The Jacobian saliency map attack: few components changed, chosen in pairs."""

import math
from typing import Literal

import torch
from torch import Tensor

from ...errors import UserError, one_of
from ...threats import ThreatModel
from ...types import Model
from ..manners import check_call, is_fooled, look, undisturbed
from ..standing import Standing

_CANDIDATES = 100  # moves of which all pairs are tried: their products take 40 kB per image
_LOOKS = 3  # at the moves, each ordered by what the last one found


def jsma(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    theta: float | int = 1.0,
    direction: Literal["both", "increase", "decrease"] = "both",
    stop_when_fooled: bool = True,
) -> Tensor:
    """Two components at a time, until the image fools (Papernot et al. 2016, https://arxiv.org/abs/1511.07528).

    Each step moves, by `theta`, the pair of components with the largest saliency (equations 8 and 9, on logits)

        A * (-B),   A = sum over the pair of the slope of h_t > 0,   B = the same of sum_{k != t} h_k < 0

    toward one class t: the target, or the strongest wrong one of the clean image. The search is greedy: the first
    success is its answer, whatever `stop_when_fooled`; images with no such pair left, or none within the budget, come
    back unchanged. At most 1 + (1 + eps * ceil(1 / theta) / 2) forwards and twice as many backwards as steps, per
    image. Nothing is random: `seeds` is not used.

    Args:
        threat: an `L0`: eps is the largest number of components changed, the paper's share gamma times all of them.
        theta: change of a component per step, in (0, 1].
        direction: "increase" and "decrease" are the paper's two maps; "both" lets every move compete.
    """
    check_call(model, x, y, targets, seeds)
    one_of("threat for jsma", threat.name, ("L0",))
    one_of("direction", direction, ("both", "increase", "decrease"))
    if not 0 < theta <= 1:
        raise UserError(f"theta must lie in (0, 1], got {theta}: the direction is another setting")
    x, y = x.detach(), y.long()
    with undisturbed(model):
        logits = look(model, x)
        at = Standing(x, y=y, targets=runner_up(logits, y) if targets is None else targets, x_adv=x)
        at.settle(is_fooled(logits, y))
        for _ in range(int(min(threat.eps, x[0].numel()) * math.ceil(1 / theta) / 2) + 1 if len(x) else 0):
            if not len(at):
                break
            logits, rise, fall = _slopes(model, at.x_adv, at.targets)
            within = threat.size(at.x_adv - at.x) <= threat.eps
            fooled = is_fooled(logits, at.y)
            at.improve(fooled & within, at.x_adv)
            # 2 n moves: every component up, then every component down
            can_rise, can_fall = (at.x_adv < 1) & (at.x_adv >= at.x), (at.x_adv > 0) & (at.x_adv <= at.x)
            moves = _both_ways(can_rise & (direction != "decrease"), can_fall & (direction != "increase"))
            first, second, found = best_pair(_both_ways(rise, -rise), _both_ways(fall, -fall), moves)
            step = torch.zeros_like(moves, dtype=x.dtype)
            step = step.scatter(1, torch.stack([first, second], dim=1), theta).unflatten(1, (2, -1))
            at.x_adv = (at.x_adv + (step[:, 0] - step[:, 1]).view_as(at.x)).clamp_(0, 1)
            at.settle(fooled | ~within | ~found)
    return at.result()


def best_pair(rise: Tensor, fall: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two allowed moves of different components with the largest product of summed `rise` and summed `fall`.

    All (batch, 2 n): move i and move n + i are of the same component. Also returned: is there a pair with both sums
    positive. Not all pairs are tried: whatever w > 0, a pair's product is at most the square of half its sum of
    w * rise + fall / w, with equality where w^2 is fall over rise. So the largest of these sums hold the best pair;
    w is that of the best pair so far. Exact for up to 100 moves, and otherwise almost always.
    """
    count = min(_CANDIDATES, rise.shape[1])
    weight = (fall.abs().amax(dim=1) / rise.abs().amax(dim=1)).sqrt()
    best = torch.full_like(weight, -torch.inf)
    pair = torch.zeros(2, len(rise), dtype=torch.int64, device=rise.device)
    for _ in range(_LOOKS if count < rise.shape[1] else 1):
        weight = torch.where((weight > 0) & weight.isfinite(), weight, 1.0)[:, None]
        likely = (weight * rise + fall / weight).masked_fill(~allowed, -torch.inf).topk(count, dim=1).indices
        rises, falls = (_sums(of.gather(1, likely)) for of in (rise, fall))
        component, usable = likely % (rise.shape[1] // 2), allowed.gather(1, likely)
        usable = usable[:, :, None] & usable[:, None] & (component[:, :, None] != component[:, None])
        usable &= (rises > 0) & (falls > 0)
        product, where = (rises * falls).masked_fill(~usable, -torch.inf).flatten(1).max(dim=1)
        places = torch.stack([where // count, where % count], dim=1)
        pair = torch.where(product > best, likely.gather(1, places).T, pair)
        best = torch.maximum(best, product)
        weight = ((falls / rises).flatten(1).gather(1, where[:, None]).squeeze(1)).sqrt()
    return pair[0], pair[1], best > 0


def runner_up(logits: Tensor, y: Tensor) -> Tensor:
    """The strongest wrong class."""
    return logits.scatter(1, y[:, None], -torch.inf).argmax(dim=1)


def _slopes(model: Model, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, what each component adds to the target's logit, and what it takes from the sum of all others.

    One forward, two backwards.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x).to(x.dtype)
        aimed, everything = logits.gather(1, targets[:, None]).sum(), logits.sum()
    if not logits.requires_grad:  # a model may have no slope at all
        return logits, torch.zeros_like(x), torch.zeros_like(x)
    rise = torch.autograd.grad(aimed, x, retain_graph=True)[0]
    fall = rise - torch.autograd.grad(everything, x)[0]
    return logits.detach(), torch.nan_to_num(rise, 0.0, 0.0, 0.0), torch.nan_to_num(fall, 0.0, 0.0, 0.0)


def _both_ways(up: Tensor, down: Tensor) -> Tensor:
    return torch.cat([up.flatten(1), down.flatten(1)], dim=1)


def _sums(values: Tensor) -> Tensor:
    return values[:, :, None] + values[:, None]
