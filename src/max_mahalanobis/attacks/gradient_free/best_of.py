"""The worst of several candidates per image, for attacks that follow no direction."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...draws import derive
from ...threats import ThreatModel
from ...types import Model, Objective
from ..manners import check_call, explained, is_fooled, look, undisturbed
from ..standing import Standing


def best_of(
    model: Model,
    x: Tensor,
    y: Tensor,
    candidate: Callable[[Tensor, Tensor, int], Tensor],
    count: int,
    *,
    threat: ThreatModel,
    targets: Tensor | None,
    seeds: Tensor | None,
    objective: Objective,
    stop_when_fooled: bool,
) -> Tensor:
    """Of `count` candidates the first that fools, else the one with the largest objective (False: looks at all).

    `candidate(x, seeds, n)` gives the n-th one for each image, from seeds derived for it; where the threat does not
    allow it, the image itself stands in. Costs 1 + count forwards per image at most, the first at the clean image.
    """
    check_call(model, x, y, targets, seeds)
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    at = Standing(x.detach(), y=y.long(), targets=targets, seeds=seeds)
    at.fooled, at.score = torch.zeros_like(at.settled), x.new_full((len(x),), -torch.inf)
    with undisturbed(model):
        if stop_when_fooled:
            at.settle(is_fooled(look(model, at.x), at.y))
        for number in range(count):
            if not len(at):
                break
            x_adv = candidate(at.x, derive(at.seeds, number), number)
            x_adv = torch.where(threat.allows(x_adv, at.x).view(-1, 1, 1, 1), x_adv, at.x)
            logits = look(model, x_adv)
            with explained(logits):
                fooled, score = is_fooled(logits, at.y), objective(logits, at.y, at.targets)
            better = (fooled & ~at.fooled) | ((fooled == at.fooled) & (score > at.score))
            at.improve(better, x_adv)
            at.fooled, at.score = fooled | at.fooled, torch.where(better, score, at.score)
            if stop_when_fooled:
                at.settle(at.fooled)
    return at.result()
