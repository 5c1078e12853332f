"""Attacks made of attacks."""

import torch
from torch import Tensor

from ..draws import uniform
from ..types import Attack, Model
from .manners import undisturbed

_TARGET_STREAM = 7919


def random_wrong_targets(y: Tensor, num_classes: int, seeds: Tensor) -> Tensor:
    """For each label a class drawn uniformly from all others; shape (batch,)."""
    offset = (uniform(seeds, 1, stream=_TARGET_STREAM).squeeze(1) * (num_classes - 1)).long() + 1
    return (y + offset) % num_classes


def toward_random_class(attack: Attack, model: Model, x: Tensor, y: Tensor, *, seeds: Tensor | None = None) -> Tensor:
    """`attack` aimed at one random wrong class per image, as in the paper's targeted tables.

    An image still counts as fooled when it is not classified as `y`. Bind the attack with `partial`.
    """
    seeds = torch.arange(len(x), device=x.device) if seeds is None else seeds
    with undisturbed(model), torch.no_grad():
        num_classes = model(x[:1]).shape[1]
    return attack(model, x, y, targets=random_wrong_targets(y, num_classes, seeds), seeds=seeds)
