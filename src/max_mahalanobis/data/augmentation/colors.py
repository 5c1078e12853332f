"""RandAugment's operations on the values of pixels: (pixels in [0, 1], strengths (N,) in [-1, 1)) -> pixels in [0, 1].

They follow Pillow's, with sums over an image in integers: these do not depend on the order of the addends, so an
image's result is the same in every batch, to the last bit.
"""

import torch
from torch import Tensor

_MOST = 0.9  # brightness, contrast, color, sharpness are multiplied by 1 +- this


def brightness(x: Tensor, strengths: Tensor) -> Tensor:
    """Black blended with the image, by a factor in [0.1, 1.9]."""
    return _blend(torch.zeros_like(x), x, strengths)


def contrast(x: Tensor, strengths: Tensor) -> Tensor:
    """The image's mean gray blended with it, by a factor in [0.1, 1.9]."""
    gray = _in_bytes(_gray(x)).flatten(1)
    mean = (gray.sum(dim=1) + gray.shape[1] // 2) // gray.shape[1]  # rounded
    return _blend(mean[:, None, None, None] / 255, x, strengths)


def color(x: Tensor, strengths: Tensor) -> Tensor:
    """The gray image blended with the image, by a factor in [0.1, 1.9]; gray images stay as they are."""
    return x if x.shape[1] == 1 else _blend(_gray(x), x, strengths)


def sharpness(x: Tensor, strengths: Tensor) -> Tensor:
    """The image smoothed over 3 x 3 pixels (the middle one counts five times) blended with it; its frame stays."""
    height, width = x.shape[2:]
    if min(height, width) < 3:
        return x
    total = 4 * x[:, :, 1:-1, 1:-1]
    for down in range(3):
        for right in range(3):
            total = total + x[:, :, down : height - 2 + down, right : width - 2 + right]
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = total / 13
    return _blend(smooth, x, strengths)


def posterize(x: Tensor, strengths: Tensor) -> Tensor:
    """The highest 4 to 8 bits of every value."""
    lost = (strengths.abs() * 5).long().clamp_(max=4)[:, None, None, None]
    return (_in_bytes(x) >> lost << lost) / 255


def solarize(x: Tensor, strengths: Tensor) -> Tensor:
    """Values from a threshold on are inverted: none at strength 0, all at 1."""
    threshold = 256 * (1 - strengths.abs())[:, None, None, None]
    return torch.where(_in_bytes(x) >= threshold, 1 - x, x)


def autocontrast(x: Tensor, strengths: Tensor) -> Tensor:
    """Every channel stretched to [0, 1], whatever the strength; a channel of one value stays."""
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    flat = high == low
    return torch.where(flat, x, (x - low) / torch.where(flat, 1.0, high - low)).clamp_(0, 1)


def equalize(x: Tensor, strengths: Tensor) -> Tensor:
    """Every channel's 256 levels spread so that all are equally frequent, whatever the strength."""
    levels = _in_bytes(x).flatten(2)
    counts = torch.zeros(*x.shape[:2], 256, dtype=torch.int64, device=x.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    brightest = counts.gather(2, levels.amax(dim=2, keepdim=True))
    step = (levels.shape[2] - brightest) // 255
    below = counts.cumsum(dim=2) - counts
    spread = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    levels = torch.where(step == 0, levels, spread.gather(2, levels))  # too few pixels, or all of one level
    return levels.view_as(x) / 255


def _blend(other: Tensor, x: Tensor, strengths: Tensor) -> Tensor:
    """`other` at factor 0, `x` at 1, beyond it at more."""
    factors = (1 + _MOST * strengths)[:, None, None, None]
    return (factors * x + (1 - factors) * other).clamp_(0, 1)


def _gray(x: Tensor) -> Tensor:
    """Luma of color images (ITU-R 601), else the mean of the channels; (N, 1, H, W)."""
    channels = x.shape[1]
    weights = (0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels
    return sum(weight * x[:, i : i + 1] for i, weight in enumerate(weights))


def _in_bytes(x: Tensor) -> Tensor:
    """The 256 levels, int64."""
    return (x * 255).round().long()
