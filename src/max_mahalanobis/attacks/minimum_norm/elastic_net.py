"""The elastic-net attack: sparse perturbations by shrinkage, with a search over the constant."""

from typing import Literal

import torch
from torch import Tensor

from ...errors import UserError, one_of
from ...threats import ThreatModel
from ...types import Model, Objective
from ..manners import check_call, is_fooled, look, slope, undisturbed
from ..objectives import margin
from ..standing import Standing
from .constant import advance, check_search, check_signs, is_success, search_rows


def ead(
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
    learning_rate: float | int = 0.01,
    initial_constant: float | int = 0.001,
    beta: float | int = 0.01,
    decision_rule: Literal["elastic_net", "l1"] = "elastic_net",
    shrinkage: Literal["published", "proximal"] = "published",
    fista: bool = True,
    confidence: float | int = 0.0,
    abort_early: bool = False,
    stop_when_fooled: bool = False,
) -> Tensor:
    """The best fooling image seen while minimizing an elastic net (Chen et al. 2018, https://arxiv.org/abs/1709.04114).

        minimize  beta * ||x_adv - x||_1 + ||x_adv - x||_2^2 + constant * max(confidence - objective, 0)

    by ISTA or FISTA (algorithm 1), once per constant of a search over it (see `constant`): a gradient step of length
    learning_rate * sqrt(1 - k / steps) without the L1 term, then every change shortened. 1 + search_steps * steps
    forwards and search_steps * steps backwards per image at most. Nothing is random: `seeds` is not used.

    Published FISTA takes slopes at the extrapolated point and looks for fooling at the shrunken one: two forwards a
    step. Here the extrapolated point is kept in the box and judged itself, for the forward it has paid. Under the
    elastic-net rule a point that lacks nothing is not extrapolated (the next is the shrunken one): going on would
    only lengthen it, and the square tells. On three models of digits neither rule's median is above foolbox's.

    Args:
        threat: an `L1`; nothing found within its eps returns the image unchanged.
        objective: must change sign where the model errs: margin, dlr, un_2, tar_2.
        steps: of ISTA, for each of `search_steps` constants.
        decision_rule: what the image returned minimizes, of all that fooled: "elastic_net" beta * L1 + L2^2, "l1" L1.
        shrinkage: "published" shortens changes by `beta` at every step, which weighs the L1 term as beta over the
            step's length (1 at first, by the defaults, then more: sparse); "proximal" shortens them by that length
            times `beta`, and so descends on the objective above.
        confidence: lead (in the objective's units) without which an image does not count as fooled.
        abort_early: leave a constant where the loss stalls, as the authors do. Published shrinkage is sparsest late, in
            the short steps: on an MLP and an MMC of the digits this saves 3 of 4 passes, costs nothing under the
            elastic-net rule and 6 to 7 % of the median under "l1".
        stop_when_fooled: images leave with the first success within eps.
    """
    check_call(model, x, y, targets, seeds)
    one_of("threat for ead", threat.name, ("L1",))
    one_of("decision rule", decision_rule, ("elastic_net", "l1"))
    one_of("shrinkage", shrinkage, ("published", "proximal"))
    check_search(steps, search_steps, initial_constant, confidence)
    if not learning_rate > 0 or not beta >= 0:
        raise UserError(f"learning_rate must be positive and beta not negative, got {learning_rate} and {beta}")
    x, y = x.detach(), y.long()
    smallest = x.new_full((len(x),), torch.inf)
    at = Standing(x, y=y, targets=targets, x_adv=x, shrunk=x, smallest=smallest, **search_rows(x, initial_constant))
    with undisturbed(model):
        logits = look(model, x)
        check_signs(objective, logits, y, targets)
        at.settle(is_fooled(logits, y))
        for _ in range(search_steps * steps):
            if not len(at):
                break
            logits, shortfall, slope_of_shortfall = slope(
                model, at.x_adv, lambda logits: (confidence - objective(logits, at.y, at.targets)).clamp_min(0)
            )
            delta = at.x_adv - at.x
            length = threat.size(delta)
            elastic_net = beta * length + delta.flatten(1).square().sum(dim=1)
            success = is_success(logits, at.y, shortfall, confidence)
            measure = elastic_net if decision_rule == "elastic_net" else length
            better = success & (length <= threat.eps) & (measure < at.smallest)
            at.improve(better, at.x_adv)
            at.smallest = torch.where(better, measure, at.smallest)
            step_size = learning_rate * (1 - at.taken / steps).sqrt()
            delta = delta - _wide(step_size) * (2 * delta + _wide(at.constant) * slope_of_shortfall)
            shrunk = (at.x + _shrunk(delta, beta if shrinkage == "published" else _wide(step_size * beta))).clamp_(0, 1)
            extrapolated = ((shortfall > 0) | (decision_rule == "l1")) & fista
            momentum = at.taken / (at.taken + 3) * extrapolated
            at.x_adv, at.shrunk = (shrunk + _wide(momentum) * (shrunk - at.shrunk)).clamp_(0, 1), shrunk
            loss = elastic_net + at.constant * shortfall
            over = advance(at, success, loss, steps=steps, abort_early=abort_early)
            at.reset(over, x_adv=at.x, shrunk=at.x)
            at.settle((at.searched == search_steps) | (better & stop_when_fooled))
    return at.result()


def _shrunk(delta: Tensor, by: Tensor | float | int) -> Tensor:
    """Every change shortened by this much, or to nothing (equation 5)."""
    return delta.sign() * (delta.abs() - by).clamp_min_(0)


def _wide(rows: Tensor) -> Tensor:
    return rows.view(-1, 1, 1, 1)
