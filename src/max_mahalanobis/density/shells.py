"""How densely features lie: a number of them over the volume that holds them, in natural logarithms.

SD(z) = dN / Vol(dB), the sample density of Pang et al. 2020 (https://arxiv.org/abs/1905.10626). In tens of dimensions
volumes leave the range of floats, so everything here is a logarithm. Densities count features: of twice the features
they are twice as large. Their unit is 1 / length^dim: scaling features by s adds -dim log(s).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError, one_of
from .contours import CONVENTIONS


class Shells(NamedTuple):
    """What lies in concentric shells.

    `edges` (shells + 1,) are radii, `counts` (shells,) numbers of features, `log_density` (shells,) is -inf where a
    shell is empty.
    """

    edges: Tensor
    counts: Tensor
    log_density: Tensor


def log_ball_volume(dim: int, radius: Tensor) -> Tensor:
    """Logarithm of pi^(d/2) r^d / Gamma(d/2 + 1)."""
    return dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1) + dim * radius.log()


def log_sphere_area(dim: int, radius: Tensor) -> Tensor:
    """Logarithm of d pi^(d/2) r^(d-1) / Gamma(d/2 + 1), the surface of the ball."""
    return math.log(dim) + log_ball_volume(dim, radius) - radius.log()


def log_shell_volume(dim: int, inner: Tensor, outer: Tensor) -> Tensor:
    """Logarithm of the volume between two radii, 0 <= inner < outer; exact also where the shell is thin."""
    return log_ball_volume(dim, outer) + (-torch.expm1(dim * (inner.log() - outer.log()))).log()


def equal_count_edges(distances: Tensor, num_shells: int) -> Tensor:
    """Radii from 0 to the largest distance that cut `distances` (batch,) into shells of equal counts.

    Fewer shells where distances coincide.

    Raises:
        UserError: there are no distances, or all are 0: they fill no volume.
    """
    if num_shells < 1:
        raise UserError(f"num_shells must be at least 1, got {num_shells}")
    if len(distances) == 0 or not bool(distances.max() > 0):
        raise UserError(f"{len(distances)} distances, none above 0: features on their center fill no volume")
    shares = torch.linspace(0, 1, num_shells + 1, dtype=distances.dtype)[1:]
    return torch.cat([distances.new_zeros(1), torch.quantile(distances, shares)]).unique()


def shell_density(
    distances: Tensor, dim: int, edges: Tensor, *, num_centers: int = 1, convention: str = "volume"
) -> Shells:
    """The empirical sample density in the shells between `edges` around a center.

    Two conventions exist. "volume" (the default): the number of features in a shell over its volume, a density in
    the ordinary sense. "surface": their number per unit of loss, C = r^2 / 2, over the area of the sphere in the
    middle of the shell; it has the exponent (d - 1)/2 that theorem 2 prints.

    Args:
        distances: of features to their centers, (batch,).
        dim: number of features' coordinates.
        edges: radii, increasing, (shells + 1,); a shell holds its outer edge, the first its inner one too.
        num_centers: how many classes were pooled: that many shells share the counts.
        convention: "volume" or "surface".
    """
    one_of("convention", convention, CONVENTIONS)
    if len(edges) < 2 or not bool((edges.diff() > 0).all()) or edges[0] < 0:
        raise UserError(f"edges must be increasing radii from 0 up, at least two, got {edges.tolist()}")
    inside = distances[(distances >= edges[0]) & (distances <= edges[-1])]
    counts = torch.bucketize(inside, edges[1:-1].contiguous()).bincount(minlength=len(edges) - 1)
    inner, outer = edges[:-1], edges[1:]
    if convention == "volume":
        log_size = log_shell_volume(dim, inner, outer)
    else:
        middle = ((inner.square() + outer.square()) / 2).sqrt()
        log_size = log_sphere_area(dim, middle) + ((outer.square() - inner.square()) / 2).log()
    return Shells(edges, counts, counts.to(edges.dtype).log() - log_size - math.log(num_centers))


def log_core_density(distances: Tensor, dim: int, *, share: float = 0.5) -> Tensor:
    """Log density of the smallest ball around the center that holds `share` of the features: one number, ()."""
    if not (0 < share <= 1 and len(distances) > 0):
        raise UserError(f"share must lie in (0, 1] of at least one distance, got {share} of {len(distances)}")
    count = math.ceil(share * len(distances))
    return math.log(count) - log_ball_volume(dim, distances.kthvalue(count).values)


def log_neighbor_density(features: Tensor, *, neighbors: int = 10, chunk: int = 1024) -> Tensor:
    """Log density at each feature: `neighbors` over the ball that reaches the last of them; (batch, dim) -> (batch,).

    It knows no centers: a second opinion on shells, which are wide where a class is not round. Features that coincide
    with that many others have density inf.

    Args:
        features: of one set, usually of one class; their neighbors are sought among them.
        neighbors: k; more than that many features are needed.
        chunk: features at a time.
    """
    if not 1 <= neighbors < len(features):
        raise UserError(f"neighbors must lie in [1, {len(features) - 1}] for {len(features)} features, got {neighbors}")
    exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}
    reach = [torch.cdist(part, features, **exact).kthvalue(neighbors + 1).values for part in features.split(chunk)]
    return math.log(neighbors) - log_ball_volume(features.shape[1], torch.cat(reach))
