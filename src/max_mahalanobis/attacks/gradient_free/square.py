"""Square attack: random squares, kept when they help; it needs logits and no gradient."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ...draws import derive, uniform
from ...errors import UserError, at_least_one
from ...threats import L1, L2, Linf, ThreatModel
from ...types import Attack, Mask, Model, Objective
from ..manners import check_call, explained, is_fooled, look, undisturbed
from ..objectives import margin
from ..standing import Standing

_HALVINGS = (11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)  # squares after which the area is halved
_AT_ONCE = 100  # squares whose random numbers are drawn together


def square(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    queries: int = 5000,
    area: float | int = 0.8,
    restarts: int = 1,
    ahead: int = 1,
    start: Attack | None = None,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Square attack (Andriushchenko et al. 2020, https://arxiv.org/abs/1912.00049, algorithms 1 to 3).

    From vertical stripes of +-eps (Linf) or a mosaic of small patterns (L2, L1), each query changes one square of the
    image; a change stays when it fools, or when it raises the objective. Under Linf the square is painted in one of
    the corners of the ball per channel; under L2 and L1 a second square gives its perturbation up to it. Squares cover
    `area` of the image at first and half of that after 10, 50, 200, 500, 1000, ... of them, whatever `queries` is: as
    in AutoAttack (whose L1 form this is too: Croce and Hein 2021, https://arxiv.org/abs/2103.01208).

    Each image has squares of its own, and they reach its last row and column (the authors' positions end one short).
    Costs 1 + queries * restarts forwards per image at most; the first looks at the clean image.

    Args:
        queries: forwards of one restart.
        area: share of the image that the first squares cover, in (0, 1]; the paper's p.
        ahead: squares of an image that are tried side by side; the first that helps is kept and those behind it, tried
            in vain, come again. The same climb in larger batches: faster where few images are left, at 4 ahead for
            about a tenth of the queries.
        start: another attack, with its threat bound, whose images the squares go on from in place of stripes or tiles;
            at its own cost. A gradient attack and then small squares (area 0.1) find more than either alone.
        stop_when_fooled: images leave once fooled. False climbs to the last query and keeps what fools.

    Returns:
        Allowed images: the first that fools, else the best of the last restart.

    Raises:
        UserError: the threat is not Linf, L2 or L1, or a setting is out of its range.
    """
    check_call(model, x, y, targets, seeds)
    at_least_one(queries=queries, restarts=restarts, ahead=ahead)
    if not 0 < area <= 1:
        raise UserError(f"area must lie in (0, 1], got {area}: it is the share of the image the first squares cover")
    if type(threat) not in _FORMS:
        raise UserError(f"square has no form for {threat}: use Linf, L2 or L1")
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    at = Standing(x.detach().contiguous(), y=y.long(), targets=targets, seeds=seeds)
    settings = {"threat": threat, "objective": objective, "queries": queries, "area": area, "ahead": ahead}
    with undisturbed(model):
        if stop_when_fooled:
            at.settle(is_fooled(look(model, at.x), at.y))
        for restart in range(restarts):
            if len(at) == 0:
                break
            at.own = derive(at.seeds, restart)
            _climb(model, at, start=start, stop_when_fooled=stop_when_fooled, **settings)
            at.settle(at.fooled, at.x_adv)  # later restarts are not for them
    return at.result(at.x_adv) if len(at) else at.result()


def _climb(
    model: Model,
    at: Standing,
    *,
    threat: ThreatModel,
    objective: Objective,
    queries: int,
    area: float | int,
    ahead: int,
    start: Attack | None,
    stop_when_fooled: bool,
) -> None:
    """One restart, from `start` or the form's own beginning: in the end `at.x_adv` is where each image climbed to."""
    form = _FORMS[type(threat)]
    if start is None:
        at.x_adv = form.begin(at.x, at.own, threat)
    else:
        at.x_adv = start(model, at.x, at.y, targets=at.targets, seeds=derive(at.own, -1)).clone().contiguous()
    logits = look(model, at.x_adv)
    with explained(logits):
        at.fooled, at.score = is_fooled(logits, at.y), objective(logits, at.y, at.targets)
    at.left = torch.full_like(at.y, queries - 1)
    for side, first, count in _plan(queries - 1, area, *at.x.shape[2:], form.smallest):
        offsets, pattern = _offsets(at.x, side), form.pattern(at.x, side)
        at.corners, at.turns, at.signs = _draw(at.x, derive(at.own, first), side, count)
        at.next = torch.zeros_like(at.y)
        for _ in range(count):
            if stop_when_fooled:
                at.settle(at.fooled, at.x_adv)
            rows, tries = _tries(at, ahead, count)
            if len(rows) == 0:
                break
            places = rows * count + tries
            drawn = (each.flatten(0, 1).index_select(0, places) for each in (at.corners, at.turns, at.signs))
            clean, made = at.x.index_select(0, rows), at.x_adv.index_select(0, rows)
            made = form.move(clean, made, *drawn, offsets, pattern, threat)
            logits = look(model, made)
            labels, aims = at.y.index_select(0, rows), None if at.targets is None else at.targets[rows]
            _keep_first_better(at, rows, tries, made, is_fooled(logits, labels), objective(logits, labels, aims))


