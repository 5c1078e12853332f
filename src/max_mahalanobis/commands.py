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
from .terminal import attack_progress, print_reading, print_tables, say, training_progress

if TYPE_CHECKING:
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
    """Print the geometry of the simplex and, if asked, write it."""
    import numpy as np

    from .centers import max_mahalanobis_centers

    dim = max(1, asked.classes - 1) if asked.dim is None else asked.dim
    if asked.out is not None and asked.out.exists() and not asked.overwrite:
        raise UserError(f"{asked.out} exists: replace it with --overwrite")
    found = max_mahalanobis_centers(asked.classes, dim, norm=asked.norm)
    print(f"{asked.classes} centers in {dim} dimensions, norm {asked.norm:g}: a regular simplex, the optimum")
    if asked.classes > 1:
        print(f"distance of two centers {(found[0] - found[1]).norm():.6g}, cosine {-1 / (asked.classes - 1):.6g}")
    if asked.out is not None:
        buffer = io.BytesIO()
        np.save(buffer, found.numpy(), allow_pickle=False)
        write_atomically(asked.out, buffer.getvalue())
        print(f"wrote {asked.out}")


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


def density(asked: options.Density) -> None:
    """Measure the features of runs; drawings, numbers and a page into a folder."""
    from .experiments.densities import tell

    check_seed(asked.seed)
    if not asked.runs:
        raise UserError("no runs named: mmc density runs/a runs/b")
    if asked.images < 1:
        raise UserError(f"--images {asked.images} must be at least 1")
    tell(
        asked.runs,
        asked.out,
        load=lambda run: _load_data(run.recipe, asked.files, run.trained_on, quiet=asked.machine.quiet),
        images=asked.images,
        convention=asked.convention,
        device=_use(asked.machine),
        seed=asked.seed,
        overwrite=asked.overwrite,
        quiet=asked.machine.quiet,
    )


COMMANDS: dict[type, Callable] = {
    options.Quickstart: quickstart,
    options.Centers: centers,
    options.Train: train,
    options.Evaluate: evaluate,
    options.Report: report,
    options.Density: density,
}


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
