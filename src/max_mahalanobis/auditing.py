"""What `mmc audit` does: a run, or anybody's model with images, in; one verdict out."""

import importlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import options
from .errors import UserError
from .files import write_atomically
from .recipe import check_eps, check_seed
from .runs import load_classifier, open_run
from .terminal import attack_progress

if TYPE_CHECKING:
    from .evaluation import Audit
    from .types import Model, Split

_MARKS = {"doubt": "!", "note": "-"}


def audit(asked: options.Audit, *, device: str, split_of_run) -> None:
    """Attack, doubt the attacks, print the verdict, and leave rows and audit.json in the run's folder or at --out."""
    from .data import default_eps
    from .evaluation import Journal
    from .evaluation import audit as audit_model
    from .models import accelerated
    from .results import append_results
    from .threats import make_threat

    _check(asked)
    if asked.run is not None:
        run = open_run(asked.run)
        model, split = load_classifier(run).to(device), split_of_run(asked, run)
        names = {"run": run.name, "data": run.recipe.data, "split": asked.split}
        eps = default_eps(run.recipe.data, asked.threat) if asked.eps is None else asked.eps
        folder, known = asked.out or run.path, {"selected_on": run.trained_on.get("selected_on", "nothing")}
    else:
        model, split = load_model(asked.model), _read_images(asked.data, asked.images)
        names = {"run": asked.model, "data": asked.data.name, "split": ""}
        eps, folder, known = asked.eps, asked.out or Path("audit"), {}
    threat = make_threat(asked.threat, eps)
    module = hasattr(model, "state_dict")
    with attack_progress(names["run"], quiet=asked.machine.quiet) as show:
        found = audit_model(
            model,
            split,
            threat=threat,
            suites=asked.suite or ("audit",),
            trial_images=asked.trial_images,
            known=known,
            batch_size=asked.batch_size,
            seed=asked.seed,
            device=device,
            names=names,
            faster=partial(accelerated, compile=asked.compile) if module else None,
            journal=Journal(folder / "evaluation", name="audit") if module else None,
            progress=show,
        )
    append_results(folder / "results.jsonl", found.evidence.rows)
    write_atomically(folder / "audit.json", (json.dumps(found.to_json(), indent=1) + "\n").encode())
    print(json.dumps(found.to_json(), indent=1) if asked.format == "json" else in_words(found, names["run"]))
    print(f"wrote {folder / 'audit.json'}", file=sys.stderr)


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
    model = found if isinstance(found, torch.nn.Module) else found()
    if not callable(model):
        raise UserError(f"--model {name} gave {type(model).__name__}: it must return a function from images to logits")
    return model


def _read_images(path: Path, count: int) -> "Split":
    import torch

    from .data.readers.npz import read_test_images
    from .types import Split

    images, labels = (torch.from_numpy(array[:count]) for array in read_test_images(path))
    return Split(images, labels.long(), torch.arange(len(labels)))


def _check(asked: options.Audit) -> None:
    if (asked.run is None) == (asked.model is None):
        raise UserError("name a run folder, or --model module:function with --data file.npz")
    if asked.model is not None and (asked.data is None or asked.eps is None):
        raise UserError("--model needs --data file.npz and --eps")
    check_eps(asked.eps, asked.threat)
    check_seed(asked.seed)
    for name in ("images", "batch_size", "trial_images"):
        if getattr(asked, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(asked, name)} must be at least 1")
