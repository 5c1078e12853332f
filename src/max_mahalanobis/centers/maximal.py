"""Centers as far apart as geometry allows: in closed form where one is known, otherwise optimized."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import UserError
from .checks import check_norm, check_sizes


def max_mahalanobis_centers(
    num_classes: int,
    dim: int,
    *,
    norm: float | int = 10.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The centers of Max-Mahalanobis, shape (num_classes, dim): their smallest angle is the largest there is.

    They minimize the largest inner product, max_{i != j} <mu_i, mu_j>, subject to ||mu_i|| = norm (Pang et al. 2018,
    https://arxiv.org/abs/1802.09308). With L classes in d dimensions (`construction` tells which it is):

    - L <= d + 1: the regular simplex, cosine -1 / (L - 1) for every pair (see `simplex`);
    - L <= 2 d: a part of the cross-polytope, largest cosine 0 (Rankin 1955, https://doi.org/10.1017/S2040618500033219);
    - d = 2: the regular polygon, largest cosine cos(2 pi / L);
    - beyond: no general solution is known. The best that `packing.pack` finds is kept in the cache folder
      (`MMC_CACHE`), so that it takes its seconds once. `bounds.angle_bound` says how far from perfect it may be.

    Args:
        num_classes: L, at least 1; in dim 1 at most 2.
        dim: number of features.
        norm: length of each center (the paper's C_MM; a norm, not its square as in MM-LDA).
        dtype: of the result; computed in float64.
        seed: of the optimizer's starts; the closed forms have nothing random.
        progress: told (steps done, steps in all) while optimizing.

    Raises:
        UserError: more than 2 classes in dim 1, sizes below 1, or a norm that is not positive.
    """
    check_norm(norm)
    if construction(num_classes, dim) == "optimized":
        from .stored import packed  # SciPy's optimizers load with it

        centers = torch.from_numpy(packed(num_classes, dim, seed=seed, progress=progress))
    else:
        centers = CLOSED_FORMS[construction(num_classes, dim)](num_classes, dim)
    return (norm * centers).to(dtype)


def construction(num_classes: int, dim: int) -> str:
    """How the maximal centers of these sizes are made: a key of `CLOSED_FORMS`, or "optimized"."""
    check_sizes(num_classes, dim)
    if num_classes <= dim + 1:
        return "simplex"
    if dim == 1:
        raise UserError(f"{num_classes} classes do not fit into dim 1, a line holds two: raise dim to 2 or more")
    if num_classes <= 2 * dim:
        return "cross-polytope"
    return "polygon" if dim == 2 else "optimized"


def simplex(num_classes: int, dim: int) -> Tensor:
    """Unit vectors with cosine -1 / (L - 1) for every pair, (L, dim) float64, L <= dim + 1; their sum is 0.

    The distance of two is sqrt(2 L / (L - 1)). The orientation is the authors' own, lower triangular (Pang et al. 2018,
    algorithm 1): center k has zeros beyond coordinate k. It is the transposed Cholesky factor of the Gram matrix, known
    in closed form: mu_k[k] = sqrt(L (L - k) / ((L - 1) (L - k + 1))) and mu_i[k] = -mu_k[k] / (L - k) for i > k (k from
    1). One class alone stands at e_1.
    """
    centers = torch.zeros(num_classes, dim, dtype=torch.float64)
    if num_classes == 1:
        centers[0, :1] = 1.0
        return centers
    left = torch.arange(num_classes - 1, 0, -1, dtype=torch.float64)  # L - k: the classes after the k-th
    diagonal = (num_classes * left / ((num_classes - 1) * (left + 1))).sqrt()
    below = torch.ones(num_classes, num_classes - 1, dtype=torch.float64).tril(-1) * (-diagonal / left)
    centers[:, : num_classes - 1] = below + torch.eye(num_classes, num_classes - 1, dtype=torch.float64) * diagonal
    return centers


def cross_polytope(num_classes: int, dim: int) -> Tensor:
    """e_1 ... e_dim, then as many of -e_1, -e_2, ... as classes are left: cosines 0 and -1, (L, dim) float64."""
    axes = torch.eye(dim, dtype=torch.float64)
    return torch.cat([axes, 0.0 - axes])[:num_classes]


def polygon(num_classes: int, dim: int = 2) -> Tensor:
    """Class k at the angle 2 pi k / L from the first axis, (L, 2) float64: neighbors in number are neighbors."""
    angles = 2 * math.pi / num_classes * torch.arange(num_classes, dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


CLOSED_FORMS: dict[str, Callable[[int, int], Tensor]] = {
    "simplex": simplex,
    "cross-polytope": cross_polytope,
    "polygon": polygon,
}
