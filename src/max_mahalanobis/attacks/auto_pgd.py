"""Auto-PGD, which sets its own step sizes: in Linf and L2 (Croce and Hein 2020) and in L1 (Croce and Hein 2021)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from ..draws import derive
from ..errors import UserError, at_least_one
from ..threats import L1, L2, Linf, ThreatModel
from ..types import Images, Mask, Model, Objective
from .manners import check_call, is_fooled, look, slope, undisturbed
from .objectives import cross_entropy, exact_cross_entropy
from .standing import Standing

_CHECKPOINTS = (22, 41, 57, 70, 80, 87, 93, 99)  # percent of the steps: each gap 3 shorter than the last, none below 6
_LARGER_RADII = ((3, 0), (2, 30), (1, 60))  # multiples of eps, each from this percent of the steps on


def apgd(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    steps: int = 100,
    restarts: int = 1,
    rho: float = 0.75,
    larger_radii: bool | None = None,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Auto-PGD: projected gradient ascent whose step size follows each image's own progress.

    In Linf and L2 (Croce and Hein 2020, https://arxiv.org/abs/2003.01690, algorithm 1) steps begin at 2 eps, carry
    momentum, and are halved where an image stopped rising; it then goes on from its highest point. In L1 (Croce and
    Hein 2021, https://arxiv.org/abs/2103.01208, algorithm 1) steps move as many pixels as the perturbation's sparsity
    suggests, and the ball shrinks to eps from 3 eps.

    An image that is fooled is returned as it was then; one that holds where its objective was highest. Images fooled
    before any change are returned unchanged.

    The objective is computed in float64 (cross-entropy as `exact_cross_entropy`) and its slope in the logits is scaled
    to a largest component of 1, image by image: directions stay what they are, but a cross-entropy that is flat in
    float32 (MMC logits lie 200 apart) is climbed. There this APGD is stronger than the published one.

    Cost per image and restart: `steps` backwards and `steps` + 1 forwards (`steps` + 3 with larger radii), until it
    is fooled; before the first, one more forward.

    Args:
        restarts: each from another random start, for the images that still hold.
        rho: a step size is halved unless the objective rose in at least this share of the steps since the last check
            (Linf and L2).
        larger_radii: climb in the ball of 3 eps for 30 % of the steps, of 2 eps for 30 %, of eps for the rest, each
            from the last one's highest point brought back into the ball. When absent, in L1 only.
        stop_when_fooled: images leave once fooled. False keeps all to the last step, without the forward at the
            beginning, and returns the iterate of the highest objective, among those that fool the model if any does.

    Raises:
        UserError: the threat is none of Linf, L2 and L1, or a setting is out of range.
    """
    check_call(model, x, y, targets, seeds)
    if not isinstance(threat, Linf | L2 | L1):
        raise UserError(f"apgd has no form for {threat}: choose Linf, L2 or L1")
    at_least_one(steps=steps, restarts=restarts)
    if not 0 <= rho <= 1:
        raise UserError(f"rho must lie in [0, 1], got {rho}")
    objective = exact_cross_entropy if objective is cross_entropy else objective
    sparse = isinstance(threat, L1)
    shrinks = sparse if larger_radii is None else larger_radii
    balls = _shrinking(threat, steps, x.shape[1:].numel()) if shrinks else [(threat, steps)]
    climb = _climb_sparsely if sparse else partial(_climb, rho=rho)
    x, y = x.detach(), y.long()
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    at = Standing(x, y=y, targets=targets, seeds=seeds, best_score=_numbers(x, -torch.inf), fooled=_numbers(x, 0) > 0)
    with undisturbed(model):
        if stop_when_fooled and len(at):
            at.settle(is_fooled(look(model, x), y))
        for restart in range(restarts):
            at.highest = balls[0][0].sample(at.x, derive(at.seeds, restart))
            for ball, share in balls:
                if len(at):
                    counts = ball.eps == threat.eps  # what fools within a larger ball is no answer
                    see = partial(_see, model, at, objective, counts=counts, leave=counts and stop_when_fooled)
                    climb(at, see, ball, share)
            at.settle(at.fooled)
    return at.result()


