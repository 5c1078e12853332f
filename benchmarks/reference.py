"""The reference's verdict on a run: pyautoattack's standard attacks, each on every image, one row per attack and seed.

python benchmarks/reference.py runs/mnist-at-sce-tuned --eps 0.3 --seeds 0 1 2 --out results/reference.jsonl
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import torch
from pyautoattack import AutoAttack

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.data import load_dataset
from max_mahalanobis.evaluation import data_hash, weights_hash
from max_mahalanobis.runs import load_classifier, open_run
from max_mahalanobis.types import as_pixels

ATTACKS = ("apgd-ce", "apgd-t", "fab-t", "square")


def main() -> None:
    """Attack the images a run classifies rightly and append who was fooled."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--eps", type=float, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS), choices=ATTACKS)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = open_run(options.run)
    model = load_classifier(run).requires_grad_(False)
    split = load_dataset(run.recipe.data, data_dir=options.data_dir).test.first(options.images)
    x, y = as_pixels(split.images), split.labels
    with torch.no_grad():
        correct = ~is_fooled(model(x), y)
    shared = {"run": run.name, "weights_hash": weights_hash(model), "data_hash": data_hash(split)}
    shared |= {"peer": "pyautoattack", "version": version("pyautoattack"), "threat": "Linf", "eps": options.eps}
    for seed in options.seeds:
        for name in options.attacks:
            judge = AutoAttack(model, eps=options.eps, norm="Linf", seed=seed, version="standard")
            judge.attacks_to_run, judge.verbose = [name], False
            began = time.perf_counter()
            x_adv = judge.run_standard_evaluation(x[correct], y[correct], batch_size=options.batch_size)
            seconds = round(time.perf_counter() - began, 1)
            x_adv = x_adv[0] if isinstance(x_adv, tuple) else x_adv
            fooled = ~correct
            with torch.no_grad():
                fooled[correct] = is_fooled(model(x_adv), y[correct])
            bits = "".join("1" if flag else "0" for flag in fooled.tolist())
            row = shared | {"attack": name, "seed": seed, "index": f"0:{len(y)}", "fooled": bits}
            row |= {"seconds": seconds, "threads": options.threads, "batch_size": options.batch_size}
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(
                f"{run.name} {name} seed {seed}: {100 * (1 - sum(fooled.tolist()) / len(y)):.1f} in {seconds} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
