"""Common corruptions in the manner of CIFAR-10-C (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261).

All severities are those of the authors' program for 32 x 32 images (make_cifar_c.py in hendrycks/robustness, read at
commit ca36008); none is ours. Random kinds draw from the image's seed. Results are not rounded to bytes, except by
`jpeg_compression` and `pixelate`, which are Pillow's. Left out because they need other images or other programs:
the weather (snow, frost, fog, spatter), motion, glass and zoom blur, elastic transform.

No library does this: imagecorruptions has the ImageNet-C severities, draws from NumPy's global state and needs OpenCV
and scikit-image; kornia and albumentations have no CIFAR-10-C severities.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..draws import normal, uniform
from ..errors import UserError, one_of
from ..threats import ThreatModel
from ..types import Model
from .manners import check_call, is_fooled, look, undisturbed


def corrupt(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    kind: str = "gaussian_noise",
    severity: int = 3,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Each image under one corruption of `CORRUPTIONS`, whether it fools or not.

    An image whose corrupted version the threat does not allow comes back unchanged: `Linf(1.0)` allows all. `targets`
    is taken, as every attack does, and not used. Costs one forward per image, none with stop_when_fooled=False.

    Args:
        severity: 1 (mild) to 5.
        stop_when_fooled: images that are misclassified as they are come back unchanged.

    Raises:
        UserError: an unknown kind, a severity that does not exist, or images the kind has no form for.
    """
    check_call(model, x, y, targets, seeds)
    one_of("corruption", kind, CORRUPTIONS)
    if severity not in (1, 2, 3, 4, 5):
        raise UserError(f"severity must be 1, 2, 3, 4 or 5, got {severity}")
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    x = x.detach()
    corrupted = CORRUPTIONS[kind](x, seeds, severity).clamp(0, 1)
    used = threat.allows(corrupted, x)
    if stop_when_fooled:
        with undisturbed(model):
            used = used & ~is_fooled(look(model, x), y)
    return torch.where(used.view(-1, 1, 1, 1), corrupted, x)


