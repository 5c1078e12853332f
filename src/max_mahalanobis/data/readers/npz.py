"""Your own images in one .npz file."""

from pathlib import Path

import numpy as np

from ...errors import UserError
from .arrays import Arrays, check_labels, check_pair, check_splits, one_line

_TEST_KEYS = (("x_test", "y_test"), ("x", "y"), ("test_images", "test_labels"), ("images", "labels"))
_TRAIN_KEYS = (("x_train", "y_train"), ("x", "y"), ("image", "label"), ("images", "labels"))
_KEYS = (("x_train", "y_train", "x_test", "y_test"), ("images", "labels", "test_images", "test_labels"))


def read_npz(path: Path) -> tuple[Arrays, Arrays, int]:
    """Training split, test split and number of classes from `x_train, y_train, x_test, y_test`.

    `images, labels, test_images, test_labels` are taken too. Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with
    C 1 or 3, uint8 or float in [0, 1] (kept as float32); labels are integers 0..K-1, each of them in training.
    """
    x_train, y_train, x_test, y_test = _arrays(path)
    train = Arrays(_images(path, *x_train), _labels(path, *y_train))
    test = Arrays(_images(path, *x_test), _labels(path, *y_test))
    check_pair(f"{path}: {x_train[0]}, {y_train[0]}", *train)
    check_pair(f"{path}: {x_test[0]}, {y_test[0]}", *test)
    check_splits(path, train, test)
    num_classes = _num_classes(f"{path}: {y_train[0]}", train.labels)
    check_labels(f"{path}: {y_test[0]}", test.labels, num_classes)
    return train, test, num_classes


def read_test_images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels to judge a model by: `x_test, y_test`, or `x, y`; the shapes and ranges of `read_npz`."""
    return _pair(path, *_arrays(path, _TEST_KEYS))


def read_training_images(path: Path) -> Arrays:
    """Images and labels to learn from besides others: `x_train, y_train`; `x, y`; `image, label`; `images, labels`."""
    return _pair(path, *_arrays(path, _TRAIN_KEYS))


def _pair(path: Path, images: tuple[str, np.ndarray], labels: tuple[str, np.ndarray]) -> Arrays:
    arrays = Arrays(_images(path, *images), _labels(path, *labels))
    check_pair(f"{path}: {images[0]}, {labels[0]}", *arrays)
    return arrays


def _arrays(path: Path, known: tuple[tuple[str, ...], ...] = _KEYS) -> list[tuple[str, np.ndarray]]:
    """The arrays with their names; object arrays would be pickles and are refused."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check the path") from error
    except Exception as error:  # arbitrary bytes make zip, zlib and numpy raise nearly anything
        raise UserError(f"{path} cannot be read ({one_line(error)}): write it with numpy.savez") from error
    keys = next((keys for keys in known if set(keys) <= set(arrays)), None)
    if keys is None:
        raise UserError(f"{path} has arrays {', '.join(arrays)}: it needs {', '.join(known[0])}")
    return [(key, arrays[key]) for key in keys]


def _images(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    array = _channels_first(path, key, array)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise UserError(f"{path}: {key} is {array.dtype}: store uint8, or float in [0, 1]")
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {key} holds NaN or infinity: pixels must lie in [0, 1]")
    if array.size and not 0 <= array.min() <= array.max() <= 1:
        raise UserError(f"{path}: {key} lies in [{array.min():g}, {array.max():g}]: bring it to [0, 1], or store uint8")
    return np.ascontiguousarray(array, dtype=np.float32)


def _channels_first(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 3:
        return array[:, None]
    first, last = (array.ndim == 4 and array.shape[axis] in (1, 3) for axis in (1, 3))
    if first and last:
        raise UserError(f"{path}: {key} has shape {array.shape}: either axis could be the channels, make it (N, H, W)")
    if not first and not last:
        raise UserError(f"{path}: {key} has shape {array.shape}: make it (N, H, W, C) or (N, C, H, W), C 1 or 3")
    return array if first else array.transpose(0, 3, 1, 2)


def _labels(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    if array.ndim != 1:
        raise UserError(f"{path}: {key} has shape {array.shape}: labels are one integer per image, shape (N,)")
    if array.dtype.kind not in "iu":
        raise UserError(f"{path}: {key} is {array.dtype}: labels are integers 0..K-1")
    return array.astype(np.int64)


def _num_classes(where: str, labels: np.ndarray) -> int:
    """K, when the training labels are exactly 0..K-1."""
    present = np.unique(labels)
    if present[0] < 0:
        raise UserError(f"{where} holds label {present[0]}: number the classes from 0")
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise UserError(f"{where} has labels up to {present[-1]} but none is {gaps[0]}: number the classes 0..K-1")
    if len(present) < 2:
        raise UserError(f"{where} holds one class only: a classifier needs at least 2")
    return len(present)
