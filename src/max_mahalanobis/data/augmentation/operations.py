"""RandAugment: a few operations an image, each drawn from a list with a random strength."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...draws import uniform
from ...errors import UserError
from ...types import as_pixels
from .colors import autocontrast, brightness, color, contrast, equalize, posterize, sharpness, solarize
from .warps import rotate, shear_x, shear_y, translate_x, translate_y

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda x, strengths: x,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "rotate": rotate,
    "solarize": solarize,
    "color": color,
    "posterize": posterize,
    "contrast": contrast,
    "brightness": brightness,
    "sharpness": sharpness,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}
"""RandAugment's list: (pixels, strengths (N,) in [-1, 1)) -> pixels, both in [0, 1]; its order is that of the draws."""


def random_operations(images: Tensor, seeds: Tensor, *, count: int) -> Tensor:
    """Images (N, C, H, W), bytes or floats in [0, 1], after `count` random operations each; floats in [0, 1].

    Operations are drawn with replacement (RandAugment, Cubuk et al. 2020, https://arxiv.org/abs/1909.13719). Each has
    a strength of its own, uniform from none to its most, and to either side where it has sides (TrivialAugment, Mueller
    and Hutter 2021, https://arxiv.org/abs/2103.10158). Each is computed on the images that drew it alone.
    """
    if count < 0:
        raise UserError(f"random_operations {count} must be 0 or more")
    pixels = as_pixels(images)
    pixels = pixels.clone() if pixels is images else pixels
    draws = uniform(seeds.to(images.device), 2 * count, stream=3)
    for chosen, strength in zip(draws[:, ::2].T, draws[:, 1::2].T, strict=True):
        drawn = (chosen * len(OPERATIONS)).long()
        sizes = torch.bincount(drawn, minlength=len(OPERATIONS)).tolist()
        for operation, rows in zip(OPERATIONS.values(), drawn.argsort().split(sizes), strict=True):
            if len(rows):
                pixels[rows] = operation(pixels[rows], 2 * strength[rows] - 1)
    return pixels
