"""Stand-in until the real one is merged."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..draws import derive
from .augmentation import augment


class Batch(NamedTuple):
    """Stand-in."""

    x: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    shares: Tensor | None = None


def prepare(split, rows, seeds, recipe):
    return Batch(augment(split.images[rows], seeds, kind=recipe.augmentation), split.labels[rows])


def batches(num_own, num_extra, batch_size, extra_share, *, seed, epoch):
    g = torch.Generator().manual_seed(int(derive(seed, epoch, -1)))
    return list(torch.randperm(num_own, generator=g).split(batch_size))


def join(train, extra):
    raise NotImplementedError


def load_extra(path, like):
    raise NotImplementedError