def _tries(at: Standing, ahead: int, count: int) -> tuple[Tensor, Tensor]:
    """What is tried next, (image, square): `ahead` squares of each image that has as many left in this portion."""
    if ahead == 1:  # all images are at the same square, and nobody has to wait for the device to count them
        return torch.arange(len(at), device=at.y.device), at.next
    tries = at.next[:, None] + torch.arange(ahead, device=at.y.device)
    there = (tries < (at.next + at.left).clamp_max(count)[:, None]).flatten().nonzero().squeeze(1)
    return there // ahead, tries.flatten().index_select(0, there)


def _keep_first_better(at: Standing, rows: Tensor, tries: Tensor, made: Tensor, fooled: Mask, score: Tensor) -> None:
    """Of each image's tries the first that fools or scores more is kept; the next are those behind it."""
    fooled_before, score_before = at.fooled.index_select(0, rows), at.score.index_select(0, rows)
    better = (fooled > fooled_before) | ((fooled == fooled_before) & (score > score_before))
    places = torch.arange(len(rows), device=rows.device).masked_fill(~better, len(rows))
    first = torch.full_like(at.next, len(rows)).scatter_reduce(0, rows, places, "amin")
    found, first = first < len(rows), first.clamp_max(len(rows) - 1)
    at.x_adv = torch.where(found.view(-1, 1, 1, 1), made.index_select(0, first), at.x_adv)
    at.score = torch.where(found, score.index_select(0, first), at.score)
    at.fooled = at.fooled | found & fooled.index_select(0, first)
    spent = torch.zeros_like(at.next).index_add(0, rows, torch.ones_like(rows))
    at.next, at.left = torch.where(found, tries.index_select(0, first) + 1, at.next + spent), at.left - spent


def _plan(squares: int, area: float | int, height: int, width: int, smallest: int) -> Iterator[tuple[int, int, int]]:
    """The side of the squares, the first of them and how many, in portions whose random numbers are drawn together."""
    for halvings, (start, end) in enumerate(pairwise([0, *_HALVINGS, max(squares, _HALVINGS[-1])])):
        side = max(round((area / 2**halvings * height * width) ** 0.5), smallest)
        side += (side + 1) % 2 if smallest > 1 else 0  # a pattern has a middle
        for first in range(start, min(end, squares), _AT_ONCE):
            yield min(side, height, width), first, min(_AT_ONCE, end - first, squares - first)


