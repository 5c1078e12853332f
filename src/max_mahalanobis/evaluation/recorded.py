"""Evaluating a run: attack it, and leave rows and pictures in its folder."""

import io
from dataclasses import replace

import numpy as np

from ..files import write_atomically
from ..models import Classifier
from ..results import AttackResult, append_results
from ..runs import Run
from ..threats import ThreatModel
from ..types import Split
from .pictures import collect_pictures
from .robustness import Progress, evaluate

CURVE_SHARES = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of the budget


def evaluate_run(
    run: Run,
    model: Classifier,
    split: Split,
    *,
    threat: ThreatModel,
    suite: str = "quick",
    curve: bool = False,
    split_name: str = "test",
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[AttackResult]:
    """Attack `model`, the classifier of `run`, append the rows to its results and replace its pictures.

    With `curve`, the suite "curve" follows at shares of the budget, for accuracy against budget; its rows are
    recorded too and not returned.
    """
    settings = {
        "batch_size": batch_size,
        "seed": seed,
        "device": next(model.parameters()).device,
        "names": {"run": run.name, "data": run.recipe.data, "split": split_name},
        "progress": progress,
    }
    rows = evaluate(model, split, threat=threat, suite=suite, **settings)
    append_results(run.results_file, rows)
    for share in CURVE_SHARES if curve else ():
        shrunk = replace(threat, eps=min(share * threat.eps, 1.0) if threat.name == "Linf" else share * threat.eps)
        append_results(run.results_file, evaluate(model, split, threat=shrunk, suite="curve", **settings))
    _write_pictures(run, collect_pictures(model, split, threat=threat, seed=seed))
    return rows


def _write_pictures(run: Run, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(run.pictures_file, buffer.getvalue())
