"""One door to all images: a known set by name, or your own by path, cut into training, validation and test."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import UserError
from ..types import Split
from . import local_files
from .catalogue import SOURCES, Source
from .downloads import cached_folder
from .hashes import arrays_hash, file_hash
from .readers import READERS, Arrays, read_digits, read_folder, read_npz
from .readers.arrays import check_splits


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Each split's `index` gives positions in the published split (validation's: in the published training split).
    `hashes` has the sha256 of every file, or of the splits' arrays where there is not one file for all images.
    `published`: every byte is the one its authors published.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...]
    hashes: dict[str, str]
    published: bool

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return tuple(self.train.images.shape[1:])


@dataclass(frozen=True)
class _Read:
    """What a file or folder gave, before the training split is cut."""

    train: Arrays
    test: Arrays
    class_names: tuple[str, ...]
    hashes: dict[str, str]
    published: bool = False


def load_dataset(
    name: str,
    *,
    data_dir: Path | str | None = None,
    validation: float | int = 0.1,
    seed: int = 0,
    download: bool = True,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> Dataset:
    """Images and labels of `name`: digits, mnist, fashion-mnist, cifar10, cifar100, a .npz file or a folder of images.

    Known sets come from `data_dir` if given (it is only read, and nothing is fetched), else from the cache
    (`MMC_CACHE`), where missing files are downloaded to. `digits` and paths need neither.

    Args:
        name: a key of `SOURCES`, or a path.
        data_dir: the folder with the set's files, or one above it.
        validation: share of the training images cut off for validation, at least one image.
        seed: decides which; the test split never depends on it.
        download: whether missing files may be fetched.
        progress: whether a download shows a bar.
        say: told in one line when files from `data_dir` are not the published ones.

    Raises:
        UserError: in one line, with the file, the value and the remedy.
    """
    source = SOURCES.get(name)
    read = _read_source(source, data_dir, download, progress, say) if source else _read_own(name)
    check_splits(name, read.train, read.test)
    kept, apart = _cut(name, len(read.train.labels), validation, seed)
    return Dataset(
        name,
        train=_split(read.train, kept),
        validation=_split(read.train, apart),
        test=_split(read.test, np.arange(len(read.test.labels))),
        num_classes=len(read.class_names),
        class_names=read.class_names,
        hashes=read.hashes,
        published=read.published,
    )


def _read_source(source: Source, data_dir: Path | str | None, download: bool, progress: bool, say) -> _Read:
    if not source.layouts:
        train, test = read_digits()
        return _Read(train, test, source.class_names, _array_hashes(train, test), published=True)
    if data_dir is None:
        layout, folder = source.layouts[0], cached_folder(source, download=download, progress=progress)
    else:
        layout, folder = local_files.find(source, Path(data_dir).expanduser())
    train, test = (
        READERS[layout.reader]([folder / file.name for file in files], source.num_classes)
        for files in (layout.train, layout.test)
    )
    differing = [] if data_dir is None else local_files.differing(source, layout, folder)
    if differing and say:
        say(f"{folder}: not the published {source.name} ({', '.join(differing)}): results may not compare with others")
    hashes = {file.name: file_hash(folder / file.name) for file in layout.files}
    return _Read(train, test, source.class_names, hashes, published=not differing)


def _read_own(name: str) -> _Read:
    path = Path(name).expanduser()
    if path.suffix == ".npz":
        train, test, num_classes = read_npz(path)
        return _Read(train, test, tuple(map(str, range(num_classes))), {path.name: file_hash(path)})
    if path.is_dir():
        train, test, class_names = read_folder(path)
        return _Read(train, test, class_names, _array_hashes(train, test))
    raise UserError(
        f"unknown data set {name!r}: choose from {', '.join(SOURCES)}, or give the path of a .npz file or of a "
        "folder with train/CLASS and test/CLASS"
    )


def _array_hashes(train: Arrays, test: Arrays) -> dict[str, str]:
    return {"train": arrays_hash(train), "test": arrays_hash(test)}


def _cut(name: str, count: int, validation: float | int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which training images are kept and which set apart, each in published order."""
    if not 0 < validation < 1:
        raise UserError(f"validation {validation} must lie between 0 and 1")
    num_apart = max(1, round(validation * count))
    if num_apart >= count:
        raise UserError(
            f"{name}: validation {validation} of {count} training images leaves none to train on: add images"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    return np.sort(order[num_apart:]), np.sort(order[:num_apart])


def _split(arrays: Arrays, index: np.ndarray) -> Split:
    """The images at `index`, copied: what a reader returns may be a read-only view of a file's bytes."""
    return Split(*(torch.from_numpy(part[index]) for part in arrays), torch.from_numpy(index))
