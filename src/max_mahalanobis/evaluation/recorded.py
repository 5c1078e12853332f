"""Evaluating a run: attack it, and leave rows and pictures in its folder."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ..files import write_atomically
from ..models import Classifier
from ..results import AttackResult, append_results
from ..runs import Run
from ..threats import ThreatModel
from ..types import Model, Split
from .journal import Journal
from .judge import Progress
from .pictures import collect_pictures
from .robustness import evaluate
from .sharing import evaluate_shared
from .suites import Suite

CURVE_SHARES = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of the budget


def evaluate_run(
    run: Run,
    model: Classifier,
    split: Split,
    *,
    cases: Sequence[tuple[str | Suite, ThreatModel]],
    curve: bool = False,
    weights: str | int | None = None,
    split_name: str = "test",
    batch_size: int = 256,
    seed: int = 0,
    faster: Callable[[Model], Model] | None = None,
    progress: Progress | None = None,
) -> list[AttackResult]:
    """Attack `model`, the classifier of `run`, append the rows to its results and replace its pictures.

    `cases` are suites, each with the threat to hold it to. With `curve`, the suite "curve" follows at shares of the
    budgets, for accuracy against budget; its rows are recorded too and not returned. What a killed evaluation had
    found is in the run's journal and is not attacked again. In a process group the images are shared
    (`evaluate_shared`), every process returns all rows, and the first one writes. Pictures are of the first threat.

    Where `model` has other `weights` of the run than its own (see `Run.checkpoint_file`), the rows say so in the run's
    name, "NAME@best" or "NAME@epoch-3", and the pictures stay those of its own weights.
    """
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    settings = {
        "batch_size": batch_size,
        "seed": seed,
        "device": next(model.parameters()).device,
        "names": {"run": name_of(run, weights), "data": run.recipe.data, "split": split_name},
        "faster": faster,
        "journal": Journal(run.journal, name=str(rank)),
        "progress": progress,
    }
    evaluation = partial(evaluate, model, **settings)
    threats = list(dict.fromkeys(threat for _, threat in cases))
    several = [*cases, *(("curve", threat) for threat in (_shares(threats) if curve else ()))]
    rows = [evaluate_shared(partial(evaluation, threat=threat, suite=suite), split) for suite, threat in several]
    if rank == 0:
        append_results(run.results_file, [row for some in rows for row in some])
        settings["journal"].close()
        if weights is None:
            pictures = collect_pictures(model, split, threat=threats[0], seed=seed, batch_size=batch_size)
            _write_pictures(run, pictures)
    return [row for some in rows[: len(cases)] for row in some]


def name_of(run: Run, weights: str | int | None) -> str:
    """What rows call a run, or other weights of it."""
    if weights is None:
        return run.name
    return f"{run.name}@{weights if isinstance(weights, str) else f'epoch-{weights}'}"


def _shares(threats: Sequence[ThreatModel]) -> list[ThreatModel]:
    """Each share of each budget, once; in Linf none above the whole range."""
    budgets = [replace(threat, eps=share * threat.eps) for threat in threats for share in CURVE_SHARES
               if threat.name != "Linf" or share * threat.eps <= 1]  # fmt: skip
    return list(dict.fromkeys(budgets))


def _write_pictures(run: Run, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(run.pictures_file, buffer.getvalue())
