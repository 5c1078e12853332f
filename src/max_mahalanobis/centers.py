"""Where class centers stand: as far apart as geometry allows."""

import math

import torch
from torch import Tensor

from .errors import UserError, one_of


def max_mahalanobis_centers(
    num_classes: int, dim: int, *, norm: float | int = 10.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """The centers of Max-Mahalanobis: a regular simplex, shape (num_classes, dim).

    They minimize the largest inner product, max_{i != j} <mu_i, mu_j>, subject to ||mu_i|| = norm (Pang et al. 2018,
    https://arxiv.org/abs/1802.09308, algorithm 1). At the optimum every inner product of two centers is
    -norm^2 / (num_classes - 1), their sum is 0, and the distance of two is norm * sqrt(2 L / (L - 1)).

    The result is the authors' own, lower-triangular orientation: center k has zeros beyond coordinate k. It is the
    transposed Cholesky factor of the Gram matrix, which for a simplex is known in closed form:
    mu_k[k] = sqrt(L (L - k) / ((L - 1) (L - k + 1))) and mu_i[k] = -mu_k[k] / (L - k) for i > k (k from 1).

    Args:
        num_classes: L, at least 1 and at most dim + 1.
        dim: number of features.
        norm: length of each center (the paper's C_MM; a norm, not its square as in MM-LDA).
        dtype: of the result; computed in float64.

    Raises:
        UserError: more than dim + 1 classes, which no simplex holds, or a norm that is not positive.
    """
    if num_classes < 1 or dim < 1:
        raise UserError(f"num_classes and dim must be at least 1, got {num_classes} and {dim}")
    if num_classes > dim + 1:
        raise UserError(
            f"{num_classes} classes need dim >= {num_classes - 1} for a simplex, got {dim}: raise dim to that"
        )
    if not (math.isfinite(norm) and norm > 0):
        raise UserError(f"norm must be positive, got {norm}")
    centers = torch.zeros(num_classes, dim, dtype=torch.float64)
    if num_classes == 1:
        centers[0, :1] = 1.0
    else:
        left = torch.arange(num_classes - 1, 0, -1, dtype=torch.float64)  # L - k: the classes after the k-th
        diagonal = (num_classes * left / ((num_classes - 1) * (left + 1))).sqrt()
        below = torch.ones(num_classes, num_classes - 1, dtype=torch.float64).tril(-1) * (-diagonal / left)
        centers[:, : num_classes - 1] = below + torch.eye(num_classes, num_classes - 1, dtype=torch.float64) * diagonal
    return (norm * centers).to(dtype)


def random_centers(
    num_classes: int, dim: int, *, norm: float | int = 10.0, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Centers drawn uniformly from the sphere of radius `norm`, shape (num_classes, dim): the paper's MMC (rand).

    Any number of classes in any dimension; the same seed gives the same centers, whatever the global state.
    """
    if num_classes < 1 or dim < 1:
        raise UserError(f"num_classes and dim must be at least 1, got {num_classes} and {dim}")
    if not (math.isfinite(norm) and norm > 0):
        raise UserError(f"norm must be positive, got {norm}")
    drawn = torch.randn(num_classes, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (norm * torch.nn.functional.normalize(drawn)).to(dtype)


CENTERS = ("maximal", "random")


def make_centers(kind: str, num_classes: int, dim: int, *, norm: float | int = 10.0, seed: int = 0) -> Tensor:
    """Centers of a kind, float64: "maximal" (`max_mahalanobis_centers`) or "random" (`random_centers`)."""
    one_of("centers", kind, CENTERS)
    if kind == "random":
        return random_centers(num_classes, dim, norm=norm, seed=seed)
    return max_mahalanobis_centers(num_classes, dim, norm=norm)
