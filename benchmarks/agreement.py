"""Our `auto` beside the reference, attack by attack, on the same images: run `mmc evaluate RUN --suite auto` first.

    python benchmarks/agreement.py runs/* --reference results/reference.jsonl --out results/agreement.jsonl

In the cascade an attack meets only what the ones before it left; here it also meets the rest, so that every attack has
an accuracy of its own. `benchmarks/reference.py` makes the reference's rows.
"""

import argparse
import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import mean

import torch

from max_mahalanobis.data import load_dataset
from max_mahalanobis.evaluation import data_hash, evaluate, make_suite
from max_mahalanobis.models import accelerated
from max_mahalanobis.results import AttackResult, read_results, worst_case
from max_mahalanobis.runs import load_classifier, open_run
from max_mahalanobis.threats import make_threat
from max_mahalanobis.types import Split


def main() -> None:
    """Print and append one row per run and attack: accuracy of ours and of each seed of the reference."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--reference", type=Path, nargs="+", required=True)
    parser.add_argument("--eps", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reference = [json.loads(line) for file in options.reference for line in file.read_text().splitlines()]
    for folder in options.runs:
        run = open_run(folder)
        newest = {
            row.attack: row for row in read_results(run.results_file) if (row.suite, row.eps) == ("auto", options.eps)
        }
        rows = list(newest.values())
        if not rows:
            raise SystemExit(f"{folder} has no rows of auto at eps {options.eps}: mmc evaluate {folder} --suite auto")
        test = load_dataset(run.recipe.data, data_dir=options.data_dir).test.first(rows[0].num_images)
        if data_hash(test) != rows[0].data_hash:
            raise SystemExit(f"{folder}: other images than those evaluated")
        theirs = [row for row in reference if row["run"] == run.name and row["weights_hash"] == rows[0].weights_hash]
        flags = {row.attack: alone(row, load_classifier(run), test) for row in rows} | {"all": worst_case(rows)}
        for attack, fooled in flags.items():
            line = {"run": run.name, "attack": attack, "eps": options.eps} | compared(fooled, attack, theirs)
            print(json.dumps(line), flush=True)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def alone(row: AttackResult, model: torch.nn.Module, test: Split) -> list[bool]:
    """What the attack of a cascade's row fools by itself: the images it did not meet are attacked now."""
    missed = torch.tensor(row.correct) & ~torch.tensor(row.attempted)
    fooled = torch.tensor(row.fooled)
    if missed.any():
        rest = Split(*(tensor[missed] for tensor in test))
        threat = make_threat(row.threat, row.eps)
        attack = make_suite("auto", threat, image_shape=tuple(test.images.shape[1:])).attacks[row.attack]
        late = evaluate(
            model, rest, threat=threat, suite={row.attack: attack}, seed=row.seed, faster=partial(accelerated)
        )
        fooled[missed] = torch.tensor(late[0].fooled)
    return fooled.tolist()


def compared(fooled: list[bool], attack: str, theirs: list[dict]) -> dict:
    """Accuracies in percent by number of images; `all` is the union of the reference's attacks of one seed."""
    by_seed = defaultdict(list)
    for row in theirs:
        if attack in (row["attack"], "all"):
            by_seed[len(row["fooled"]), row["seed"]].append(row["fooled"])
    lines = defaultdict(list)
    for (count, seed), flags in sorted(by_seed.items()):
        if attack != "all" or len(flags) == 4:
            union = ["1" in bits for bits in zip(*flags, strict=True)]
            lines[count].append({"seed": seed, "reference": accuracy(union)})
    # the seeds run on more images count on their first ones too
    for count, found in lines.items():
        for (more, seed), flags in by_seed.items():
            if more > count and (attack != "all" or len(flags) == 4):
                union = ["1" in bits for bits in zip(*(bits[:count] for bits in flags), strict=True)]
                found.append({"seed": seed, "reference": accuracy(union)})
    return {
        str(count): {
            "ours": accuracy(fooled[:count]),
            "reference": [line["reference"] for line in found],
            "difference": round(accuracy(fooled[:count]) - mean(line["reference"] for line in found), 2),
        }
        for count, found in lines.items()
    }


def accuracy(fooled: list[bool]) -> float:
    """In percent."""
    return round(100 * (1 - sum(fooled) / len(fooled)), 2)


if __name__ == "__main__":
    main()
