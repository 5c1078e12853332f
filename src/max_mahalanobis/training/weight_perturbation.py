"""Adversarial weight perturbation: a step is taken from where the weights themselves are worst."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..models import Classifier

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@contextmanager
def perturbed(weights: list[nn.Parameter], slopes: Callable[[], list[Tensor]], size: float) -> Iterator[None]:
    """Within: each weight W stands at W + size ||W|| g / ||g||, with g the slope of the loss; afterwards exactly at W.

    Wu, Xia and Wang 2020 (https://arxiv.org/abs/2004.05884, algorithm 1, one step, layer-wise, Frobenius norms). The
    optimizer steps after the weights are back, so that weight decay pulls at the weights themselves; the published code
    steps first and takes the perturbation back afterwards, which differs by size times learning rate times decay.

    Args:
        weights: kernels and matrices (see `kernels`).
        slopes: the gradients of the loss in them, called once.
        size: relative to each weight's norm.
    """
    before = [weight.detach().clone() for weight in weights]
    found = slopes()
    with torch.no_grad():
        for weight, slope in zip(weights, found, strict=True):
            weight.add_(slope * (size * weight.norm() / slope.norm().clamp_min(torch.finfo(slope.dtype).tiny)))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)


def kernels(model: Classifier) -> list[nn.Parameter]:
    """What is perturbed: weights of more than one dimension, but for those the head moves by rates of its own."""
    own = {f"head.{name}" for name in model.head.own_rates}
    return [each for name, each in model.named_parameters() if each.requires_grad and each.ndim > 1 and name not in own]


def slopes_of(loss: nn.Module, weights: list[nn.Parameter], seen: list[tuple], fabric: "Fabric") -> list[Tensor]:
    """Gradients in `weights` of the mean loss of a batch, over all its parts and processes; nothing else changes.

    Args:
        loss: (batch, x_adv) -> the loss per example, and more.
        seen: (batch, x_adv, factor) for each part; the factors make means of parts into the mean of all.
    """
    kept = [(buffer, buffer.clone()) for buffer in loss.buffers()]  # BatchNorm counts a batch once
    total = [torch.zeros_like(weight) for weight in weights]
    for batch, x_adv, factor in seen:
        with fabric.autocast():
            mean = loss(batch, x_adv)[0].mean() * factor
        for sum_, slope in zip(total, torch.autograd.grad(mean, weights, allow_unused=True), strict=True):
            sum_.add_(0 if slope is None else slope)
    if fabric.world_size > 1:
        total = [fabric.all_reduce(slope, reduce_op="mean") for slope in total]
    with torch.no_grad():
        for buffer, before in kept:
            buffer.copy_(before)
    return total
