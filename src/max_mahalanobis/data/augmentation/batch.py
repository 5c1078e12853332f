"""A batch of training images: gathered, augmented and mixed as a recipe says."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ...draws import derive
from ...errors import one_of
from ...recipe import Recipe
from ...types import Split, as_pixels
from .cutout import cutout
from .mixing import cutmix, mix_shares, mixup, partners
from .moves import crop, flip, shift
from .operations import random_operations

_PARTNER = -2  # derives the seed of the image that an image is mixed with

AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda images, seeds: as_pixels(images),
    "shift": shift,
    "shift_flip": lambda images, seeds: flip(shift(images, seeds), seeds),
    "crop": lambda images, seeds: as_pixels(crop(images, seeds)),
    "crop_flip": lambda images, seeds: as_pixels(flip(crop(images, seeds), seeds)),
}
"""Every augmentation by the recipe's name for it: (images, seeds) -> floats in [0, 1]."""


class Batch(NamedTuple):
    """Images (N, C, H, W) in [0, 1] with their labels (N,).

    Where images are mixed, `other_labels` (N,) are those of the images mixed in, and `shares` (N,) in [0.5, 1] is what
    the own label weighs: the loss is shares * loss(labels) + (1 - shares) * loss(other_labels), per image.
    """

    x: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    shares: Tensor | None = None


def prepare(split: Split, rows: Tensor, seeds: Tensor, recipe: Recipe, *, num_own: int | None = None) -> Batch:
    """The batch that training learns from at `rows` of its split.

    In this order: `augmentation`, `random_operations`, `cutout`; then, with `mix`, another image of the split, drawn
    from the image's own seed and augmented in the same way by a seed derived from that, is mixed in. So a mixed image
    depends on its seed and on the split, never on the batch.

    Args:
        split: the training images, on the device where the batch is wanted.
        rows: positions in it, int64 (N,).
        seeds: one integer per row, the only source of its draws.
        recipe: its fields augmentation, random_operations, cutout, mix, mix_alpha, extra_share.
        num_own: how many of the split's images, from the first, are no extra ones (all).
    """
    seeds = seeds.to(split.images.device)
    x, labels = _augmented(split.images[rows], seeds, recipe), split.labels[rows]
    if recipe.mix == "none":
        return Batch(x, labels)
    others = partners(rows, seeds, len(split.labels), num_own=num_own, extra_share=recipe.extra_share)
    x_other = _augmented(split.images[others], derive(seeds, _PARTNER), recipe)
    shares = mix_shares(seeds, recipe.mix_alpha)
    if recipe.mix == "mixup":
        x = mixup(x, x_other, shares)
    else:
        x, shares = cutmix(x, x_other, shares, seeds)
    return Batch(x, labels, split.labels[others], shares)


def augment(images: Tensor, seeds: Tensor, *, kind: str) -> Tensor:
    """Images (N, C, H, W), bytes or floats in [0, 1], as augmented floats in [0, 1] on the same device.

    `seeds` holds one integer per image, the only source of its draws: the neighbours in the batch do not matter.
    `kind` is a key of `AUGMENTATIONS`.
    """
    one_of("augmentation", kind, AUGMENTATIONS)
    return AUGMENTATIONS[kind](images, seeds.to(images.device))


def _augmented(images: Tensor, seeds: Tensor, recipe: Recipe) -> Tensor:
    x = augment(images, seeds, kind=recipe.augmentation)
    if recipe.random_operations:
        x = random_operations(x, seeds, count=recipe.random_operations)
    return cutout(x, seeds, side=recipe.cutout) if recipe.cutout else x
