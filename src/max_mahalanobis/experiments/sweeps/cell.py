"""One cell of a grid: a run, trained and attacked as far as it is not yet."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...data import Dataset
from ...errors import UserError
from ...evaluation import evaluate_run, make_suite, weights_hash
from ...files import append_lines
from ...models import Classifier, accelerated
from ...recipe import Recipe
from ...results import read_results
from ...runs import Run, create_run, facts_of, load_classifier, open_run
from ...terminal import attack_progress, training_progress
from ...threats import ThreatModel
from ...training import fill_defaults, train
from .grid import Cell, Evaluation

Load = Callable[[Recipe, dict], Dataset]  # (recipe, what its run remembers about the data)


def act(
    cell: Cell, evaluation: Evaluation, out: Path, *, load: Load, data_dir: Path | None, device: str, quiet: bool
) -> None:
    """Train the cell, or go on with it; attack it with what is missing. Done twice it does nothing the second time."""
    with _alone(out, cell.name):
        recipe, path = cell.recipe, out / cell.name
        run = started(path, recipe)
        data = load(recipe, {} if run is None else run.trained_on)
        facts = facts_of(recipe, data, data_dir)
        if run is None:
            run = create_run(path, recipe, facts)
        elif any(facts.get(name) != run.trained_on.get(name) for name in ("hashes", "file_hashes")):
            raise UserError(f"{recipe.data}: not the files {path} was trained on: give those, or remove that folder")
        if not run.weights_file.exists():
            with training_progress(run.name, recipe.epochs, quiet=quiet) as show:
                train(recipe, data, run=run, resume=True, device=device, progress=show)
        model = load_classifier(run)
        cases = missing(run, model, recipe, evaluation)
        if cases:
            with attack_progress(run.name, quiet=quiet) as show:
                evaluate_run(
                    run,
                    model.to(device),
                    data.test.first(evaluation.images),
                    cases=cases,
                    batch_size=evaluation.batch_size,
                    seed=evaluation.seed,
                    faster=accelerated,
                    progress=show,
                )


def started(path: Path, recipe: Recipe) -> Run | None:
    """The cell's run if it was begun; None if not. UserError where the folder holds anything else."""
    if not path.is_dir() or not any(path.iterdir()):
        return None
    run = open_run(path)
    if fill_defaults(run.recipe) != recipe:
        raise UserError(f"{path} has another recipe than the grid: choose another --out, or remove that folder")
    if "imported" in run.trained_on:
        raise UserError(f"{path} was imported: choose another --out, or remove that folder")
    return run


def missing(run: Run, model: Classifier, recipe: Recipe, evaluation: Evaluation) -> list[tuple[str, ThreatModel]]:
    """Suites and budgets of which the run has not all rows, made with these weights."""
    images, weights = num_images(run, evaluation), weights_hash(model)
    there = {
        (row.suite, row.threat, row.eps, row.attack)
        for row in read_results(run.results_file)
        if (row.weights_hash, row.split, row.seed) == (weights, "test", evaluation.seed)
        and list(row.index) == list(range(images))
    }

    def lacks(suite: str, threat: ThreatModel) -> bool:
        attacks = make_suite(suite, threat, image_shape=tuple(run.trained_on["image_shape"])).attacks
        return any((suite, threat.name, float(threat.eps), attack) not in there for attack in attacks)

    cases = [(suite, threat) for threat in evaluation.threats(recipe) for suite in evaluation.suites]
    return [case for case in cases if lacks(*case)]


def num_images(run: Run, evaluation: Evaluation) -> int:
    """How many images the rows must speak of: all of the test split where it has fewer than asked for."""
    return min(evaluation.images, run.trained_on.get("num_test", evaluation.images))


@contextmanager
def _alone(out: Path, name: str) -> Iterator[None]:
    """One process at a time works on a cell; the lock is on its log, and goes with the process."""
    log = log_file(out, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    append_lines(log, [])
    with open(log, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is at work on {out / name}: wait for it, or end it") from None
        yield


def log_file(out: Path, name: str) -> Path:
    """What a cell said."""
    return out / "logs" / f"{name}.txt"
