"""Centers from a file: an array of NumPy, or a .mat file of the authors."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .checks import check_norm

MAT_KEY = "mean_logits"


def read_centers(
    path: Path | str, *, num_classes: int | None = None, dim: int | None = None, norm: float | int | None = None
) -> Tensor:
    """The centers in a `.npy` or `.mat` file, float64, one row for each class.

    The authors' `.mat` files (https://github.com/P2333/Max-Mahalanobis-Training, folder kernel_paras) have the key
    `mean_logits`, shape (classes, dim), and length 1.

    Args:
        path: of the file; nothing in it is executed.
        num_classes: rows there must be, if given.
        dim: columns there must be, if given.
        norm: scale all centers by one factor, so that the longest has this length; None leaves them as they are.

    Raises:
        UserError: no such file, no matrix of finite numbers in it, another shape, or two equal centers.
    """
    path = Path(path)
    centers = _matrix(path)
    _check_shape(path, centers.shape, num_classes, dim)
    if not np.isfinite(centers).all():
        raise UserError(f"{path}: center {_first(~np.isfinite(centers).all(axis=1))} holds NaN or infinity")
    _, kinds, counts = np.unique(centers, axis=0, return_inverse=True, return_counts=True)
    if counts.max() > 1:
        twins = np.flatnonzero(kinds.reshape(-1) == counts.argmax())
        raise UserError(f"{path}: centers {twins[0]} and {twins[1]} are equal: each class needs its own")
    if norm is not None:
        check_norm(norm)
        centers = norm * (centers / max(np.linalg.norm(centers, axis=1).max(), np.finfo(float).tiny))
    return torch.from_numpy(centers)


def _matrix(path: Path) -> np.ndarray:
    if path.suffix not in READERS:
        raise UserError(f"{path}: centers are read from {' or '.join(READERS)} files")
    try:
        found = READERS[path.suffix](path)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): give a file of centers") from error
    except UserError:
        raise
    except Exception as error:  # SciPy and NumPy raise whatever a damaged file makes them stumble over
        raise UserError(f"{path} is damaged, or no {path.suffix} file ({error})") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu" or found.size == 0:
        what = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
        raise UserError(f"{path} holds {what}: centers are a matrix of numbers, (classes, dim)")
    return found.astype(np.float64)


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        return np.load(file, allow_pickle=False)


def _read_mat(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    with open(path, "rb") as file:
        held = loadmat(file)
    if MAT_KEY not in held:
        names = ", ".join(name for name in held if not name.startswith("__")) or "nothing"
        raise UserError(f"{path} holds {names}: centers are expected under {MAT_KEY}")
    return held[MAT_KEY]


READERS = {".npy": _read_npy, ".mat": _read_mat}


def _check_shape(path: Path, found: tuple, num_classes: int | None, dim: int | None) -> None:
    classes, width = found
    if num_classes not in (None, classes):
        raise UserError(f"{path} holds {classes} centers, {num_classes} classes need {num_classes}: give another file")
    if dim not in (None, width):
        hint = ""
        if path.name == "meanvar1_featuredim64_class100.mat":
            hint = " (the authors' own script made it 100 wide in spite of its name)"
        raise UserError(f"{path} holds centers in {width} dimensions, not {dim}{hint}: set dim to {width}")


def _first(which: np.ndarray) -> int:
    return int(np.flatnonzero(which)[0])
