"""Commands that make things: centers, train, import-keras, quickstart."""

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import options
from ..errors import UserError
from ..files import write_atomically
from ..recipe import check_seed, describe_adversary
from ..reports.conditions import eps_text
from ..reports.trainings import ROBUST, counted, ends
from ..runs import Run, check_free, create_run, facts_of, open_run, read_metrics
from ..terminal import centers_progress, training_progress
from .logs import epoch_log
from .machine import load_data, use

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Dataset
    from ..recipe import Recipe


def quickstart(asked: options.Quickstart) -> None:
    """SCE and MMC, plain and adversarially trained, on digits; a table, a sentence, a page."""
    from ..experiments.quickstart import tell

    check_seed(asked.seed)
    # tensors this small: a second thread waits more than it works
    device = use(replace(asked.machine, threads=asked.machine.threads or 1))
    tell(asked.out, seed=asked.seed, device=device, quiet=asked.machine.quiet)


def centers(asked: options.Centers) -> None:
    """Print the geometry of centers and, if asked, write and draw them."""
    from ..centers.description import describe

    check_seed(asked.seed)
    use(asked.machine)
    if asked.plot is not None and asked.plot.suffix != ".svg":
        raise UserError(f"--plot {asked.plot} must end in .svg")
    for path in (asked.out, asked.plot):
        if path is not None and path.exists() and not asked.overwrite:
            raise UserError(f"{path} exists: replace it with --overwrite")
    found = _make_centers(asked)
    print("\n".join(describe(asked.kind, found)))
    for path, contents in ((asked.out, _as_npy), (asked.plot, _as_picture)):
        if path is not None:
            write_atomically(path, contents(found))
            print(f"wrote {path}")


def train(asked: options.Train) -> None:
    """Train by a recipe into a run folder, or continue one."""
    from ..processes import check_processes, end_processes, is_first, start_processes
    from ..training import fill_defaults
    from ..training import train as train_by

    _check(asked)
    device = use(asked.machine)
    check_processes(asked.devices, device, nodes=asked.nodes)
    recipe, first = fill_defaults(asked.recipe), is_first()
    resume = asked.resume and asked.out.exists()
    if first:
        log = epoch_log(asked.log, Run(asked.out))  # refused before anything is written
        data = _open_or_create(asked, recipe, resume=resume)
        if recipe.adversary != "none":
            budget = f"{recipe.threat} eps {eps_text(recipe.eps, recipe.threat)}"
            print(f"adversary: {describe_adversary(vars(recipe))}; {budget}")
    together = start_processes(
        asked.devices, device, nodes=asked.nodes, precision=recipe.precision, threads=asked.machine.threads
    )
    if together is not None:
        together.barrier()
    run = open_run(asked.out)
    if not first:
        data = load_data(recipe, asked.files, run.trained_on, quiet=True)
    with training_progress(run.name, recipe.epochs, quiet=asked.machine.quiet or not first) as show:
        train_by(
            recipe,
            data,
            run=run,
            resume=resume,
            device=device,
            fabric=together,
            keep=asked.keep,
            compile=asked.compile,
            progress=(lambda event: (show(event), log(event))) if first else show,
        )
    end_processes(together)
    if first:
        print(f"trained {run.path}{_validated(run)}")


def _check(asked: options.Train) -> None:
    """Refuse what no training could be."""
    from ..models import check_compiler

    for name, least in (("keep", 0), ("devices", 1), ("nodes", 1)):
        if getattr(asked, name) < least:
            raise UserError(f"--{name} {getattr(asked, name)} must be at least {least}")
    if asked.overwrite and asked.resume:
        raise UserError("--overwrite and --resume contradict each other: choose one")
    if asked.compile:
        check_compiler()


def _open_or_create(asked: options.Train, recipe: "Recipe", *, resume: bool) -> "Dataset":
    """The data; the run's folder is there afterwards, or refused before anything is written."""
    run = open_run(asked.out) if resume else check_free(asked.out, overwrite=asked.overwrite)
    if resume and run.recipe != recipe:
        raise UserError(f"{asked.out} has another recipe: resume without other options, or choose another --out")
    remembered = run.trained_on if resume else {}
    if "imported" in remembered:
        raise UserError(f"{asked.out} was imported, there is no training to continue: choose another --out")
    data = load_data(recipe, asked.files, remembered, quiet=asked.machine.quiet)
    facts = facts_of(recipe, data, asked.files.data_dir)  # refuses what cannot be built
    if resume and facts["hashes"] != remembered.get("hashes"):
        raise UserError(f"{recipe.data}: not the data {asked.out} was trained on, give those (see --data-dir)")
    if resume and facts.get("file_hashes") != remembered.get("file_hashes"):
        raise UserError(f"--extra-data or --pretrained is not the file {asked.out} began with: give that one")
    if not resume:
        create_run(asked.out, recipe, facts, overwrite=asked.overwrite)
    return data


def _validated(run: "Run") -> str:
    """What the validation images say of the last epoch, and of the best where that is another."""
    by, best, last = ends(read_metrics(run))
    said = f": {100 * last[by]:.1f} % of the validation images{' hold' if by == ROBUST else ''}"
    return said + (f" (best {100 * best[by]:.1f} % in epoch {counted(best)})" if best[by] > last[by] else "")


def import_keras(asked: options.ImportKeras) -> None:
    """The authors' weights become a run folder, as if trained here."""
    from ..data.hashes import file_hash
    from ..interop import classifier_of, read_keras, recipe_of
    from ..runs import save_tensors

    check_free(asked.out, overwrite=asked.overwrite)
    use(asked.machine)
    file = read_keras(asked.file)
    chosen = {"version": asked.version, "blocks": asked.depth_n, "head": asked.head, "norm": asked.norm}
    recipe = recipe_of(file, data=asked.data, adversary=asked.adversary, seed=asked.seed, **chosen)
    data = load_data(recipe, asked.files, {}, quiet=asked.machine.quiet)
    model = classifier_of(file, recipe, data)
    facts = facts_of(recipe, data, asked.files.data_dir)
    facts["imported"] = {"file": asked.file.name, "sha256": file_hash(asked.file)}
    run = create_run(asked.out, recipe, facts, overwrite=asked.overwrite)
    save_tensors(run.weights_file, model.state_dict(), {"recipe": recipe.fingerprint})
    print(f"imported {asked.file} into {run.path}: {recipe.model} with n = {recipe.blocks}, {recipe.dim} features, "
          f"{model.num_parameters:,} parameters, head {recipe.head}")  # fmt: skip


def _make_centers(asked: options.Centers) -> "Tensor":
    from ..centers import make_centers, read_centers

    if asked.kind == "file" and asked.file is not None:
        return read_centers(asked.file, num_classes=asked.classes, dim=asked.dim, norm=asked.norm)
    grouped = asked.kind == "hierarchical"
    classes = asked.classes if asked.classes is not None else len(asked.superclasses) or (100 if grouped else 10)
    dim = asked.dim if asked.dim is not None else classes if asked.kind == "orthonormal" else max(1, classes - 1)
    settings = {"norm": asked.norm, "seed": asked.seed, "superclasses": asked.superclasses or None, "file": asked.file}
    with centers_progress(f"{classes} centers", quiet=asked.machine.quiet) as show:
        return make_centers(asked.kind, classes, dim, **settings, progress=show)


def _as_npy(centers: "Tensor") -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, centers.numpy(), allow_pickle=False)
    return buffer.getvalue()


def _as_picture(centers: "Tensor") -> bytes:
    from ..reports.figures import as_document, centers_drawing

    return as_document(centers_drawing(centers.numpy())).encode()
