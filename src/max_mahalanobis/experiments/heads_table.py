"""Every head on one data set with the same budget: trained, attacked, recorded, one line of a table each.

Command: `python -m max_mahalanobis.experiments.heads_table --data mnist --model small_cnn --seeds 3 --epochs 8 --out
results/heads-mnist.jsonl`. Runs stay in --runs and go on after a kill; what --out holds already is not done again. The
rows are those of `evaluate` (suites quick and adaptive); the seconds of each training stand beside them in
`heads-mnist-training.jsonl`. Expected: every head classifies alike, and MMC looks more robust under cross-entropy PGD
than it is.
"""

import argparse
import json
from pathlib import Path
from statistics import median

from ..data import Dataset, default_eps, load_dataset
from ..errors import UserError
from ..evaluation import evaluate_run
from ..files import append_lines, read_lines
from ..heads import HEADS
from ..models import accelerated
from ..recipe import Recipe
from ..reports.tables import as_markdown
from ..reports.tables.cells import Cell, Table, share_cell
from ..results import AttackResult, append_results, read_results, worst_case
from ..runs import Run, create_run, facts_of, open_run, read_metrics
from ..statistics import proportion
from ..threats import Linf
from ..training import fill_defaults, train

SUITES = ("quick", "adaptive")
CANDIDATES = {name: {"head": name} for name in HEADS} | {"mmc_random": {"head": "mmc", "centers": "random"}}
OBJECTIVES = ("cross_entropy", "margin", "dlr", "own_distance", "nearest_other")


def main(arguments: list[str] | None = None) -> None:
    """Train and attack what is missing, then print the table."""
    asked = _parser().parse_args(arguments)
    data = load_dataset(asked.data, data_dir=asked.data_dir)
    training = asked.out.with_name(f"{asked.out.stem}-training.jsonl")
    done = {row.run for row in read_results(asked.out)} & {line["run"] for line in read_lines(training, json.loads)}
    for seed in range(asked.seeds):
        for head in asked.heads:
            name = f"{Path(asked.data).stem}-{head}-{seed}"
            recipe = Recipe(data=asked.data, model=asked.model, epochs=asked.epochs, seed=seed, **CANDIDATES[head])
            if name not in done:
                _act(asked, name, fill_defaults(recipe), data, training)
    print(as_markdown(_table(asked, read_results(asked.out), read_lines(training, json.loads))))


def _act(asked: argparse.Namespace, name: str, recipe: Recipe, data: Dataset, training: Path) -> None:
    """One head and seed: trained (or continued), attacked, recorded; a head whose extra is absent is passed over."""
    path = asked.runs / name
    try:
        resume = path.exists()
        run = open_run(path) if resume else create_run(path, recipe, facts_of(recipe, data))
    except UserError as error:
        print(f"{name}: left out, {error}")
        return
    model = train(recipe, data, run=run, resume=resume, device=asked.device).to(asked.device)
    eps = default_eps(asked.data, "linf") if asked.eps is None else asked.eps
    cases = [(suite, Linf(eps)) for suite in SUITES]
    rows = evaluate_run(run, model, data.test.first(asked.images), cases=cases, seed=recipe.seed, faster=accelerated)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    append_results(asked.out, rows)
    append_lines(training, [json.dumps(_training(run, recipe))])
    print(f"{name}: {100 * rows[0].num_correct / rows[0].num_images:.1f} % clean, "
          f"{100 - 100 * sum(worst_case(rows)) / rows[0].num_images:.1f} % in the worst case", flush=True)  # fmt: skip


def _training(run: Run, recipe: Recipe) -> dict:
    lines = read_metrics(run)
    facts = {"run": run.name, "head": run.name.split("-")[-2], "seed": recipe.seed, "epochs": recipe.epochs}
    facts |= {"recipe": recipe.fingerprint, "validation_accuracy": lines[-1]["validation_accuracy"]}
    return facts | {"seconds_per_epoch": round(min(line["seconds"] for line in lines), 3)}


def _table(asked: argparse.Namespace, rows: list[AttackResult], trainings: list[dict]) -> Table:
    """One line a head, its seeds together: counts are summed, intervals are Wilson's of the sums."""
    runs = {head: [line["run"] for line in trainings if line["head"] == head] for head in asked.heads}
    seconds = {line["run"]: line["seconds_per_epoch"] for line in trainings}
    per_epoch = {head: median(seconds[run] for run in names) for head, names in runs.items() if names}
    header = ("head", "clean", *(f"PGD {name}" for name in OBJECTIVES), "worst case", "time", "seeds")
    lines = []
    for head, names in runs.items():
        mine = [[row for row in rows if row.run == run] for run in names]
        if not mine:
            continue
        quick = [[row for row in some if row.suite == "quick" and row.attack != "fgsm"] for some in mine]
        cells = [_share([[row for row in some if row.settings["objective"] == name] for some in quick])
                 for name in OBJECTIVES]  # fmt: skip
        images = sum(some[0].num_images for some in mine)
        clean = share_cell(proportion(sum(some[0].num_correct for some in mine), images))
        time = f"{per_epoch[head] / per_epoch.get('softmax', float('nan')):.2f}"
        lines.append((Cell(head), clean, *cells, _share(mine), Cell(time), Cell(str(len(mine)))))
    note = "In %, with 95 % intervals; worst case of quick and adaptive; time: fastest epoch over that of softmax."
    return Table(f"Heads on {asked.data} ({asked.model}, {asked.epochs} epochs)", header, tuple(lines), (note,))


def _share(several: list[list[AttackResult]]) -> Cell:
    """What the rows of each run leave together, summed over the runs."""
    held = [[not fooled for fooled in worst_case(rows)] for rows in several]
    return share_cell(proportion(sum(map(sum, held)), sum(map(len, held))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--heads", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES))
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--eps", type=float, help="Linf budget of the attacks (the data set's usual one)")
    parser.add_argument("--images", type=int, default=1000, help="of the test split, from the first")
    parser.add_argument("--out", type=Path, required=True, help="rows (.jsonl)")
    parser.add_argument("--runs", type=Path, default=Path("runs/heads"))
    parser.add_argument("--device", default="cpu")
    return parser


if __name__ == "__main__":
    main()
