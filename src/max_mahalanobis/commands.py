"""What each command does: options in, files and printed lines out."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import options
from .errors import UserError
from .files import write_atomically
from .recipe import check_eps, check_seed
from .runs import check_free, create_run, facts_of, load_classifier, open_run
from .terminal import attack_progress, centers_progress, print_reading, print_tables, say, training_progress

if TYPE_CHECKING:
    from torch import Tensor

    from .data import Dataset
    from .evaluation import Suite
    from .recipe import Recipe
    from .runs import Run
    from .threats import ThreatModel
    from .types import Split


def quickstart(asked: options.Quickstart) -> None:
    """SCE and MMC, plain and adversarially trained, on digits; a table, a sentence, a page."""
    from .experiments.quickstart import tell

    check_seed(asked.seed)
    # tensors this small: a second thread waits more than it works
    device = _use(replace(asked.machine, threads=asked.machine.threads or 1))
    tell(asked.out, seed=asked.seed, device=device, quiet=asked.machine.quiet)


def centers(asked: options.Centers) -> None:
    """Print the geometry of centers and, if asked, write and draw them."""
    from .centers.description import describe

    check_seed(asked.seed)
    _use(asked.machine)
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
    from .training import fill_defaults
    from .training import train as train_by

    if asked.overwrite and asked.resume:
        raise UserError("--overwrite and --resume contradict each other: choose one")
    device = _use(asked.machine)
    recipe = fill_defaults(asked.recipe)
    resume = asked.resume and asked.out.exists()
    run = open_run(asked.out) if resume else check_free(asked.out, overwrite=asked.overwrite)
    if resume and run.recipe != recipe:
        raise UserError(f"{asked.out} has another recipe: resume without other options, or choose another --out")
    remembered = run.trained_on if resume else {}
    if "imported" in remembered:
        raise UserError(f"{asked.out} was imported, there is no training to continue: choose another --out")
    data = _load_data(recipe, asked.files, remembered, quiet=asked.machine.quiet)
    facts = facts_of(recipe, data, asked.files.data_dir)  # refuses what cannot be built, before anything is written
    if resume and facts["hashes"] != remembered.get("hashes"):
        raise UserError(f"{recipe.data}: not the data {asked.out} was trained on, give those (see --data-dir)")
    if not resume:
        create_run(asked.out, recipe, facts, overwrite=asked.overwrite)
    if recipe.adversary != "none":
        print(f"adversary: PGD-{recipe.adversary_steps}, {recipe.threat} eps {recipe.eps:.6g}, "
              f"climbing {recipe.adversary_objective}")  # fmt: skip
    with training_progress(run.name, recipe.epochs, quiet=asked.machine.quiet) as show:
        train_by(recipe, data, run=run, resume=resume, device=device, progress=show)
    print(f"trained {run.path}")


def evaluate(asked: options.Evaluate) -> None:
    """Attack a run under every suite and budget asked for, record the rows, print the tables."""
    from .evaluation import UNLIMITED, evaluate_run, join_processes
    from .models import accelerated
    from .reports.reading import read_run
    from .reports.tables import accuracy_tables, budget_tables

    _check(asked)
    device = _use(asked.machine, mps=False)
    run = open_run(asked.run)
    model = load_classifier(run)
    split = _load_split(asked, run)
    cases = _cases(asked, run)
    first, device = join_processes(asked.devices, device, threads=asked.machine.threads)
    if first and not asked.eps and any(suite not in UNLIMITED for suite, _ in cases):
        print(f"threat: {cases[0][1].name} eps {cases[0][1].eps:.6g}, the usual one here")
    with attack_progress(run.name, quiet=asked.machine.quiet or not first) as show:
        rows = evaluate_run(
            run,
            model.to(device),
            split,
            cases=cases,
            curve=asked.curve,
            split_name=asked.split,
            batch_size=asked.batch_size,
            seed=asked.seed,
            faster=partial(accelerated, compile=asked.compile, precision=asked.precision),
            progress=show,
        )
    if first:
        record = replace(read_run(run.path), results=rows)
        print_tables([*accuracy_tables([record]), *budget_tables([record])])
        print_reading([record])


def _check(asked: options.Evaluate) -> None:
    for eps in asked.eps:
        check_eps(eps, asked.threat)
    check_seed(asked.seed)
    for name, value in (("images", asked.images), ("batch-size", asked.batch_size), ("devices", asked.devices)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")


def _cases(asked: options.Evaluate, run: "Run") -> "list[tuple[str | Suite, ThreatModel]]":
    """Every suite (or the one attack described instead) with every budget; refused here, before hours of work."""
    from .data import default_eps
    from .evaluation import UNLIMITED, make_suite, single_attack
    from .threats import THREATS, make_threat

    described = {"objective": asked.objective, "steps": asked.steps, "passes": asked.passes}
    given = [name for name, value in described.items() if value is not None] + ["every-target"] * asked.every_target
    if asked.attack is None and given:
        raise UserError(f"--{given[0]} belongs to one attack: name it with --attack, for example --attack apgd")
    facts = run.trained_on
    suites = list(dict.fromkeys(asked.suite or ("quick",)))
    limited = asked.attack is not None or asked.curve or any(suite not in UNLIMITED for suite in suites)
    budgets = asked.eps or ((default_eps(run.recipe.data, asked.threat),) if limited else ())
    threats = [make_threat(asked.threat, eps) for eps in dict.fromkeys(budgets)]
    if asked.attack is not None:
        shape = {"num_classes": facts["num_classes"], "aim_at_every_target": asked.every_target}
        return [(single_attack(asked.attack, threat, **described, **shape), threat) for threat in threats]
    image_shape = tuple(facts["image_shape"])
    no_limit = THREATS[asked.threat].unlimited(math.prod(image_shape))
    cases = [(s, threat) for threat in threats for s in suites if s not in UNLIMITED]
    cases += [(s, threats[0] if threats else no_limit) for s in suites if s in UNLIMITED]
    for suite, threat in [*cases, *(("curve", threat) for threat in threats if asked.curve)]:
        make_suite(suite, threat, image_shape=image_shape)
    return cases


def audit(asked: options.Audit) -> None:
    """One verdict on a run or on anybody's model."""
    from .auditing import audit as audit_by

    audit_by(asked, device=_use(asked.machine, mps=False), split_of_run=_load_split)


