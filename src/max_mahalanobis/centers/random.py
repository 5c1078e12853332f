"""Centers at random: the paper's control, "MMC-10 (rand)"."""

import torch
from torch import Tensor

from .checks import check_norm, check_sizes


def random_centers(num_classes: int, dim: int, *, norm: float | int = 10.0, seed: int = 0) -> Tensor:
    """Independent and uniform on the sphere of radius `norm`, shape (num_classes, dim), float64.

    Their cosines scatter around 0 by 1 / sqrt(dim): ten in 256 dimensions have a largest cosine of about 0.14, where
    the simplex has -0.11. (In dim 1 the sphere is two points, so that classes will share one.)
    """
    check_sizes(num_classes, dim)
    check_norm(norm)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(num_classes, dim, generator=generator, dtype=torch.float64)
    return norm * directions / directions.norm(dim=1, keepdim=True)