def _climb(at: Standing, see: Callable[..., None], threat: ThreatModel, steps: int, *, rho: float) -> None:
    """Algorithm 1 of Croce and Hein 2020, from `at.highest`."""
    _set_out(at, threat)
    at.step_size = torch.full_like(at.x[:, :1, :1, :1], 2 * threat.eps)
    at.previous, at.halved, at.highest_then = at.x_adv, torch.ones_like(at.fooled), at.highest_score
    checkpoints, then = {-(-percent * steps // 100) for percent in _CHECKPOINTS}, 0
    for step in range(steps):
        see(climbing=True)
        if not len(at):
            return
        if step in checkpoints:
            rarely_rose = at.rises < rho * (step - then)
            no_higher = ~at.halved & (at.highest_score <= at.highest_then)
            at.halved = rarely_rose | no_higher
            at.step_size = torch.where(_tall(at.halved), at.step_size / 2, at.step_size)
            at.highest_then, at.rises, then = at.highest_score, torch.zeros_like(at.rises), step
            _go_back(at, at.halved)
        share = 0.75 if step > 0 else 1.0
        ahead = threat.project(at.x_adv + at.step_size * threat.steepest(at.gradient), at.x)
        ahead = at.x_adv + share * (ahead - at.x_adv) + (1 - share) * (at.x_adv - at.previous)
        at.previous, at.x_adv = at.x_adv, threat.project(ahead, at.x)
    see(climbing=False)


def _climb_sparsely(at: Standing, see: Callable[..., None], threat: ThreatModel, steps: int) -> None:
    """Algorithm 1 of Croce and Hein 2021 in one ball, from `at.highest`; no momentum."""
    _set_out(at, threat)
    at.step_size = torch.full_like(at.x[:, :1, :1, :1], threat.eps)
    at.changed = _num_changed(at)
    check_every = max(steps // 25, 1)
    for step in range(steps):
        see(climbing=True)
        if not len(at):
            return
        if step > 0 and step % check_every == 0:
            changed = _num_changed(at)
            sparser = changed < 0.95 * at.changed
            shorter = (at.step_size / 1.5).clamp_min(threat.eps / 10)
            at.step_size, at.changed = torch.where(_tall(sparser), threat.eps, shorter), changed
            _go_back(at, sparser)
        at.x_adv = threat.project(at.x_adv + at.step_size * _sparse_steepest(at.gradient, at.changed * 2 // 3), at.x)
    see(climbing=False)


def _see(model: Model, at: Standing, objective: Objective, *, climbing: bool, counts: bool, leave: bool) -> None:
    """Visit `at.x_adv`: its score, its gradient when `climbing` on, and what it means for the answer and the climb."""
    score = partial(_score, at, objective)
    if climbing:
        logits, scores, at.gradient = slope(model, at.x_adv, score)
    else:
        logits = look(model, at.x_adv)
        scores = score(logits)
    if counts:
        fooled = is_fooled(logits, at.y)
        better = torch.where(fooled == at.fooled, scores > at.best_score, fooled)
        at.improve(better, at.x_adv)
        at.best_score, at.fooled = torch.where(better, scores, at.best_score), at.fooled | fooled
    at.rises = at.rises + (scores > at.score)
    at.score = scores
    higher = scores >= at.highest_score  # on a flat objective the newest is as good, and farther
    at.highest_score = torch.where(higher, scores, at.highest_score)
    at.highest = torch.where(_tall(higher), at.x_adv, at.highest)
    at.highest_gradient = torch.where(_tall(higher), at.gradient, at.highest_gradient)
    at.settle(at.fooled & leave)


def _score(at: Standing, objective: Objective, logits: Tensor) -> Tensor:
    """The objective in float64; what flows back to each image's logits has 1 as its largest component."""
    logits = logits.double()
    if logits.requires_grad:
        tiny = torch.finfo(logits.dtype).tiny
        logits.register_hook(lambda slope: slope / slope.abs().amax(dim=1, keepdim=True).clamp_min(tiny))
    return objective(logits, at.y, at.targets)


def _set_out(at: Standing, threat: ThreatModel) -> None:
    """Begin to climb at `at.highest`, brought into the ball; nothing has been seen there yet."""
    at.x_adv = at.highest = threat.project(at.highest, at.x)
    at.gradient = at.highest_gradient = torch.zeros_like(at.x)
    at.score, at.highest_score, at.rises = _numbers(at.x, torch.inf), _numbers(at.x, -torch.inf), _numbers(at.x, 0)


def _go_back(at: Standing, where: Mask) -> None:
    """These rows go on from the highest point of their climb."""
    at.x_adv = torch.where(_tall(where), at.highest, at.x_adv)
    at.gradient = torch.where(_tall(where), at.highest_gradient, at.gradient)
    at.score = torch.where(where, at.highest_score, at.score)


def _shrinking(threat: ThreatModel, steps: int, num_features: int) -> list[tuple[ThreatModel, int]]:
    """The balls to climb in and how many steps each gets; no ball larger than the box has use for."""
    most = threat.unlimited(num_features).eps
    balls = [replace(threat, eps=min(multiple * threat.eps, max(most, threat.eps))) for multiple, _ in _LARGER_RADII]
    starts = [percent * steps // 100 for _, percent in _LARGER_RADII] + [steps]
    shares = [end - start for start, end in pairwise(starts)]
    return [(ball, share) for ball, share in zip(balls, shares, strict=True) if share > 0]


def _sparse_steepest(gradient: Images, count: Tensor) -> Images:
    """Signs of each image's `count` largest components (at least one, and ties), scaled to length 1."""
    lengths = gradient.flatten(1).abs()
    last = lengths.shape[1] - 1
    rank = (last + 1 - count).clamp(0, last)
    least = lengths.sort(dim=1).values.gather(1, rank[:, None])
    signs = gradient.flatten(1).sign() * (lengths >= least)
    return (signs / signs.abs().sum(dim=1, keepdim=True).clamp_min(1)).view_as(gradient)


def _num_changed(at: Standing) -> Tensor:
    return (at.highest != at.x).flatten(1).sum(dim=1)


def _numbers(x: Images, value: float | int) -> Tensor:
    return torch.full((len(x),), value, dtype=torch.float64, device=x.device)


def _tall(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
