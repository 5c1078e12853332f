"""Rotations and translations: natural changes that lie far outside every small ball."""

import math
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..draws import uniform
from ..errors import UserError, at_least_one, one_of
from ..threats import ThreatModel
from ..types import Model, Objective
from .gradient_free.best_of import best_of
from .objectives import margin

Padding = Literal["zeros", "border", "reflection"]
PADDINGS = ("zeros", "border", "reflection")


def rotation_translation(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    max_degrees: float | int = 30,
    max_shift: float | int = 3,
    angles: int = 31,
    shifts: int = 5,
    tries: int | None = None,
    padding: Padding = "zeros",
    stop_when_fooled: bool = True,
) -> Tensor:
    """The worst rotation and translation of a grid, or of some random ones (Engstrom et al. 2019, arXiv:1712.02779).

    The picture turns by up to `max_degrees`, then moves by up to `max_shift` along each axis; bilinear interpolation.
    The defaults are the authors' grid of 5 x 5 x 31 and their black surroundings; tries=10 is their worst-of-10.
    A transformed image that the threat does not allow is not used: `Linf(1.0)` allows all.

    Costs 1 + shifts^2 * angles (or 1 + tries) forwards per image at most.

    Args:
        max_shift: in pixels.
        tries: random transformations per image, uniform in the ranges; the grid when absent.
        padding: what lies around the image: black, its outermost pixels, or its mirror image.

    Returns:
        The first that fools, else the one with the largest objective.

    Raises:
        UserError: a setting is out of its range.
    """
    one_of("padding", padding, PADDINGS)
    if not max_degrees >= 0 or not max_shift >= 0:
        raise UserError(f"max_degrees and max_shift must not be negative, got {max_degrees} and {max_shift}")
    at_least_one(angles=angles, shifts=shifts, tries=tries)
    grid = list(product(_steps(max_degrees, angles), _steps(max_shift, shifts), _steps(max_shift, shifts)))

    def from_grid(x: Tensor, seeds: Tensor, number: int) -> Tensor:
        degrees, right, down = (x.new_full((len(x),), value) for value in grid[number])
        return transform(x, degrees, right, down, padding=padding)

    def at_random(x: Tensor, seeds: Tensor, number: int) -> Tensor:
        share = uniform(seeds, 3).to(x.dtype) * 2 - 1
        return transform(x, *(share * share.new_tensor([max_degrees, max_shift, max_shift])).T, padding=padding)

    candidate, count = (from_grid, len(grid)) if tries is None else (at_random, tries)
    settings = {"threat": threat, "targets": targets, "seeds": seeds, "objective": objective}
    return best_of(model, x, y, candidate, count, stop_when_fooled=stop_when_fooled, **settings)


def rotation(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    max_degrees: float | int = 30,
    angles: int = 31,
    tries: int | None = None,
    padding: Padding = "zeros",
    stop_when_fooled: bool = True,
) -> Tensor:
    """`rotation_translation` that stays where it is. Costs 1 + angles (or 1 + tries) forwards per image at most."""
    settings = {"targets": targets, "seeds": seeds, "objective": objective, "stop_when_fooled": stop_when_fooled}
    settings |= {"max_degrees": max_degrees, "angles": angles, "tries": tries, "padding": padding}
    return rotation_translation(model, x, y, threat=threat, max_shift=0, shifts=1, **settings)


def transform(x: Tensor, degrees: Tensor, right: Tensor, down: Tensor, *, padding: Padding = "zeros") -> Tensor:
    """Images turned counterclockwise about their middle, then moved by so many pixels; one number of each per image.

    Bilinear interpolation between pixel centers.
    """
    height, width = x.shape[2:]
    cos, sin = torch.cos(degrees * (math.pi / 180)), torch.sin(degrees * (math.pi / 180))
    # where each pixel of the result comes from, in pixels from the middle: first moved back, then turned back
    rows = torch.arange(height, device=x.device, dtype=x.dtype) - (height - 1) / 2
    columns = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
    rows, columns = rows[:, None] - down.view(-1, 1, 1), columns - right.view(-1, 1, 1)
    cos, sin = cos.view(-1, 1, 1), sin.view(-1, 1, 1)
    source = torch.stack(
        [(cos * columns - sin * rows) * (2 / width), (sin * columns + cos * rows) * (2 / height)], dim=3
    )
    return F.grid_sample(x, source, mode="bilinear", padding_mode=padding, align_corners=False).clamp_(0, 1)


def _steps(limit: float | int, count: int) -> list[float]:
    return torch.linspace(-limit, limit, count, dtype=torch.float64).tolist() if count > 1 else [0.0]
