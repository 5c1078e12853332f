"""Centers in groups: classes of one superclass stand closer to each other than to all others."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from .checks import check_norm, check_sizes
from .maximal import max_mahalanobis_centers, simplex

CIFAR100_SUPERCLASSES = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11,
    6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
    5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17,
    10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
    16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)  # fmt: skip
"""The superclass of each of CIFAR-100's 100 classes, 20 of 5: its "coarse" labels (Krizhevsky 2009)."""


def hierarchical_centers(
    superclass_of: Sequence[int] | Tensor,
    dim: int,
    *,
    norm: float | int = 10.0,
    inner: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """A simplex of superclasses whose corners carry scaled simplices of their classes: (num_classes, dim), float64.

    The center of the class that is number m of superclass s is norm (sqrt(1 - inner^2) a_s, inner b_m): `a` are the
    maximal centers of the S superclasses in all coordinates but the last M - 1, `b` the simplex of a superclass's
    classes in these (M is the most classes of a superclass; all superclasses share the coordinates). All centers have
    length `norm`. With S <= dim - M + 2, so that `a` is a simplex too, the cosines are

    - 1 - inner^2 (1 + 1 / (n - 1)) within a superclass of n classes,
    - -(1 - inner^2) / (S - 1) + inner^2 <b_m, b_m'> between two: at most inner^2 - (1 - inner^2) / (S - 1).

    Siblings are the closest while inner^2 is a little below 1/2. CIFAR-100 (S = 20, M = 5) needs dim 23 and has cosines
    0.69 within, at most 0.21 between, where the simplex of 100 has -0.01.

    Args:
        superclass_of: the superclass of each class, numbered from 0 without gaps.
        dim: number of features.
        norm: length of each center.
        inner: length of the inner part over the whole, between 0 and 1.
        seed: of the superclasses' centers, where they are optimized.

    Raises:
        UserError: superclasses not numbered 0 ... S - 1, `inner` outside (0, 1), or too few dimensions.
    """
    owners = _numbers(superclass_of)
    check_sizes(len(owners), dim)
    check_norm(norm)
    if not 0 < inner < 1:
        raise UserError(f"inner must lie between 0 and 1, got {inner}")
    sizes = _sizes(owners)
    most = max(sizes)
    room = dim - (most - 1)
    if room < min(2, max(1, len(sizes) - 1)):
        raise UserError(
            f"{len(sizes)} superclasses of up to {most} classes do not fit into dim {dim}: "
            f"raise dim to {len(sizes) + most - 2}"
        )
    outer = max_mahalanobis_centers(len(sizes), room, norm=1.0, seed=seed)[owners.long()]
    if most == 1:
        return norm * outer
    within = torch.empty(len(owners), most - 1, dtype=torch.float64)
    for superclass, size in enumerate(sizes):
        within[owners == superclass] = simplex(size, most - 1)
    return norm * torch.cat([(1 - inner**2) ** 0.5 * outer, inner * within], dim=1)


def _numbers(superclass_of: Sequence[int] | Tensor) -> Tensor:
    try:
        owners = torch.as_tensor(superclass_of)
    except (TypeError, ValueError, RuntimeError):  # words, ragged lists, more than 64 bits
        owners = torch.empty(0, 0)
    if owners.ndim != 1 or (len(owners) and (owners.is_floating_point() or owners.min() < 0)):
        raise UserError("superclasses must be one integer for each class, from 0")
    return owners


def _sizes(owners: Tensor) -> list[int]:
    """How many classes each superclass has."""
    last = int(owners.max())
    unused = set(range(min(last, len(owners)) + 1)) - set(owners.tolist())
    if unused:
        raise UserError(f"no class has superclass {min(unused)} of 0..{last}: number them without gaps")
    return torch.bincount(owners.long()).tolist()
