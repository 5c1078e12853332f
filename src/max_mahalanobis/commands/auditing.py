"""The command that judges: audit, of a run or of anybody's model."""

import importlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import options
from ..errors import UserError
from ..files import write_atomically
from ..recipe import check_eps, check_seed
from ..runs import load_classifier, open_run
from ..terminal import attack_progress, say
from .machine import load_split, use

if TYPE_CHECKING:
    from ..evaluation import Audit
    from ..types import Model, Split

_MARKS = {"doubt": "!", "note": "-"}


class _Case(NamedTuple):
    """What is audited, and where the outcome goes."""

    model: "Model"
    split: "Split"
    names: dict[str, str]
    eps: float
    folder: Path
    known: dict[str, object]


def audit(asked: options.Audit) -> None:
    """Attack, doubt the attacks, print the verdict, and leave rows and audit.json in the run's folder or at --out."""
    from ..evaluation import Journal, Thresholds
    from ..evaluation import audit as audit_model
    from ..models import accelerated
    from ..results import append_results
    from ..threats import make_threat

    _check(asked)
    device = use(asked.machine, mps=False)
    case = _case_of_run(asked, device) if asked.run is not None else _case_of_model(asked, device)
    has_weights = hasattr(case.model, "state_dict")
    with attack_progress(case.names["run"], quiet=asked.machine.quiet) as show:
        found = audit_model(
            case.model,
            case.split,
            threat=make_threat(asked.threat, case.eps),
            suites=asked.suite or ("audit",),
            trial_images=asked.trial_images,
            thresholds=Thresholds(asked.robust, asked.broken, asked.illusion),
            until_decided=asked.until_decided,
            known=case.known,
            batch_size=asked.batch_size,
            seed=asked.seed,
            device=device,
            names=case.names,
            faster=partial(accelerated, compile=asked.compile) if has_weights else None,
            journal=Journal(case.folder / "audit", name=str(os.getpid())) if has_weights else None,
            progress=show,
        )
    append_results(case.folder / "results.jsonl", found.evidence.rows)
    text = json.dumps(found.to_json(), indent=1, allow_nan=False)
    write_atomically(case.folder / "audit.json", f"{text}\n".encode())
    print(text if asked.format == "json" else in_words(found, case.names["run"]))
    say(f"wrote {case.folder / 'audit.json'}", quiet=asked.machine.quiet)


def _case_of_run(asked: options.Audit, device: str) -> _Case:
    from ..data import default_eps

    run = open_run(asked.run)
    names = {"run": run.name, "data": run.recipe.data, "split": asked.split}
    eps = default_eps(run.recipe.data, asked.threat) if asked.eps is None else asked.eps
    known = {"selected_on": run.trained_on.get("selected_on", "nothing")}
    model, split = load_classifier(run).to(device), load_split(asked, run)
    return _Case(model, split, names, eps, asked.out or run.path, known)


def _case_of_model(asked: options.Audit, device: str) -> _Case:
    names = {"run": asked.model, "data": asked.data.name, "split": ""}
    model, split = load_model(asked.model), _read_images(asked.data, asked.images)
    model = model.to(device) if hasattr(model, "state_dict") else model
    return _Case(model, split, names, asked.eps, asked.out or Path("audit"), {})


def in_words(found: "Audit", name: str) -> str:
    """The verdict and its reasons, for a terminal."""
    lines = [f"{name}: {found.verdict.in_words()}"]
    for finding in found.verdict.findings:
        lines += ["", f"{_MARKS[finding.weight]} {finding.weight}: {finding.seen}.", f"  Why: {finding.why}."]
        lines += [f"  Next: {finding.remedy}." + (f" ({finding.reference})" if finding.reference else "")]
    bounds = found.verdict.thresholds
    lines += [
        "",
        f"Words: robust above {bounds.robust:g} of the clean accuracy, weak below it, broken below {bounds.broken:g} "
        f"of it, by the 95 % interval; illusion from {bounds.illusion:g} points of overstatement.",
    ]
    return "\n".join(lines)


def load_model(name: str) -> "Model":
    """The model behind `module:function`: what the function returns, or the module of that name itself.

    Raises:
        UserError: no such module or name, or it is not `images -> logits`.
    """
    import torch

    module, _, attribute = name.partition(":")
    if not attribute:
        raise UserError(f"--model {name} must be module:function, for example mymodels:resnet")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise UserError(f"--model {name}: {error}: run where {module} can be imported") from error
    except AttributeError as error:
        raise UserError(f"--model {name}: {module} has no {attribute}") from error
    finally:
        sys.path.pop(0)
    try:
        model = found if isinstance(found, torch.nn.Module) else found()
    except Exception as error:  # whatever somebody's function may raise
        raise UserError(
            f"--model {name}: {type(error).__name__}: {error}: it must work without arguments and return the model"
        ) from error
    if not callable(model):
        raise UserError(f"--model {name} gave {type(model).__name__}: it must return a function from images to logits")
    return model


def _read_images(path: Path, count: int) -> "Split":
    import torch

    from ..data.readers.npz import read_test_images
    from ..types import Split

    images, labels = (torch.from_numpy(array[:count]) for array in read_test_images(path))
    return Split(images, labels.long(), torch.arange(len(labels)))


def _check(asked: options.Audit) -> None:
    if (asked.run is None) == (asked.model is None):
        raise UserError("name a run folder, or --model module:function with --data file.npz")
    if asked.model is not None and (asked.data is None or asked.eps is None):
        raise UserError("--model needs --data file.npz and --eps")
    if asked.run is not None and asked.data is not None:
        raise UserError("--data belongs to --model: a run knows its own data")
    check_eps(asked.eps, asked.threat)
    check_seed(asked.seed)
    for name in ("images", "batch_size", "trial_images"):
        if getattr(asked, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(asked, name)} must be at least 1")
