"""RandAugment's operations on the places of pixels: (pixels in [0, 1], strengths (N,) in [-1, 1)) -> pixels in [0, 1].

Between pixels they interpolate linearly; what comes from outside the image is black.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_ANGLE = math.radians(30)
_SLOPE = 0.3
_WAY = 10 / 32  # of the side


def rotate(x: Tensor, strengths: Tensor) -> Tensor:
    """By up to 30 degrees to either side, around the middle.

    The tangent of half the angle is uniform, and so is, nearly, the angle: its sine and cosine are fractions then,
    whose last bits, unlike those of the processor's functions, do not depend on an image's place in the batch.
    """
    half = math.tan(_ANGLE / 2) * strengths
    cosine, sine = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    return _warp(x, (cosine, -sine, 0), (sine, cosine, 0))


def shear_x(x: Tensor, strengths: Tensor) -> Tensor:
    """Rows moved by up to 0.3 pixels for each pixel from the middle row."""
    return _warp(x, (1, _SLOPE * strengths, 0), (0, 1, 0))


def shear_y(x: Tensor, strengths: Tensor) -> Tensor:
    """Columns moved by up to 0.3 pixels for each pixel from the middle column."""
    return _warp(x, (1, 0, 0), (_SLOPE * strengths, 1, 0))


def translate_x(x: Tensor, strengths: Tensor) -> Tensor:
    """Moved right or left by up to 10 of 32 pixels."""
    return _warp(x, (1, 0, _WAY * x.shape[3] * strengths), (0, 1, 0))


def translate_y(x: Tensor, strengths: Tensor) -> Tensor:
    """Moved down or up by up to 10 of 32 pixels."""
    return _warp(x, (1, 0, 0), (0, 1, _WAY * x.shape[2] * strengths))


def _warp(x: Tensor, columns: tuple, rows: tuple) -> Tensor:
    """Every pixel is looked up where a * right + b * down + c says, in pixels from the middle; (a, b, c) for both axes.

    Each of the six is a number or has one value per image.
    """
    height, width = x.shape[2:]
    right = torch.arange(width, device=x.device) - (width - 1) / 2
    down = (torch.arange(height, device=x.device) - (height - 1) / 2)[:, None]

    def place(a, b, c, length: int) -> Tensor:
        a, b, c = (torch.as_tensor(each, dtype=x.dtype, device=x.device).view(-1, 1, 1) for each in (a, b, c))
        return ((a * right + b * down + c) * (2 / length)).expand(len(x), height, width)

    grid = torch.stack([place(*columns, width), place(*rows, height)], dim=3)  # [-1, 1] spans a side
    return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False).clamp_(0, 1)
