"""Optimized centers, kept in the cache folder: found once, read afterwards."""

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import cache_folder, write_atomically
from .packing import VERSION, pack


def packed(num_classes: int, dim: int, *, seed: int, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
    """`packing.pack`, from the cache where it is there; a damaged file is made anew, a cache nobody can write is none.

    Files: `centers/CLASSESxDIM-SEED-vVERSION.npy` below `MMC_CACHE`, or the user's cache folder.
    """
    path = cache_folder() / "centers" / f"{num_classes}x{dim}-{seed}-v{VERSION}.npy"
    found = _read(path, (num_classes, dim))
    if found is None:
        found = pack(num_classes, dim, seed=seed, progress=progress)
        buffer = io.BytesIO()
        np.save(buffer, found, allow_pickle=False)
        with contextlib.suppress(UserError):  # the centers are here; keeping them is a courtesy
            write_atomically(path, buffer.getvalue())
    return found


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The unit vectors in a file, or None where there is none of this shape that holds nothing else."""
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype != np.float64:
        return None
    return found if np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-12 else None