def report(asked: options.Report) -> None:
    """One table per condition on stdout, one page on disk."""
    from .reports.page import write_page
    from .reports.reading import read_runs
    from .reports.tables import accuracy_tables, as_markdown, budget_tables

    if not asked.runs:
        raise UserError("no runs named: mmc report runs/*")
    if asked.out.suffix != ".html":
        raise UserError(f"--out {asked.out} must end in .html: the page replaces the file")
    runs = read_runs(asked.runs)
    write_page(runs, asked.out)
    tables = [*accuracy_tables(runs), *budget_tables(runs)]
    if asked.table == "markdown":
        print("\n\n".join(as_markdown(table) for table in tables))
    else:
        print_tables(tables)
    print_reading(runs)
    print(f"\nThe page: {asked.out}")


def plan(asked: options.Plan) -> None:
    """Images for a precision; the interval that many give, and the differences they show between two models."""
    from .statistics import images_needed, proportion

    if not 0.05 <= asked.precision < 50:
        raise UserError(f"--precision {asked.precision:g} must lie in [0.05, 50): points of accuracy, often 1")
    if not 0 <= asked.accuracy <= 100:
        raise UserError(f"--accuracy {asked.accuracy:g} must lie in [0, 100]: give percent")
    if asked.images is not None and not 1 <= asked.images <= 10**7:
        raise UserError(f"--images {asked.images} must lie in [1, 10^7]")
    needed = images_needed(asked.precision / 100, asked.accuracy / 100)
    images = needed if asked.images is None else asked.images
    expected = proportion(round(images * asked.accuracy / 100), images)
    unit = "point" if asked.precision == 1 else "points"
    print(f"{asked.accuracy:g} % to +-{asked.precision:g} {unit} (95 %, Wilson): {needed:,} images")
    print(f"{images:,} images show {expected}; where none holds {proportion(0, images)}")
    if 0 < asked.accuracy < 100:
        _print_differences(images, asked.accuracy / 100)


def _print_differences(images: int, accuracy: float) -> None:
    """By how often exactly one model is right: most where their errors are independent, less where they share them."""
    from .statistics import difference_shown

    independent = 2 * accuracy * (1 - accuracy)
    print("two models on the same images, differences seen (McNemar p < 0.05) four times in five:")
    for share in sorted({0.05, 0.1, 0.2, independent}):
        if 0 < share <= independent:
            shown = difference_shown(images, share)
            result = "none" if shown is None else f"from {100 * shown:.2g} points"
            remark = " (independent errors)" if share == independent else ""
            print(f"  {result} where one alone is right on {100 * share:.3g} % of images{remark}")


def import_keras(asked: options.ImportKeras) -> None:
    """The authors' weights become a run folder, as if trained here."""
    from .data.hashes import file_hash
    from .interop import classifier_of, read_keras, recipe_of
    from .runs import save_tensors

    check_free(asked.out, overwrite=asked.overwrite)
    _use(asked.machine)
    file = read_keras(asked.file)
    chosen = {"version": asked.version, "blocks": asked.depth_n, "head": asked.head, "norm": asked.norm}
    recipe = recipe_of(file, data=asked.data, adversary=asked.adversary, seed=asked.seed, **chosen)
    data = _load_data(recipe, asked.files, {}, quiet=asked.machine.quiet)
    model = classifier_of(file, recipe, data)
    facts = facts_of(recipe, data, asked.files.data_dir)
    facts["imported"] = {"file": asked.file.name, "sha256": file_hash(asked.file)}
    run = create_run(asked.out, recipe, facts, overwrite=asked.overwrite)
    save_tensors(run.weights_file, model.state_dict(), {"recipe": recipe.fingerprint})
    print(f"imported {asked.file} into {run.path}: {recipe.model} with n = {recipe.blocks}, {recipe.dim} features, "
          f"{model.num_parameters:,} parameters, head {recipe.head}")  # fmt: skip


COMMANDS: dict[type, Callable] = {
    options.Quickstart: quickstart,
    options.Centers: centers,
    options.Train: train,
    options.Evaluate: evaluate,
    options.Audit: audit,
    options.Report: report,
    options.Plan: plan,
    options.ImportKeras: import_keras,
}


def _make_centers(asked: options.Centers) -> "Tensor":
    from .centers import make_centers, read_centers

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
    from .reports.figures import as_document, centers_drawing

    return as_document(centers_drawing(centers.numpy())).encode()


def _use(machine: options.Machine, *, mps: bool = True) -> str:
    """Set the threads; the accelerator's name, refused here when it is not there (mps has no float64)."""
    import torch

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


def _load_split(asked: options.Evaluate, run: "Run") -> "Split":
    """The images to attack: of the run's own data, or of others of the same kind at --data-dir."""
    recipe, trained_on = run.recipe, run.trained_on
    data = _load_data(recipe, asked.files, trained_on, quiet=asked.machine.quiet)
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


def _load_data(recipe: "Recipe", files: options.Files, remembered: dict, *, quiet: bool) -> "Dataset":
    """The recipe's data, from --data-dir, else from where the run found them, else from the cache."""
    from .data import load_dataset

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
