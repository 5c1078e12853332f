"""Where features stand relative to class centers: distances, angles, scale."""

import torch
from torch import Tensor

from ..errors import UserError


def own_and_other_distances(features: Tensor, centers: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """||z - mu_y|| and the least ||z - mu_k|| over k != y: (batch, dim), (classes, dim), (batch,) -> two (batch,)."""
    if len(centers) < 2:
        raise UserError(f"{len(centers)} centers: a nearest other center needs at least 2")
    distances = torch.cdist(features, centers, compute_mode="donot_use_mm_for_euclid_dist")
    own = distances.gather(1, labels[:, None])
    others = distances.scatter(1, labels[:, None], torch.inf)
    return own.squeeze(1), others.min(dim=1).values


def angles_to_own(features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    """Angle at the origin between a feature and its own center, in degrees, in [0, 180]: (batch,).

    By atan2 of chord and sum of the unit vectors, exact also for small angles. NaN where either is the origin.
    """
    unit = features / features.norm(dim=1, keepdim=True)
    own = (centers / centers.norm(dim=1, keepdim=True))[labels]
    return torch.rad2deg(2 * torch.atan2((unit - own).norm(dim=1), (unit + own).norm(dim=1)))


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean feature of each class, (num_classes, dim): centers for heads that have none.

    Raises:
        UserError: a class has no feature.
    """
    counts = labels.bincount(minlength=num_classes)
    absent = (counts == 0).nonzero().flatten().tolist()
    if absent:
        raise UserError(f"class {absent[0]} has none of these {len(labels)} features: take more images")
    sums = torch.zeros(num_classes, features.shape[1], dtype=features.dtype).index_add_(0, labels, features)
    return sums / counts[:, None]


def mean_center_distance(centers: Tensor) -> float:
    """Mean distance of two different centers: the unit in which models of different scale can be compared."""
    return float(torch.pdist(centers).mean())
