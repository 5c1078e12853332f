"""Fingerprints of files and arrays."""

import hashlib
from pathlib import Path

import numpy as np

from .readers import Arrays


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def has_hash(path: Path, expected: str) -> bool:
    """Whether the file exists and has this hash (`algorithm:digits`)."""
    algorithm, _, digest = expected.partition(":")
    return path.is_file() and file_hash(path, algorithm) == digest


def arrays_hash(arrays: Arrays) -> str:
    """sha256 of a split's images, their shape and type, and labels."""
    digest = hashlib.sha256(f"{arrays.images.dtype} {arrays.images.shape}".encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
