"""The binary files of CIFAR-10 and CIFAR-100 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import UserError
from .arrays import Arrays, check_labels, read_bytes

_PIXELS = 3 * 32 * 32


def read_cifar10_binary(paths: Sequence[Path], num_classes: int) -> Arrays:
    """One split: records of a label byte and 3072 pixel bytes, as uint8 (N, 3, 32, 32) and int64 (N,)."""
    return _read_records(paths, num_classes, label_bytes=1)


def read_cifar100_binary(paths: Sequence[Path], num_classes: int) -> Arrays:
    """The same with two label bytes, coarse and fine; the fine one is the label."""
    return _read_records(paths, num_classes, label_bytes=2)


def _read_records(paths: Sequence[Path], num_classes: int, *, label_bytes: int) -> Arrays:
    records = [_records(path, label_bytes + _PIXELS) for path in paths]
    for path, batch in zip(paths, records, strict=True):
        check_labels(path, batch[:, label_bytes - 1], num_classes)
    images = np.concatenate([batch[:, label_bytes:] for batch in records]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch[:, label_bytes - 1] for batch in records]).astype(np.int64)
    return Arrays(images, labels)


def _records(path: Path, size: int) -> np.ndarray:
    data = read_bytes(path)
    if not data or len(data) % size:
        raise UserError(f"{path} has {len(data)} bytes, not a multiple of the record's {size}: fetch it again")
    return np.frombuffer(data, np.uint8).reshape(-1, size)
