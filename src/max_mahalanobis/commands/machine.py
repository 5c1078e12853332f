"""What commands share: the device to work on, the images to work with."""

import ctypes
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..errors import UserError
from ..terminal import say

if TYPE_CHECKING:
    from ..data import Dataset
    from ..recipe import Recipe
    from ..runs import Run
    from ..types import Split

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc; bytes


def use(machine: options.Machine, *, mps: bool = True) -> str:
    """Set the threads; the accelerator's name, refused here when it is not there (mps has no float64)."""
    import torch

    keep_freed_memory()
    if machine.threads is not None:
        if not 1 <= machine.threads <= 1024:
            raise UserError(f"--threads {machine.threads} must lie in [1, 1024]: the number of cores is a good choice")
        torch.set_num_threads(machine.threads)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": mps and torch.backends.mps.is_available()}
    if machine.device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[machine.device]:
        raise UserError(f"--device {machine.device} is not available here: use --device cpu")
    return machine.device


def keep_freed_memory() -> None:
    """Keep what tensors leave free in this process instead of giving it back after every step.

    glibc returns large blocks to the system at once, and their pages must be fetched again in the next step. Elsewhere
    nothing happens.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        for parameter, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 64 << 20)):
            libc.mallopt(parameter, value)


def load_split(asked: options.Evaluate, run: "Run") -> "Split":
    """The images to attack: of the run's own data, or of others of the same kind at --data-dir."""
    recipe, trained_on = run.recipe, run.trained_on
    data = load_data(recipe, asked.files, trained_on, quiet=asked.machine.quiet)
    if (list(data.image_shape), data.num_classes) != (trained_on["image_shape"], trained_on["num_classes"]):
        raise UserError(
            f"{asked.run} was trained on {trained_on['num_classes']} classes of images {trained_on['image_shape']}, "
            f"these data have {data.num_classes} of {list(data.image_shape)}"
        )
    if data.hashes != trained_on.get("hashes"):
        say(f"these are not the data {asked.run} was trained on", quiet=asked.machine.quiet)
    split = getattr(data, asked.split)
    if asked.split == "validation" and "imported" in trained_on:
        say(f"{asked.run} was trained on its validation images too", quiet=asked.machine.quiet)
    if asked.images > len(split.labels):
        say(
            f"--images {asked.images}: the {asked.split} split has {len(split.labels)}, all of them are used",
            quiet=asked.machine.quiet,
        )
    return split.first(asked.images)


def load_data(recipe: "Recipe", files: options.Files, remembered: dict, *, quiet: bool) -> "Dataset":
    """The recipe's data, from --data-dir, else from where the run found them, else from the cache."""
    from ..data import load_dataset

    folder = files.data_dir
    if folder is None and "data_dir" in remembered and Path(remembered["data_dir"]).exists():
        folder = Path(remembered["data_dir"])
    own = remembered.get("data_path", recipe.data)  # a file or folder of the user's, found again from anywhere
    return load_dataset(
        recipe.data if Path(recipe.data).exists() else own,
        data_dir=folder,
        validation=recipe.validation,
        seed=recipe.seed,
        download=not files.no_download,
        progress=not quiet,
        say=partial(say, quiet=quiet),
    )
