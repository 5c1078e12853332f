"""The 8x8 handwritten digits that come with scikit-learn (Alpaydin and Kaynak 1998), cut once and for all."""

import numpy as np

from .arrays import Arrays

_NUM_TRAIN = 1300


def read_digits() -> tuple[Arrays, Arrays]:
    """1300 training and 497 test images, uint8 (N, 1, 8, 8), in a permutation that never changes.

    The values 0..16 become round(v * 255 / 16).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = np.round(digits.images[order, None] * (255 / 16)).astype(np.uint8)
    labels = digits.target[order].astype(np.int64)
    return Arrays(images[:_NUM_TRAIN], labels[:_NUM_TRAIN]), Arrays(images[_NUM_TRAIN:], labels[_NUM_TRAIN:])
