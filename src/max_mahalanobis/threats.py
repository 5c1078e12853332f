"""What the adversary may do: a ball around each image, inside the pixels' range [0, 1]."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import normal, uniform
from .errors import UserError, one_of
from .recipe import check_eps
from .types import Images, Mask, PerExample, Seeds


@dataclass(frozen=True)
class ThreatModel(ABC):
    """All images within `eps` of the given one in some norm, and within [0, 1]."""

    eps: float | int

    def __post_init__(self):
        """Refuse budgets that are negative, not finite or (Linf) beyond the pixels' range."""
        check_eps(self.eps, self.name)

    @property
    def name(self) -> str:
        """The norm as the field writes it: Linf, L2."""
        return type(self).__name__

    @abstractmethod
    def size(self, delta: Tensor) -> PerExample:
        """Length of each perturbation in this norm, shape (batch,)."""

    @abstractmethod
    def steepest(self, gradient: Images) -> Images:
        """The direction of length 1 in this norm along which a linear function rises fastest."""

    @abstractmethod
    def _into_ball(self, delta: Images) -> Images:
        """The nearest perturbation of length at most `eps` (Euclidean distance)."""

    @abstractmethod
    def _draw(self, shape: torch.Size, seeds: Seeds) -> Images:
        """Random perturbations in the ball, float32."""

    def project(self, x_adv: Images, x: Images) -> Images:
        """`x_adv` brought back into the ball around `x` and then into the box; `x` must lie in the box."""
        return (x + self._into_ball(x_adv - x)).clamp_(0, 1)

    def sample(self, x: Images, seeds: Seeds) -> Images:
        """A random allowed image for each `x`; an image's draw depends on its seed alone."""
        return self.project(x + self._draw(x.shape, seeds).to(x.dtype), x)

    def allows(self, x_adv: Images, x: Images, *, tolerance: float = 1e-6) -> Mask:
        """Per image: finite, within [0, 1] and within `eps` of `x`, each up to `tolerance`."""
        in_box = ((x_adv >= -tolerance) & (x_adv <= 1 + tolerance)).flatten(1).all(dim=1)
        return in_box & (self.size(x_adv - x) <= self.eps + tolerance)


@dataclass(frozen=True)
class Linf(ThreatModel):
    """No pixel changes by more than `eps`; random starts are uniform in the cube."""

    def size(self, delta: Tensor) -> PerExample:
        """Max |delta|."""
        return delta.flatten(1).abs().amax(dim=1)

    def steepest(self, gradient: Images) -> Images:
        """The gradient's sign."""
        return gradient.sign()

    def _into_ball(self, delta: Images) -> Images:
        return delta.clamp(-self.eps, self.eps)

    def _draw(self, shape: torch.Size, seeds: Seeds) -> Images:
        count = shape[1:].numel()
        return (uniform(seeds, count) * 2 - 1).mul_(self.eps).view(shape)


@dataclass(frozen=True)
class L2(ThreatModel):
    """The Euclidean length of the change is at most `eps`; random starts are uniform in the ball."""

    def size(self, delta: Tensor) -> PerExample:
        """sqrt(sum delta^2), summed in float64: in float32 a large image's rounding would outgrow the tolerance."""
        return delta.flatten(1).norm(dim=1, dtype=torch.float64).to(delta.dtype)

    def steepest(self, gradient: Images) -> Images:
        """The gradient over its length; zero stays zero."""
        scale = gradient.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
        gradient = gradient / scale.view(-1, 1, 1, 1)  # squares of tiny gradients would underflow
        return gradient / self.size(gradient).clamp_min(1e-12).view(-1, 1, 1, 1)

    def _into_ball(self, delta: Images) -> Images:
        rounding = 4 * torch.finfo(delta.dtype).eps  # the scaled perturbation must not come out longer than eps
        length = self.size(delta).clamp_min(torch.finfo(delta.dtype).tiny)
        share = torch.where(length > self.eps, self.eps / length * (1 - rounding), 1.0)
        return delta * share.view(-1, 1, 1, 1)

    def _draw(self, shape: torch.Size, seeds: Seeds) -> Images:
        count = shape[1:].numel()
        direction = normal(seeds, count, stream=1)
        radius = self.eps * uniform(seeds, 1) ** (1 / count)
        return (direction * radius / direction.norm(dim=1, keepdim=True)).view(shape)


THREATS: dict[str, type[ThreatModel]] = {"linf": Linf, "l2": L2}


def make_threat(name: str, eps: float | int) -> ThreatModel:
    """The threat model of a name in any case ("linf", "L2") and a budget in pixels of [0, 1]."""
    one_of("threat", name.lower(), THREATS)
    return THREATS[name.lower()](eps)


def check_images(x: Tensor, labels: Tensor) -> None:
    """Refuse what is no batch of images with labels: shape, dtype, range and NaN, each in one line."""
    if x.ndim != 4 or x.dtype not in (torch.float32, torch.float64):
        raise UserError(f"images must be float32 (batch, channels, height, width), got {x.dtype} {tuple(x.shape)}")
    if labels.shape != x.shape[:1] or labels.is_floating_point():
        raise UserError(f"labels must be {len(x)} integers, got {labels.dtype} {tuple(labels.shape)}")
    if len(x) and not bool(torch.isfinite(x).all()):
        raise UserError("images contain NaN or infinite pixels: clean the data first")
    if len(x) and (x.min() < 0 or x.max() > 1):
        raise UserError(f"pixels must lie in [0, 1], got [{x.min():.4g}, {x.max():.4g}]: divide bytes by 255")
