"""What every reader hands back, with the checks that hold for all of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UserError


class Arrays(NamedTuple):
    """One split: `images` uint8, or float32 in [0, 1], shape (N, C, H, W); `labels` int64, shape (N,)."""

    images: np.ndarray
    labels: np.ndarray


def read_bytes(path: Path) -> bytes:
    """All of a file; one line instead of a traceback when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}: check the path and its permissions") from error


def one_line(error: Exception) -> str:
    """What a library said, without its line breaks and not too much of it."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def check_labels(where: object, labels: np.ndarray, num_classes: int) -> None:
    """Refuse labels outside 0..num_classes-1; `where` opens the message (a path)."""
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise UserError(
            f"{where}: label {wrong[0]} is outside 0..{num_classes - 1}: number the classes from 0, or check the file"
        )


def check_pair(where: object, images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse an empty split, or one where images and labels do not pair up."""
    if len(images) != len(labels):
        raise UserError(f"{where}: {len(images)} images but {len(labels)} labels: they must pair up")
    if images.size == 0:
        raise UserError(f"{where}: holds no images (shape {images.shape}): give at least one")


def check_splits(where: object, train: Arrays, test: Arrays) -> None:
    """Refuse training and test images that could not go through one model."""
    if train.images.shape[1:] != test.images.shape[1:]:
        raise UserError(
            f"{where}: training images are {train.images.shape[1:]}, test images {test.images.shape[1:]} "
            "(channels, height, width): bring them to one size"
        )
    if train.images.dtype != test.images.dtype:
        raise UserError(
            f"{where}: training images are {train.images.dtype}, test images {test.images.dtype}: store both as uint8"
        )
