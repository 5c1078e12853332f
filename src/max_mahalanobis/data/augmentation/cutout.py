"""Cutout: a black square somewhere in every image."""

import torch
from torch import Tensor

from ...draws import uniform
from ...errors import UserError


def cutout(images: Tensor, seeds: Tensor, *, side: int) -> Tensor:
    """Images (N, C, H, W) with a black square of `side` pixels each, cut off at the borders (type unchanged).

    Its center is uniform over the pixels, so of a square at the edge only a part is seen (DeVries and Taylor 2017,
    https://arxiv.org/abs/1708.04552; they take 16 on CIFAR-10, 8 on CIFAR-100).
    """
    if side < 0:
        raise UserError(f"cutout {side} must be 0 or more pixels")
    sides = torch.full((len(images),), side, device=images.device)
    return images.masked_fill(rectangles(seeds.to(images.device), sides, sides, images.shape[2:], stream=2), 0)


def rectangles(seeds: Tensor, heights: Tensor, widths: Tensor, size: tuple[int, int], *, stream: int) -> Tensor:
    """True inside a rectangle of integer `heights` by `widths` (N,) in images of a size; (N, 1, height, width).

    The center is uniform over the pixels; an even side has one pixel more before it than behind it.
    """
    draws = uniform(seeds, 2, stream=stream)
    inside = []
    for axis, (length, sides) in enumerate(zip(size, (heights, widths), strict=True)):
        first = ((draws[:, axis] * length).long() - sides // 2)[:, None]
        pixels = torch.arange(length, device=seeds.device)
        inside.append((pixels >= first) & (pixels < first + sides[:, None]))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
