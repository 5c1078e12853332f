"""Your own images as files: ROOT/train/CLASS/*.png and ROOT/test/CLASS/*.png."""

from pathlib import Path

import numpy as np

from ...errors import UserError
from .arrays import Arrays, one_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm")
_GREY = ("1", "L")
_COLOUR = ("RGB", "RGBA", "P", "PA", "LA", "CMYK", "YCbCr")  # what Pillow turns into 8-bit RGB without loss of range


def read_folder(root: Path) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    """Training split, test split and class names (the sorted folder names; hidden files are passed over).

    All images must have one size. They stay grey (one channel) if all of them are, and are RGB otherwise.
    """
    class_names = _class_names(root, "train")
    if len(class_names) < 2:
        raise UserError(f"{root / 'train'} has {len(class_names)} class folder: a classifier needs at least 2")
    strangers = sorted(set(_class_names(root, "test")) - set(class_names))
    if strangers:
        raise UserError(f"{root / 'test' / strangers[0]} has no training images: add {root / 'train' / strangers[0]}")
    train_paths, train_labels = _listing(root / "train", class_names)
    test_paths, test_labels = _listing(root / "test", class_names)
    images = _stack(train_paths + test_paths)
    cut = len(train_paths)
    return Arrays(images[:cut], train_labels), Arrays(images[cut:], test_labels), class_names


def _class_names(root: Path, split: str) -> tuple[str, ...]:
    if not (root / split).is_dir():
        raise UserError(f"{root} has no folder {split!r}: put the images in {root}/train/CLASS and {root}/test/CLASS")
    return tuple(sorted(path.name for path in (root / split).iterdir() if path.is_dir() and not _hidden(path)))


def _listing(folder: Path, class_names: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """Paths in order of class and name, with their labels; a training class without images is refused."""
    paths, labels = [], []
    for label, name in enumerate(class_names):
        found = _images_in(folder / name) if (folder / name).is_dir() else []
        if not found and folder.name == "train":
            raise UserError(f"{folder / name} holds no images: add some ({' '.join(SUFFIXES)}) or remove the folder")
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise UserError(f"{folder} holds no images: put some in {folder}/CLASS")
    return paths, np.array(labels, dtype=np.int64)


def _images_in(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if not _hidden(path))
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path} is not an image ({' '.join(SUFFIXES)}): move it out of the class folder")
    return paths


def _stack(paths: list[Path]) -> np.ndarray:
    images = [_read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            sizes = ["x".join(map(str, shape[:2])) for shape in (image.shape, images[0].shape)]
            raise UserError(f"{path} is {sizes[0]}, {paths[0]} is {sizes[1]} (height x width): bring all to one size")
    if any(image.shape[2] == 3 for image in images):
        images = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in images]
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def _read_image(path: Path) -> np.ndarray:
    """uint8 (H, W, 1) or (H, W, 3); transparency and EXIF orientation are not applied."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = image.mode
            pixels = np.asarray(image.convert("L" if mode in _GREY else "RGB"))
    except Exception as error:  # arbitrary bytes make the decoders raise nearly anything
        raise UserError(f"{path} cannot be read as an image ({one_line(error)}): replace or remove it") from error
    if mode not in _GREY + _COLOUR:
        raise UserError(f"{path} has mode {mode}, more than 8 bits a channel: convert it to 8 bits")
    return pixels.reshape(*pixels.shape[:2], -1)


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")
