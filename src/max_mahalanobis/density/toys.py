"""What losses do to free points of the plane: the paper's argument with nothing else in the way.

There is no network here: every feature is a parameter of its own, moved by its own gradient.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..centers import max_mahalanobis_centers
from ..errors import UserError, one_of

NUM_CLASSES = 3  # as many as the plane's simplex holds
TOY_LOSSES = ("mmc", "center")


class Pull(NamedTuple):
    """Arrows: the negative gradients of two losses at the same points (points, 2), for features of class 0."""

    points: Tensor
    sce: Tensor
    mmc: Tensor
    centers: Tensor


class Walk(NamedTuple):
    """Points under training: `positions` (frames, points, 2), `goals` (frames, classes, 2), `labels` (points,)."""

    positions: Tensor
    goals: Tensor
    labels: Tensor


def detour(paths: Tensor) -> Tensor:
    """Length of each path over the distance from its start to its end: (frames, points, 2) -> (points,).

    1 for a straight walk, more for any other, NaN for what stands still.
    """
    return paths.diff(dim=0).norm(dim=2).sum(dim=0) / (paths[-1] - paths[0]).norm(dim=1)


def pull_of_losses(*, side: int = 13, reach: float | int = 2.0) -> Pull:
    """Where SCE and MMC (with the half) push a feature of class 0, on a grid of side^2 points in [-reach, reach]^2.

    Both heads know the same simplex of norm 1, SCE as the weights of its linear layer: -grad is W_0 - sum_k p_k W_k,
    which has no zero, against mu_0 - z, whose zero is the center.
    """
    centers = max_mahalanobis_centers(NUM_CLASSES, 2, norm=1.0)
    line = torch.linspace(-reach, reach, side, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    sce = centers[0] - (points @ centers.T).softmax(dim=1) @ centers
    return Pull(points, sce, centers[0] - points, centers)


def walk(
    loss: str,
    *,
    num_points: int = 1000,
    batch_size: int = 1000,
    epochs: int = 40,
    step: float | int = 0.1,
    center_weight: float | int = 1.0,
    center_step: float | int = 0.5,
    seed: int = 0,
) -> Walk:
    """Train free points by mini-batches, one frame an epoch: every point moves once in each.

    "mmc": by 1/2 ||z - mu_y||^2, toward fixed centers. "center": by SCE + center_weight / 2 ||z - c_y||^2 (Wen et
    al. 2016, https://ydwen.github.io/papers/WenECCV16.pdf), where every batch of n_k points of a class also moves c_k
    by center_step sum(z - c_k) / (1 + n_k), their update rule, and SCE's weights by gradient descent. The start, the
    order of the batches and `step` are the same for both. What small batches change is the goal: each moves it by a
    few points' mean, so it wanders (its `detour` grows); MMC's stands still and every path is straight.

    Args:
        loss: "mmc" or "center".
        num_points: of all classes together, in turn.
        batch_size: points a step.
        epochs: passes over the points.
        step: learning rate of the points, and of SCE's weights.
        center_weight: lambda.
        center_step: alpha, in [0, 1].
        seed: of the start and the order.
    """
    one_of("loss", loss, TOY_LOSSES)
    if num_points < NUM_CLASSES or batch_size < 1 or epochs < 1:
        raise UserError(f"need at least {NUM_CLASSES} points, 1 a batch, 1 epoch: {num_points}, {batch_size}, {epochs}")
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(num_points, 2, generator=generator, dtype=torch.float64)
    labels = torch.arange(num_points) % NUM_CLASSES
    weights = max_mahalanobis_centers(NUM_CLASSES, 2, norm=2.0)  # SCE begins with a good direction for each class
    goals = weights.clone() if loss == "mmc" else torch.zeros_like(weights)
    frames, aims = [points.clone()], [goals.clone()]
    for _ in range(epochs):
        for rows in torch.randperm(num_points, generator=generator).split(batch_size):
            batch, own = points[rows], labels[rows]
            if loss == "mmc":
                points[rows] += step * (goals[own] - batch)
                continue
            wrong = F.one_hot(own, NUM_CLASSES) - (batch @ weights.T).softmax(dim=1)
            points[rows] += step * (wrong @ weights + center_weight * (goals[own] - batch))
            weights += step * wrong.T @ batch / num_points  # an epoch moves them alike, whatever the batch
            counts = own.bincount(minlength=NUM_CLASSES)[:, None]
            drift = torch.zeros_like(goals).index_add_(0, own, batch - goals[own])
            goals += center_step * drift / (1 + counts)
        frames.append(points.clone())
        aims.append(goals.clone())
    return Walk(torch.stack(frames), torch.stack(aims), labels)
