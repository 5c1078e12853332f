"""More training images than the data set has, generated ones above all: read, joined and dealt out to batches."""

from pathlib import Path

import torch
from torch import Tensor

from ..draws import derive
from ..errors import UserError
from ..types import Split
from .readers.arrays import check_labels
from .readers.npz import read_training_images
from .sources import Dataset

FIRST_INDEX = 1 << 40  # of extra images: no published set has as many
_ORDER = -1  # derives the order of an epoch's own images
_EXTRA_ORDER = -2  # derives the order of a pass over the extra images


def load_extra(path: Path | str, like: Dataset) -> Split:
    """The training images of a .npz file, to be learned from beside those of the data set `like`.

    The arrays are `x_train, y_train`, `x, y`, `image, label` (as in published files of generated images) or `images,
    labels`. `index` counts from 2^40, so that no image shares its draws with one of the data set.

    Raises:
        UserError: in one line, when the file is absent or unreadable, or its images are of another shape or type, or
            of classes that `like` does not have.
    """
    path = Path(path).expanduser()
    images, labels = map(torch.from_numpy, read_training_images(path))
    shapes = [" x ".join(map(str, shape)) for shape in (images.shape[1:], like.image_shape)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"extra_data {path} has images of {shapes[0]}, {like.name} of {shapes[1]} (channels, height, width): "
            "bring them to its size"
        )
    if images.dtype != like.train.images.dtype:
        kinds = [str(dtype).removeprefix("torch.") for dtype in (images.dtype, like.train.images.dtype)]
        raise UserError(f"extra_data {path} has {kinds[0]} images, {like.name} {kinds[1]}: store them as {kinds[1]}")
    check_labels(f"extra_data {path}", labels.numpy(), like.num_classes)
    return Split(images, labels, torch.arange(len(labels)) + FIRST_INDEX)


def join(train: Split, extra: Split) -> Split:
    """One split: the rows of `train`, then those of `extra`."""
    return Split(*(torch.cat(parts) for parts in zip(train, extra, strict=True)))


def batches(
    num_own: int, num_extra: int = 0, *, batch_size: int, extra_share: float = 0.5, seed: int = 0, epoch: int = 0
) -> list[Tensor]:
    """Rows of an epoch's batches in the split that `join` makes, each int64 on the CPU.

    Every own image comes once. With extra images, each batch takes round(extra_share * batch_size) of them, so that an
    epoch has more steps: they are gone through in a random order, from where the last epoch stopped, each once before
    any comes again. Within a batch own and extra images are shuffled. All depends on `seed` and `epoch` alone, in a
    resumed training too.

    Raises:
        UserError: a batch would have no extra images, or none of the own.
    """
    generator = _generator(seed, epoch, _ORDER)
    own = torch.randperm(num_own, generator=generator)
    if num_extra == 0:
        return list(own.split(batch_size))
    in_batch = round(extra_share * batch_size)
    if not 0 < in_batch < batch_size:
        raise UserError(
            f"extra_share {extra_share} of a batch of {batch_size} is {in_batch}: choose another, or larger batches"
        )
    parts = own.split(batch_size - in_batch)
    begin = epoch * len(parts) * in_batch
    extra = num_own + _cycled(num_extra, begin, begin + len(parts) * in_batch, seed)
    pairs = map(torch.cat, zip(parts, extra.split(in_batch), strict=True))
    return [rows[torch.randperm(len(rows), generator=generator)] for rows in pairs]


def _cycled(count: int, begin: int, end: int, seed: int) -> Tensor:
    """The numbers from place `begin` to `end` of an endless row of permutations of `count`."""
    passes = range(begin // count, (end - 1) // count + 1)
    row = torch.cat([torch.randperm(count, generator=_generator(seed, each, _EXTRA_ORDER)) for each in passes])
    skipped = passes.start * count
    return row[begin - skipped : end - skipped]


def _generator(seed: int, *parts: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(derive(seed, *parts)))
