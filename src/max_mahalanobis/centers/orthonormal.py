"""Centers on the axes: one feature for each class."""

import torch
from torch import Tensor

from ..errors import UserError
from .checks import check_norm, check_sizes


def orthonormal_centers(num_classes: int, dim: int, *, norm: float | int = 10.0) -> Tensor:
    """Class k at norm * e_k, shape (num_classes, dim), float64: every cosine 0, every distance norm sqrt(2).

    The logits -||z - mu_k||^2 then rank the classes by their coordinates alone. They need a dimension more than the
    simplex and are closer by the factor sqrt(1 - 1 / num_classes).

    Raises:
        UserError: more classes than dimensions.
    """
    check_sizes(num_classes, dim)
    check_norm(norm)
    if num_classes > dim:
        raise UserError(
            f"{num_classes} orthonormal centers need dim >= {num_classes}, got {dim}: raise dim, or use maximal centers"
        )
    return norm * torch.eye(num_classes, dim, dtype=torch.float64)
