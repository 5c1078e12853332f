"""Small files in the published formats, written byte by byte."""

import gzip
import io
import struct
import tarfile
from dataclasses import replace
from hashlib import md5

import numpy as np

from max_mahalanobis.data.catalogue import PublishedFile, Source

IDX_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def random_bytes(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(num_train=20, num_test=10, side=28):
    """The four files of an idx set, name -> bytes."""
    arrays = (
        random_bytes(num_train, side, side),
        np.arange(num_train, dtype=np.uint8) % 10,
        random_bytes(num_test, side, side, seed=1),
        np.arange(num_test, dtype=np.uint8) % 10,
    )
    return {name: gzip.compress(idx(array), mtime=0) for name, array in zip(IDX_NAMES, arrays, strict=True)}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def cifar_records(count, label_bytes=1, seed=0):
    records = random_bytes(count, label_bytes + 3072, seed=seed)
    records[:, :label_bytes] = np.arange(count)[:, None] % 10
    return records


def cifar10_files(count=4):
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return {name: cifar_records(count, seed=i).tobytes() for i, name in enumerate(names)}


def archive(folder, files):
    """A .tar.gz with `files` in `folder`, and a member that tries to leave it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        members = {f"{folder}/{name}": data for name, data in files.items()} | {"../evil": b"x"}
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def published_as(source: Source, files: dict[str, bytes], base_url: str, packed: bytes | None = None) -> Source:
    """`source` as if `files` (and the archive `packed`) were what its authors published."""
    hashed = {name: PublishedFile(name, f"md5:{md5(data).hexdigest()}") for name, data in files.items()}
    first = source.layouts[0]
    layout = replace(
        first,
        train=tuple(hashed[file.name] for file in first.train),
        test=tuple(hashed[file.name] for file in first.test),
    )
    wrapped = packed and replace(source.archive, hash=f"md5:{md5(packed).hexdigest()}")
    return replace(source, layouts=(layout,), base_url=base_url, archive=wrapped)
