"""Where a loss of the g-SCE family is constant, with the sample density theorems 1 and 2 read off from there.

Pang et al. 2020, section 3 (https://arxiv.org/abs/1905.10626). Against its strongest wrong class k~, a feature of
class k has the loss log(1 + exp(h_k~ - h_k)) in nats, h_i(z) = -sigma_i ||z - mu_i||^2 + B_i. With C_e = e^C - 1 it
is C where

    ||z - M||^2 = B_{k,k~} + log(C_e) / (sigma_k - sigma_k~)                                    sigma_k != sigma_k~
    M           = (sigma_k mu_k - sigma_k~ mu_k~) / (sigma_k - sigma_k~)
    B_{k,k~}    = sigma_k sigma_k~ ||mu_k - mu_k~||^2 / (sigma_k - sigma_k~)^2 + (B_k - B_k~) / (sigma_k - sigma_k~)

which is a sphere; for sigma_k = sigma_k~ it is a plane without end.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError, one_of

CONVENTIONS = {"surface": 1, "volume": 2}  # a density divides by radius^(dim - this): see `log_density_mmc`


@dataclass(frozen=True)
class QuadraticClass:
    """One class of g-SCE; its logit is h(z) = -precision ||z - center||^2 + bias.

    Args:
        center: mu, shape (dim,).
        precision: sigma, above 0.
        bias: B.
    """

    center: Tensor
    precision: float | int
    bias: float | int = 0.0

    def __post_init__(self):
        """Refuse what is no class."""
        if self.center.ndim != 1 or not bool(torch.isfinite(self.center).all()):
            raise UserError(f"center must be one finite vector (dim,), got shape {tuple(self.center.shape)}")
        if not (math.isfinite(self.precision) and self.precision > 0):
            raise UserError(f"precision must be positive, got {self.precision}")
        if not math.isfinite(self.bias):
            raise UserError(f"bias must be finite, got {self.bias}")

    def logit(self, features: Tensor) -> Tensor:
        """h(z), shapes (batch, dim) -> (batch,)."""
        return self.bias - self.precision * (features - self.center).square().sum(dim=1)


class Sphere(NamedTuple):
    """The features with ||z - center||^2 = squared_radius."""

    center: Tensor
    squared_radius: float


class Plane(NamedTuple):
    """The features with normal . z = offset; the normal points where the loss falls, its length is not 1."""

    normal: Tensor
    offset: float


def from_linear(weight: Tensor, bias: float | int = 0.0) -> QuadraticClass:
    """The class whose logit is weight . z + bias, up to -||z||^2 that all such classes share: SCE as g-SCE.

    mu = W / 2, sigma = 1, B = b + ||W||^2 / 4; differences of logits are those of the linear head.
    """
    return QuadraticClass(weight / 2, 1.0, float(bias) + float(weight.square().sum()) / 4)


def pair_loss(features: Tensor, own: QuadraticClass, other: QuadraticClass) -> Tensor:
    """log(1 + exp(h_other - h_own)) in nats, shapes (batch, dim) -> (batch,): g-SCE of two classes."""
    return F.softplus(other.logit(features) - own.logit(features))


def contour(loss: float | int, own: QuadraticClass, other: QuadraticClass) -> Sphere | Plane:
    """The features whose `pair_loss` is `loss`: a sphere, or a plane where the precisions are equal.

    Raises:
        UserError: no feature has this loss; `loss_range` says which are there.
    """
    low, high = loss_range(own, other)
    if not (0 < loss < math.inf and low <= loss <= high):
        raise UserError(f"no feature has loss {loss} here: choose one in [{low:.6g}, {high:.6g}], above 0 and finite")
    if own.precision == other.precision:
        normal = 2 * own.precision * (own.center - other.center)
        level = float(own.precision * (own.center.square().sum() - other.center.square().sum()))
        return Plane(
            normal, level - (own.bias - other.bias) - float(_log_odds(torch.tensor(loss, dtype=torch.float64)))
        )
    squared = float(_squared_radius(torch.tensor(loss, dtype=torch.float64), own, other))
    return Sphere(_middle(own, other), max(0.0, squared))


def loss_range(own: QuadraticClass, other: QuadraticClass) -> tuple[float, float]:
    """The losses that features have in this pair, lowest and highest, in nats.

    With C* = log(1 + exp(B_{k,k~} (sigma_k~ - sigma_k))), the loss at M: (C*, inf) for sigma_k > sigma_k~, where C* is
    met at M alone and the loss cannot reach 0; (0, C*) for sigma_k < sigma_k~, where lower losses lie farther away;
    (0, inf) for equal ones. 0 and inf are met nowhere, only approached at infinity.
    """
    if own.precision == other.precision:
        return 0.0, math.inf
    at_middle = float(pair_loss(_middle(own, other)[None], own, other))
    return (at_middle, math.inf) if own.precision > other.precision else (0.0, at_middle)


def log_density_gsce(
    losses: Tensor,
    own: QuadraticClass,
    other: QuadraticClass,
    *,
    count: int,
    loss_density: Tensor,
    convention: str = "surface",
) -> Tensor:
    """Theorem 1: the logarithm of the sample density, up to a constant of the pair; shapes (batch,) -> (batch,).

    log N_{k,k~} + log p_{k,k~}(C) - (d - 1)/2 log ||z - M||^2. "surface" (the default) is the printed exponent;
    "volume" divides by the shell between C and C + dC, whose thickness varies: (d - 2)/2, plus log(1 - e^-C).

    Args:
        losses: C, within `loss_range`.
        count: N, features of class k whose strongest wrong class is k~.
        loss_density: p, the density of their losses at C.

    Raises:
        UserError: equal precisions, whose contours have no end: every density on them is 0.
    """
    one_of("convention", convention, CONVENTIONS)
    if own.precision == other.precision:
        raise UserError(f"both precisions are {own.precision}: the contours are planes, on which the density is 0")
    squared = _squared_radius(losses, own, other)
    if not bool((squared > 0).all()):
        low, high = loss_range(own, other)
        raise UserError(f"losses of this pair lie in [{low:.6g}, {high:.6g}], got {losses.tolist()}: leave out others")
    thickness = torch.log(-torch.expm1(-losses)) if convention == "volume" else 0.0
    power = (len(own.center) - CONVENTIONS[convention]) / 2
    return math.log(count) + loss_density.log() - power * squared.log() + thickness


def log_density_mmc(
    losses: Tensor, dim: int, *, count: int, loss_density: Tensor, convention: str = "surface"
) -> Tensor:
    """Theorem 2: log N_k + log p_k(C) - (d - 1)/2 log C, up to a constant of dim; shapes (batch,) -> (batch,).

    Features of loss C = 1/2 ||z - mu||^2 lie on a sphere of radius sqrt(2 C) around their center. Two conventions
    exist: "surface" (the default) has the printed exponent (d - 1)/2, a shell of fixed thickness; "volume" has
    (d - 2)/2, the shell between the losses C and C + dC, which is what a count of features fills.

    Args:
        losses: C, above 0.
        dim: d.
        count: N, features of the class.
        loss_density: p, the density of their losses at C.
    """
    one_of("convention", convention, CONVENTIONS)
    power = (dim - CONVENTIONS[convention]) / 2
    return math.log(count) + loss_density.log() - power * losses.log()


def _middle(own: QuadraticClass, other: QuadraticClass) -> Tensor:
    """M; precisions differ."""
    return (own.precision * own.center - other.precision * other.center) / (own.precision - other.precision)


def _squared_radius(losses: Tensor, own: QuadraticClass, other: QuadraticClass) -> Tensor:
    gap = own.precision - other.precision
    apart = float((own.center - other.center).square().sum())
    offset = own.precision * other.precision * apart / gap**2 + (own.bias - other.bias) / gap
    return offset + _log_odds(losses) / gap


def _log_odds(losses: Tensor) -> Tensor:
    """log(e^C - 1), exact for small and large C."""
    return losses + (-torch.expm1(-losses)).log()