def gaussian_noise(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """Normal noise on every pixel."""
    std = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return x + std * _normal_like(x, seeds)


def shot_noise(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """A Poisson count of photons per pixel, `photons` at full brightness."""
    photons = (500, 250, 100, 75, 50)[severity - 1]
    share = uniform(seeds, x.shape[1:].numel()).double().view_as(x) + 2.0**-25
    return (_poisson_quantile(share, x.double() * photons) / photons).to(x.dtype)


def impulse_noise(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """Salt and pepper: that share of the pixels turns 0 or 1."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    hit = uniform(seeds, x.shape[1:].numel(), stream=1).view_as(x) < share
    salt = uniform(seeds, x.shape[1:].numel(), stream=2).view_as(x) < 0.5
    return torch.where(hit, salt.to(x.dtype), x)


def speckle_noise(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """Normal noise in proportion to the pixel."""
    std = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    return x + std * x * _normal_like(x, seeds)


def gaussian_blur(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """A Gaussian filter cut at 4 standard deviations; outside, the border goes on."""
    std = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    line = _gaussian(int(4 * std + 0.5), std)
    return _filtered(x, line[:, None] * line, padding="replicate")


def defocus_blur(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """A small disk, smoothed; outside lies the mirror image."""
    radius, std = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    if min(x.shape[2:]) < 3:
        raise UserError(f"defocus_blur needs images of at least 3 x 3 pixels, got {x.shape[2]} x {x.shape[3]}")
    steps = torch.arange(-2, 3, dtype=torch.float64)
    disk = ((steps[:, None] ** 2 + steps**2) <= radius**2).double()
    line = _gaussian(1, std)
    return _filtered(x, _filtered((disk / disk.sum())[None, None], line[:, None] * line, padding=None)[0, 0], "reflect")


def brightness(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """The value of HSV raised; for gray images the pixel itself."""
    _gray_or_color(x, "brightness")
    value = x.amax(dim=1, keepdim=True)
    raised = (value + (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]).clamp(0, 1)
    return torch.where(value > 0, x * (raised / value.clamp_min(torch.finfo(x.dtype).tiny)), raised)


def contrast(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """Every channel drawn toward its mean."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) * (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1] + mean


def saturate(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """The saturation of HSV changed, hue and value kept; gray pixels count as red, as in the authors' color library."""
    if x.shape[1] != 3:
        raise UserError(f"saturate needs 3 channels, got {x.shape[1]}: gray images have no saturation")
    factor, added = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    value, least = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
    spread = value - least
    saturation = spread / value.clamp_min(torch.finfo(x.dtype).tiny)
    below = (value - x) / spread.clamp_min(torch.finfo(x.dtype).tiny)  # 0 for the largest channel, 1 for the smallest
    below = torch.where(spread > 0, below, x.new_tensor([0, 1, 1]).view(1, 3, 1, 1))
    return value * (1 - (saturation * factor + added).clamp(0, 1) * below)


def pixelate(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """Made smaller, then as large as before, by box filters."""
    share = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]

    def coarse(picture: Image.Image) -> Image.Image:
        small = (max(int(picture.width * share), 1), max(int(picture.height * share), 1))
        return picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BOX)

    return _by_pillow(x, coarse, "pixelate")


def jpeg_compression(x: Tensor, seeds: Tensor, severity: int) -> Tensor:
    """Written as JPEG of low quality, read again."""
    quality = (80, 65, 58, 50, 40)[severity - 1]

    def written(picture: Image.Image) -> Image.Image:
        file = BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _by_pillow(x, written, "jpeg_compression")


CORRUPTIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "speckle_noise": speckle_noise,
    "gaussian_blur": gaussian_blur,
    "defocus_blur": defocus_blur,
    "brightness": brightness,
    "contrast": contrast,
    "saturate": saturate,
    "pixelate": pixelate,
    "jpeg_compression": jpeg_compression,
}


def _normal_like(x: Tensor, seeds: Tensor) -> Tensor:
    return normal(seeds, x.shape[1:].numel()).to(x.dtype).view_as(x)


def _poisson_quantile(share: Tensor, mean: Tensor) -> Tensor:
    """The least count with P(Poisson(mean) <= count) >= share, by bisection; means up to 500."""
    low, high = torch.full_like(mean, -1), torch.full_like(mean, 1023)
    for _ in range(10):
        middle = ((low + high) / 2).floor()
        enough = torch.special.gammaincc(middle + 1, mean) >= share
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high


def _gaussian(radius: int, std: float) -> Tensor:
    line = torch.exp(-(torch.arange(-radius, radius + 1, dtype=torch.float64) ** 2) / (2 * std**2))
    return line / line.sum()


def _filtered(x: Tensor, kernel: Tensor, padding: str | None) -> Tensor:
    """Every channel correlated with one square kernel; zeros lie outside when `padding` is None."""
    reach = len(kernel) // 2
    around = F.pad(x, [reach] * 4, mode=padding or "constant")
    alone = around.flatten(0, 1)[:, None]
    return F.conv2d(alone, kernel.to(x)[None, None]).view_as(x)


def _by_pillow(x: Tensor, change: Callable[[Image.Image], Image.Image], kind: str) -> Tensor:
    """Every image changed as a picture of bytes."""
    _gray_or_color(x, kind)
    pictures = (x * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    pictures = pictures[..., 0] if x.shape[1] == 1 else pictures
    changed = [np.asarray(change(Image.fromarray(picture))) for picture in pictures]
    back = torch.from_numpy(np.stack(changed)) if changed else torch.empty(0, dtype=torch.uint8)
    back = back.view(len(x), *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
    return back.to(device=x.device, dtype=x.dtype) / 255


def _gray_or_color(x: Tensor, kind: str) -> None:
    if x.shape[1] not in (1, 3):
        raise UserError(f"{kind} needs 1 or 3 channels, got {x.shape[1]}")
