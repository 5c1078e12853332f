"""The nearest point of the box that lies on a hyperplane, in Linf, L2 and L1, without sorting.

Each function takes flattened images x in [0, 1], normals w, both (batch, features), and one number per image, `need`.
It returns the smallest delta with <w, delta> = need and x + delta in [0, 1]; where the box does not reach the
hyperplane, the delta to the corner nearest to it. This is equation 4 of Croce and Hein (2020,
https://arxiv.org/abs/1907.02044). With room_i the way from x_i to the face that it runs toward, the answers are

    Linf: |delta_i| = min(t, room_i)        L2: |delta_i| = min(t |w_i|, room_i)

for one level t per image. What is reached at level t is concave and made of straight pieces, so Newton's steps from
t = 0 never pass the answer and arrive exactly after a few. In L1 the components of the largest |w_i| take all their
room, and the least weight among them is found by bisection.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_NEWTON_STEPS = 20  # what is left falls at least fourfold a step; on images 4 to 8 steps end it
_HALVINGS = 30  # of [0, largest weight]


def onto_plane_linf(x: Tensor, w: Tensor, need: Tensor) -> Tensor:
    """Every component moves by one amount, as far as its room allows."""
    toward, weight, room, need = _one_sided(x, w, need)
    level = _level(ends=room, full=weight * room, pace=weight, need=need)
    return torch.minimum(level, room).mul_(weight.sign()).copysign_(toward)


def onto_plane_l2(x: Tensor, w: Tensor, need: Tensor) -> Tensor:
    """Every component moves in proportion to its weight, as far as its room allows."""
    toward, weight, room, need = _one_sided(x, w, need)
    ends = room / weight.clamp_min(torch.finfo(x.dtype).tiny)
    level = _level(ends=ends, full=weight * room, pace=weight.square(), need=need)
    return torch.minimum(level * weight, room).copysign_(toward)


def onto_plane_l1(x: Tensor, w: Tensor, need: Tensor) -> Tensor:
    """The heaviest components take all their room; the last of them (those of one weight) share what is left to do."""
    toward, weight, room, need = _one_sided(x, w, need)
    full, heavy = weight * room, torch.empty_like(weight)
    low, high = (
        torch.zeros_like(need),
        torch.ones_like(need),
    )  # weights above `high` are not enough, above `low` they are
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = _dot(full, torch.gt(weight, middle, out=heavy)) < need
        low, high = torch.where(short, low, middle), torch.where(short, middle, high)
    heaviest = torch.gt(weight, high, out=torch.empty_like(weight))
    last = torch.gt(weight, low, out=heavy).sub_(heaviest)
    left = (need - _dot(full, heaviest)) / _dot(full, last).clamp_min(torch.finfo(x.dtype).tiny)
    return (heaviest + left.clamp(0, 1) * last).mul_(room).copysign_(toward)


PROJECTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "Linf": onto_plane_linf,
    "L2": onto_plane_l2,
    "L1": onto_plane_l1,
}


def _one_sided(x: Tensor, w: Tensor, need: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The direction of each component, its weight (the largest is 1), its room and what is needed, none below 0."""
    toward = w * need.sign()[:, None]
    corner = torch.gt(toward, 0, out=torch.empty_like(x))
    weight = w.abs()
    scale = weight.amax(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return toward, weight / scale, (corner - x).abs(), need.abs()[:, None] / scale


def _level(*, ends: Tensor, full: Tensor, pace: Tensor, need: Tensor) -> Tensor:
    """The level t at which the components bring what is needed: pace * t each, up to its end, then full."""
    level, mask, limits = torch.zeros_like(need), torch.empty_like(ends), torch.finfo(ends.dtype)
    for _ in range(_NEWTON_STEPS):
        done = _dot(full, torch.le(ends, level, out=mask))
        speed = _dot(pace, torch.gt(ends, level, out=mask))
        fresh = ((need - done) / speed.clamp_min(limits.tiny)).maximum(level).clamp_max(limits.max)
        if level.device.type == "cpu" and torch.equal(fresh, level):  # rows that have arrived stay to the bit
            break
        level = fresh
    return level


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.vecdot(a, b)[:, None]
