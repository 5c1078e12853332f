"""Random shifts, crops and flips of whole batches."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ...draws import uniform
from ...types import as_pixels

_SHIFT = 0.1  # of the side, to either direction
_PADDING = 4  # pixels


def shift(images: Tensor, seeds: Tensor) -> Tensor:
    """Shift by up to a tenth of the side along both axes, by fractions of a pixel (bilinear), edges repeated.

    As the paper's Keras ImageDataGenerator(width_shift_range=0.1, height_shift_range=0.1) does, where the shift is
    uniform in +-0.1 of the side.
    """
    pixels = as_pixels(images)
    # the grid spans [-1, 1] over a side, so a shift by 0.1 of the side is 0.2 of the grid's units
    offsets = (uniform(seeds, 2) * 2 - 1) * (2 * _SHIFT)
    theta = torch.eye(2, 3, device=pixels.device).repeat(len(pixels), 1, 1)
    theta[:, :, 2] = offsets
    grid = F.affine_grid(theta.to(pixels.dtype), list(pixels.shape), align_corners=False)
    shifted = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return shifted.clamp_(0, 1)  # the four weights may sum to a little more than 1


def crop(images: Tensor, seeds: Tensor) -> Tensor:
    """Pad with 4 black pixels on every side and cut a random window of the old size (type unchanged)."""
    height, width = images.shape[2:]
    padded = F.pad(images, (_PADDING,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (N, C, 9, 9, H, W)
    corner = (uniform(seeds, 2) * (2 * _PADDING + 1)).long()
    return windows[torch.arange(len(images), device=images.device), :, corner[:, 0], corner[:, 1]]


def flip(images: Tensor, seeds: Tensor) -> Tensor:
    """Mirror left-right with probability 1/2 (type unchanged)."""
    flipped = uniform(seeds, 1, stream=1)[:, 0] < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(3), images)
