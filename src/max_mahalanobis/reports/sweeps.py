"""What a cell of a sweep amounts to: one short line per budget, counts instead of images, small enough to commit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..recipe import Recipe
from ..results import AttackResult, cross_entropy_rows, worst_case
from .reading import RunRecord
from .trainings import ROBUST, epochs, judged

SCHEMA = 1


def sweep_lines(
    run: RunRecord,
    *,
    choices: Mapping[str, str],
    recipe: Recipe,
    suites: Sequence[str],
    threats: Sequence[tuple[str, float]],
    images: int,
    seed: int,
) -> list[dict]:
    """A line for each (threat, eps), of the rows of these suites on the first so many test images.

    `clean`, `worst`, `cross_entropy` (PGD on it, null without) and `suites` count images that are right: when clean, in
    the worst case of all suites, under one attack, in the worst case of each suite. `seconds` of training;
    `robust_validation` has the last and the best accuracy that training saw under attack (null where it saw none).
    """
    found = [row for row in run.results if row.suite in suites and row.split == "test" and row.seed == seed]
    found = [row for row in found if list(row.index) == list(range(images))]
    lines = []
    for threat, eps in threats:
        rows = [row for row in found if (row.threat, row.eps) == (threat, eps)]
        plain = cross_entropy_rows(rows)
        line = {"schema": SCHEMA, "cell": run.name, "axes": dict(choices), "seed": recipe.seed}
        line |= {"data": Path(recipe.data).name, "threat": threat, "eps": eps, "images": images}
        line |= {"clean": rows[0].num_correct, "cross_entropy": plain[0].num_robust if plain else None}
        line |= {
            "worst": _left(rows),
            "suites": {suite: _left([r for r in rows if r.suite == suite]) for suite in suites},
        }
        lines.append(line | _training(run, recipe) | {"weights": rows[0].weights_hash, "version": rows[-1].version})
    return lines


def _left(rows: Sequence[AttackResult]) -> int:
    return rows[0].num_images - sum(worst_case(rows))


def _training(run: RunRecord, recipe: Recipe) -> dict:
    lines = epochs(run.metrics)
    robust = [line[ROBUST] for line in judged(lines, ROBUST)]
    return {
        "recipe": recipe.fingerprint,
        "epochs": len(lines),
        "seconds": round(sum(line.get("seconds", 0.0) for line in lines), 1),
        "robust_validation": {"last": round(robust[-1], 4), "best": round(max(robust), 4)} if robust else None,
    }
