"""What commands share: the device to work on, the images and weights to work with."""

import ctypes
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import options
from ..errors import UserError
from ..recipe import check_seed
from ..runs import Run, load_classifier, open_run
from ..terminal import say

if TYPE_CHECKING:
    from ..data import Dataset
    from ..models import Classifier
    from ..recipe import Recipe
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


def check_work(work: options.Work) -> options.Work:
    """The same options, where they can be followed."""
    check_seed(work.seed)
    for name in ("images", "batch_size", "devices"):
        if getattr(work, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(work, name)} must be at least 1")
    return work


def chosen_weights(given: str | None, run: Run) -> str | int | None:
    """The weights of the run that are asked for, which must be there: best, last, or an epoch's."""
    if given is None:
        return None
    there = [name for name in ("best", "last") if run.checkpoint_file(name).exists()] + run.kept_epochs
    for which in there:
        if str(which) == given:
            return which
    remedy = f"choose from {', '.join(map(str, there))}" if there else "it keeps its own alone, leave --weights out"
    raise UserError(f"--weights {given}: {run.path} has no such weights: {remedy} (mmc train --keep N keeps N epochs)")


class Source(NamedTuple):
    """The classifier of another run, for transfer."""

    name: str
    model: "Classifier"


def load_source(path: Path, split: "Split", judged: Run | None = None) -> Source:
    """The run at `path`; refused where it does not know these images, or other classes than the run `judged`."""
    run = open_run(path)
    model, facts = load_classifier(run), run.trained_on
    shape = list(split.images.shape[1:])
    if facts["image_shape"] != shape:
        raise UserError(f"--source {path} was trained on images {facts['image_shape']}, these are {shape}")
    if judged is not None and facts.get("class_names") != judged.trained_on.get("class_names"):
        raise UserError(f"--source {path} knows other classes than {judged.path}: give a run of the same data")
    return Source(run.name, model)


def load_split(asked: options.Evaluate | options.Audit, run: Run) -> "Split":
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
    split = getattr(data, asked.work.split)
    if asked.work.split == "validation" and "imported" in trained_on:
        say(f"{asked.run} was trained on its validation images too", quiet=asked.machine.quiet)
    if asked.work.images > len(split.labels):
        say(
            f"--images {asked.work.images}: the {asked.work.split} split has {len(split.labels)}, all of them are used",
            quiet=asked.machine.quiet,
        )
    return split.first(asked.work.images)


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
