"""The idx files of MNIST and Fashion-MNIST, gzipped or not (LeCun, Cortes and Burges, the MNIST database)."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import UserError
from .arrays import Arrays, check_labels, check_pair, read_bytes

_UINT8 = 0x08


def read_idx(paths: Sequence[Path], num_classes: int) -> Arrays:
    """One split from its two files, images (N, H, W) and labels (N,), as uint8 (N, 1, H, W) and int64 (N,)."""
    images_path, labels_path = paths
    images = _read_array(images_path, dims=3)
    labels = _read_array(labels_path, dims=1).astype(np.int64)
    check_pair(f"{images_path} and {labels_path.name}", images, labels)
    check_labels(labels_path, labels, num_classes)
    return Arrays(images[:, None], labels)


def _read_array(path: Path, dims: int) -> np.ndarray:
    """Magic (0, 0, type, number of dimensions), the dimensions as big-endian 32-bit integers, then the bytes."""
    data = _unzipped(path)
    expected = bytes([0, 0, _UINT8, dims])
    if data[:4] != expected:
        raise UserError(f"{path} begins with {data[:4].hex()}, not {expected.hex()}: not the idx file of this name")
    start = 4 + 4 * dims
    if len(data) < start:
        raise UserError(f"{path} ends inside its header ({len(data)} bytes): fetch it again")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", count=dims, offset=4))
    if len(data) - start != math.prod(shape):
        raise UserError(
            f"{path} holds {len(data) - start} bytes, its header says {math.prod(shape)} {shape}: fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _unzipped(path: Path) -> bytes:
    data = read_bytes(path)
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except gzip.BadGzipFile as error:
        raise UserError(f"{path} is not a gzip file ({error}): fetch it again, or drop .gz from its name") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged or cut short ({error}): fetch it again") from error
