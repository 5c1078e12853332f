"""Mixup and CutMix: every image is mixed with another training image, found by its own seed."""

import torch
from scipy.special import betaincinv
from torch import Tensor

from ...draws import derive, uniform
from .cutout import rectangles

_ROW = -3  # derives which image is mixed in


def partners(
    rows: Tensor, seeds: Tensor, num_images: int, *, num_own: int | None = None, extra_share: float = 0.0
) -> Tensor:
    """The image that each image is mixed with, int64 (N,): uniform over all others of the training split.

    The papers pair the images of a batch at random. Drawn from the whole split, by the image's own seed, the partner
    does not depend on the batch. An image that is alone in its split is mixed with itself.

    Args:
        rows: positions in the split.
        seeds: one integer per row.
        num_images: of the split.
        num_own: with extra images behind these many own ones, a partner is an extra one with probability
            `extra_share`, as an image of a batch is.
        extra_share: that probability.
    """
    drawn = derive(seeds, _ROW)
    if num_own is None or num_own == num_images:
        return (rows + 1 + drawn.remainder(max(num_images - 1, 1))) % num_images
    extra = uniform(seeds, 1, stream=6)[:, 0] < extra_share
    return torch.where(extra, num_own + drawn.remainder(num_images - num_own), drawn.remainder(num_own))


def mix_shares(seeds: Tensor, alpha: float) -> Tensor:
    """The own image's share, float32 (N,) in [0.5, 1]: the larger of s and 1 - s, where s is Beta(alpha, alpha).

    The papers mix in both directions, so that each image of a pair has the larger share once. Here a partner is drawn
    for each image, which keeps the larger share.
    """
    draws = uniform(seeds, 1, stream=4)[:, 0]
    if alpha != 1:  # Beta(1, 1) is uniform
        quantiles = betaincinv(alpha, alpha, draws.cpu().double().numpy())
        draws = torch.as_tensor(quantiles, dtype=torch.float32).to(seeds.device)
    return torch.maximum(draws, 1 - draws)


def mixup(x: Tensor, x_other: Tensor, shares: Tensor) -> Tensor:
    """The sum shares * x + (1 - shares) * x_other, per image (Zhang et al. 2018, https://arxiv.org/abs/1710.09412)."""
    weights = shares[:, None, None, None]
    return (weights * x + (1 - weights) * x_other).clamp_(0, 1)  # rounding may reach beyond 1


def cutmix(x: Tensor, x_other: Tensor, shares: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """`x` with a rectangle of `x_other`, and the share of the pixels that are still its own, (N,) in [0.5, 1].

    The rectangle has the image's proportions and 1 - shares of its area; its center is uniform over the pixels, and
    what sticks out is cut off (Yun et al. 2019, https://arxiv.org/abs/1905.04899). The share returned is exact.
    """
    height, width = x.shape[2:]
    sides = (1 - shares).sqrt()
    # rounded down, so that no more than half of the pixels are another image's
    mask = rectangles(seeds, (sides * height).long(), (sides * width).long(), (height, width), stream=5)
    taken = mask.flatten(1).sum(dim=1)
    return torch.where(mask, x_other, x), 1 - taken / (height * width)