def _draw(x: Tensor, seeds: Tensor, side: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each image and square: places of the top left corner of two windows, how it is turned, signs of channels."""
    channels, height, width = x.shape[1:]
    numbers = uniform(seeds, count * (5 + channels)).view(len(x), count, 5 + channels)
    rows, columns = numbers[..., :2] * (height - side + 1), numbers[..., 2:4] * (width - side + 1)
    corners = rows.long() * width + columns.long()
    return corners, (numbers[..., 4] < 0.5).long(), (numbers[..., 5:, None] < 0.5).to(x.dtype) * 2 - 1


def _offsets(x: Tensor, side: int) -> Tensor:
    steps = torch.arange(side, device=x.device)
    return (steps[:, None] * x.shape[3] + steps).flatten()


def _window(x: Tensor, corners: Tensor, offsets: Tensor) -> Tensor:
    return (corners[:, None] + offsets)[:, None].expand(-1, x.shape[1], -1)


def _read(images: Tensor, window: Tensor) -> Tensor:
    return images.flatten(2).gather(2, window)


def _write(images: Tensor, window: Tensor, values: Tensor) -> Tensor:
    images.view(*images.shape[:2], -1).scatter_(2, window, values)
    return images


def _stripes(x: Tensor, seeds: Tensor, threat: ThreatModel) -> Tensor:
    """Every column of every channel up or down by eps."""
    signs = (uniform(seeds, x.shape[1] * x.shape[3], stream=1) < 0.5).to(x.dtype) * 2 - 1
    return (x + threat.eps * signs.view(len(x), x.shape[1], 1, -1)).clamp_(0, 1)


def _paint(
    x: Tensor, x_adv: Tensor, corners: Tensor, turns: Tensor, signs: Tensor, offsets: Tensor, _, threat: ThreatModel
) -> Tensor:
    """Under Linf: one window of `x_adv` goes to a corner of the ball."""
    window = _window(x, corners[:, 0], offsets)
    return _write(x_adv, window, (_read(x, window) + threat.eps * signs).clamp_(0, 1))


def _mosaic(x: Tensor, seeds: Tensor, threat: ThreatModel, *, power: int) -> Tensor:
    """Tiles of a fifth of the image's side, each turned and signed at random."""
    batch, channels, height, width = x.shape
    side = max(min(height, width) // 5, 1)
    down, across = height // side, width // side
    turns = (uniform(seeds, down * across, stream=1) < 0.5).long()
    signs = (uniform(seeds, channels * down * across, stream=2) < 0.5).to(x.dtype) * 2 - 1
    tiles = _pattern(x, side, power=power)[turns][:, None] * signs.view(batch, channels, -1, 1)
    tiles = tiles.view(batch, channels, down, across, side, side).transpose(3, 4)
    delta = torch.zeros_like(x)
    top, left = (height - down * side) // 2, (width - across * side) // 2
    filled = tiles.reshape(batch, channels, down * side, across * side)
    delta[:, :, top : top + down * side, left : left + across * side] = filled
    return threat.project(x + delta * (threat.eps / threat.size(delta)).clamp_min(1).view(-1, 1, 1, 1), x)


def _trade(
    x: Tensor,
    x_adv: Tensor,
    corners: Tensor,
    turns: Tensor,
    signs: Tensor,
    offsets: Tensor,
    pattern: Tensor,
    threat: ThreatModel,
    *,
    power: int,
) -> Tensor:
    """Under L2, L1: a window gives up its perturbation; that and what was unspent goes into the pattern of another."""
    taker, giver = (_window(x, corner, offsets) for corner in corners.unbind(1))
    both = torch.cat([giver, taker], dim=2)
    clean, before = _read(x, both), _read(x_adv, both)
    given, held = (before - clean).split(len(offsets), dim=2)
    unspent = (threat.eps * (1 - 1e-6)) ** power - threat.size(x_adv - x) ** power
    mass = _mass(held, power) + _mass(given.masked_fill(_shared(x, corners, offsets), 0), power)
    mass = mass + unspent.clamp_min(0).view(-1, 1, 1) / x.shape[1]
    shape = pattern[turns][:, None] * signs + _unit(held, power)
    clean_giver, clean_taker = clean.split(len(offsets), dim=2)
    _write(x_adv, giver, clean_giver)
    return _write(x_adv, taker, (clean_taker + _unit(shape, power) * mass ** (1 / power)).clamp_(0, 1))


def _shared(x: Tensor, corners: Tensor, offsets: Tensor) -> Tensor:
    """Which places of the second window lie in the first too, shape (batch, 1, side * side)."""
    side, width = int(len(offsets) ** 0.5), x.shape[3]
    steps = torch.arange(side, device=x.device)
    rows, columns = (corners // width).diff(dim=1) + steps, (corners % width).diff(dim=1) + steps
    rows, columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (rows[:, :, None] & columns[:, None]).flatten(1)[:, None]


def _ones(x: Tensor, side: int) -> Tensor:
    return x.new_ones(side * side)


def _pattern(x: Tensor, side: int, *, power: int) -> Tensor:
    """A hill above a valley and the same turned, each of length 1 in the norm of that power: shape (2, side * side).

    At distance r from its middle a hill is the tail from r on of sum 1 / (k + 1)^2 (L1: ^4).
    """
    halves = []
    for rows, sign in ((side // 2, 1), (side - side // 2, -1)):
        down = (torch.arange(rows, device=x.device) - rows // 2).abs()
        across = (torch.arange(side, device=x.device) - side // 2).abs()
        tails = torch.arange(1.0, side // 2 + 2, device=x.device, dtype=x.dtype) ** (-2 if power == 2 else -4)
        hill = tails.flip(0).cumsum(0).flip(0)[torch.maximum(down[:, None], across)]
        halves.append(sign * _unit(hill.flatten(), power).view(rows, side))
    pattern = torch.cat(halves)
    return _unit(torch.stack([pattern, pattern.T]).flatten(1), power)


def _mass(delta: Tensor, power: int) -> Tensor:
    return delta.abs().pow(power).sum(dim=-1, keepdim=True)


def _unit(delta: Tensor, power: int) -> Tensor:
    return delta / _mass(delta, power).pow(1 / power).clamp_min(1e-12)


class _Form(NamedTuple):
    """What the algorithm does in one norm."""

    begin: Callable[..., Tensor]
    move: Callable[..., Tensor]
    pattern: Callable[..., Tensor]
    smallest: int  # side of a square


_FORMS: dict[type[ThreatModel], _Form] = {Linf: _Form(_stripes, _paint, _ones, 1)} | {
    norm: _Form(partial(_mosaic, power=power), partial(_trade, power=power), partial(_pattern, power=power), 3)
    for norm, power in ((L2, 2), (L1, 1))
}
