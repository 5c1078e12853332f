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

    def free(self, gradient: Images, x_adv: Images) -> Images:
        """The part of a gradient that a step can follow; where single pixels carry the step, those at the box's face
        that point outward are left out.
        """
        return gradient

    @classmethod
    @abstractmethod
    def unlimited(cls, num_features: int) -> "ThreatModel":
        """The budget within which every image lies: what minimum-norm attacks are given to draw all budgets at once."""

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

    @classmethod
    def unlimited(cls, num_features: int) -> "Linf":
        """Budget 1."""
        return cls(1.0)

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

    @classmethod
    def unlimited(cls, num_features: int) -> "L2":
        """The box's diagonal."""
        return cls(num_features**0.5)

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


@dataclass(frozen=True)
class L1(ThreatModel):
    """The absolute changes of all pixels add up to at most `eps`; random starts are uniform in the ball, then clipped.

    `project` finds the nearest point of ball and box together, not of one after the other: the L1 steps of Croce and
    Hein (2021, https://arxiv.org/abs/2103.01208) depend on it.
    """

    def size(self, delta: Tensor) -> PerExample:
        """Sum |delta|, in float64."""
        return delta.flatten(1).abs().sum(dim=1, dtype=torch.float64).to(delta.dtype)

    def steepest(self, gradient: Images) -> Images:
        """Signs of the largest hundredth of the components (at least one), scaled to length 1.

        The exact direction moves one pixel, which meets the box at once; a share of them is SLIDE's way (Tramer and
        Boneh 2019, https://arxiv.org/abs/1904.13000).
        """
        return _largest(gradient, max(1, gradient[0].numel() // 100)) if len(gradient) else gradient

    def free(self, gradient: Images, x_adv: Images) -> Images:
        """Without the pixels that a step would push out of the box."""
        return gradient.masked_fill(_blocked(gradient, x_adv), 0)

    @classmethod
    def unlimited(cls, num_features: int) -> "L1":
        """As many as there are pixels times channels."""
        return cls(float(num_features))

    def project(self, x_adv: Images, x: Images) -> Images:
        """The nearest image in ball and box: every change shortened by one amount, none beyond the box."""
        delta = (x_adv - x).flatten(1)
        room = torch.where(delta > 0, 1 - x.flatten(1), x.flatten(1))  # how far the box lets each pixel go
        change = _shortened(delta.abs().double(), room.double(), self.eps)
        moved = (x + (delta.sign() * change.to(x.dtype)).view_as(x)).clamp_(0, 1)
        too_far = (moved.double() - x.double()).abs().flatten(1) > change  # half a million roundings would add up
        return torch.where(too_far.view_as(x), moved.nextafter(x), moved)

    def _into_ball(self, delta: Images) -> Images:
        length = delta.flatten(1).abs().double()
        change = _shortened(length, torch.full_like(length, torch.inf), self.eps).to(delta.dtype)
        return delta.sign() * change.view_as(delta)

    def _draw(self, shape: torch.Size, seeds: Seeds) -> Images:
        count = shape[1:].numel()
        lengths = -torch.log1p(-uniform(seeds, count + 1, stream=2))  # exponential: spacings of a uniform simplex
        signs = (uniform(seeds, count, stream=3) < 0.5).float() * 2 - 1
        return (self.eps * signs * lengths[:, :-1] / lengths.sum(dim=1, keepdim=True)).view(shape)


@dataclass(frozen=True)
class L0(ThreatModel):
    """At most `eps` components (pixels times channels) change, to anything in the box."""

    def size(self, delta: Tensor) -> PerExample:
        """How many components differ."""
        return (delta.flatten(1) != 0).sum(dim=1).to(delta.dtype)

    def steepest(self, gradient: Images) -> Images:
        """The sign of the largest component, the only one to move."""
        return _largest(gradient, 1) if len(gradient) else gradient

    def free(self, gradient: Images, x_adv: Images) -> Images:
        """Without the pixels that a step would push out of the box."""
        return gradient.masked_fill(_blocked(gradient, x_adv), 0)

    @classmethod
    def unlimited(cls, num_features: int) -> "L0":
        """All components."""
        return cls(float(num_features))

    def _into_ball(self, delta: Images) -> Images:
        flat = delta.flatten(1)
        count = min(int(self.eps), flat.shape[1])
        kept = flat.abs().topk(count, dim=1).indices
        return torch.zeros_like(flat).scatter_(1, kept, flat.gather(1, kept)).view_as(delta)

    def _draw(self, shape: torch.Size, seeds: Seeds) -> Images:
        count = shape[1:].numel()
        order = uniform(seeds, count, stream=4).argsort(dim=1).argsort(dim=1)
        return ((uniform(seeds, count, stream=5) * 2 - 1) * (order < int(self.eps))).view(shape)


THREATS: dict[str, type[ThreatModel]] = {"linf": Linf, "l2": L2, "l1": L1, "l0": L0}


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


def _shortened(length: Tensor, room: Tensor, eps: float | int) -> Tensor:
    """min(max(length - t, 0), room) with the least t >= 0 for which a row sums to at most eps (float64, exact)."""
    whole = length.minimum(room)
    over = whole.sum(dim=1) > eps
    if not bool(over.any()):
        return whole
    # as t falls from infinity, the sum grows: by 1 per component from t = length on, until length - t meets its room
    ends = torch.cat([length, (length - room).clamp_min(0)], dim=1)
    order = ends.argsort(dim=1, descending=True)
    ends = ends.gather(1, order)
    slope = torch.where(order < length.shape[1], 1.0, -1.0).to(length.dtype).cumsum(dim=1)
    sums = torch.nn.functional.pad((slope[:, :-1] * (ends[:, :-1] - ends[:, 1:])).cumsum(dim=1), (1, 0))
    at = (sums <= eps).sum(dim=1, keepdim=True) - 1  # the last end whose sum still fits
    left = (eps - sums.gather(1, at)) / slope.gather(1, at).clamp_min(1)
    shift = torch.where(over[:, None], ends.gather(1, at) - left, 0.0)
    rounding = 4 * torch.finfo(torch.float32).eps  # in float32 the sum must not come out longer than eps
    shrink = torch.where(over[:, None], 1 - rounding, 1.0)
    return (length - shift).clamp_min(0).minimum(room) * shrink


def _largest(gradient: Tensor, count: int) -> Tensor:
    flat = gradient.flatten(1)
    kept = flat.abs().topk(count, dim=1).indices
    signs = flat.gather(1, kept).sign()
    signs = signs / signs.abs().sum(dim=1, keepdim=True).clamp_min(1)
    return torch.zeros_like(flat).scatter_(1, kept, signs).view_as(gradient)


def _blocked(gradient: Tensor, x_adv: Tensor) -> Tensor:
    return ((x_adv <= 0) & (gradient < 0)) | ((x_adv >= 1) & (gradient > 0))
