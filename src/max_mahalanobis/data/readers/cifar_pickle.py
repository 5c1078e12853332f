"""The pickled batches of CIFAR-10 and CIFAR-100, read without executing anything.

A pickle is a program: `pickle.load` of a prepared file runs whatever it names. Here every name it asks for is
either one of the four that rebuild a numpy array, and gets an inert stand-in of ours, or refused.
"""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import UserError
from .arrays import Arrays, check_labels, check_pair, one_line, read_bytes

_PIXELS = 3 * 32 * 32


def read_cifar10_pickle(paths: Sequence[Path], num_classes: int) -> Arrays:
    """One split from its batches, as uint8 (N, 3, 32, 32) and int64 (N,)."""
    return _read_batches(paths, num_classes, key="labels")


def read_cifar100_pickle(paths: Sequence[Path], num_classes: int) -> Arrays:
    """The same; the fine labels are the labels."""
    return _read_batches(paths, num_classes, key="fine_labels")


def _read_batches(paths: Sequence[Path], num_classes: int, *, key: str) -> Arrays:
    batches = [_read_batch(path, num_classes, key) for path in paths]
    return Arrays(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def _read_batch(path: Path, num_classes: int, key: str) -> Arrays:
    batch = _load(path)
    for name in ("data", key):
        if name not in batch:
            raise UserError(f"{path} has no entry {name!r} (it has {', '.join(map(str, batch))}): not this set's batch")
    images, labels = _pixels(path, batch["data"]), _labels(path, batch[key])
    check_pair(path, images, labels)
    check_labels(path, labels, num_classes)
    return Arrays(images, labels)


def _pixels(path: Path, data: object) -> np.ndarray:
    if not isinstance(data, _Array) or data.values is None or data.values.shape[1:] != (_PIXELS,):
        raise UserError(f"{path}: 'data' is not an array of bytes of shape (N, {_PIXELS}): not a CIFAR batch")
    return data.values.reshape(-1, 3, 32, 32)


def _labels(path: Path, labels: object) -> np.ndarray:
    if not isinstance(labels, list) or not all(_is_small_int(label) for label in labels):
        raise UserError(f"{path}: the labels are not a list of integers: not a CIFAR batch")
    return np.array(labels, dtype=np.int64)


def _is_small_int(label: object) -> bool:
    return type(label) is int and label.bit_length() < 64


def _load(path: Path) -> dict:
    """The pickled dict with text keys (Python 2 wrote bytes)."""
    data = read_bytes(path)
    try:
        batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # arbitrary bytes make the unpickler raise nearly anything
        raise UserError(f"{path} is not a CIFAR batch ({one_line(error)}): fetch it again") from error
    if not isinstance(batch, dict):
        raise UserError(f"{path} holds a {type(batch).__name__}, not a CIFAR batch: fetch it again")
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}


class _Dtype:
    """Stands in for numpy.dtype: remembers the code it was asked for."""

    def __init__(self, code=None, *_):
        self.code = code

    def __setstate__(self, state):
        """Byte order and the like, which single bytes do not have."""


class _Array:
    """Stands in for numpy.ndarray and its `_reconstruct`: takes the state of an array of bytes, nothing else."""

    values: np.ndarray | None = None

    def __init__(self, *_):
        """The class and dummy shape numpy passes are not needed."""

    def __setstate__(self, state):
        _, shape, dtype, fortran, raw = state
        if dtype.code not in ("u1", b"u1") or fortran:
            raise pickle.UnpicklingError(f"an array of {dtype.code!r} where bytes were expected")
        self.values = np.frombuffer(raw, np.uint8).reshape(shape)


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the names of one kind of numpy array and refuses all others."""

    def find_class(self, module, name):
        """The stand-in for a known name; whatever else the file wants is refused."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no such batch needs: do not trust it")
        return _KNOWN[module, name]
