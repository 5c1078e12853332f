"""The command that judges: audit, of a run or of anybody's model."""

import contextlib
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
from ..recipe import check_eps
from ..reports.reading import weights_of
from ..runs import load_classifier, open_run
from ..terminal import attack_progress, say
from .machine import Source, check_work, chosen_weights, load_source, load_split, use

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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
    source: Source | None

    @property
    def has_weights(self) -> bool:
        """Whether the model can be known again, and copied: a function cannot."""
        from torch import nn

        return isinstance(self.model, nn.Module)

    @property
    def verdicts(self) -> Path:
        """The folder of the verdicts, and of what audits found on the way."""
        return self.folder / "audit"


def audit(asked: options.Audit) -> None:
    """Attack, doubt the attacks, print the verdict; leave rows and the verdict in the run's folder or at --out."""
    from ..processes import start_processes
    from ..results import append_results

    _check(asked)
    work, device = asked.work, use(asked.machine, mps=False)
    case = _case_of_run(asked) if asked.run is not None else _case_of_model(asked)
    if work.devices > 1 and not case.has_weights:
        raise UserError(f"--devices {work.devices}: other processes cannot know a function again, leave it out")
    together = start_processes(work.devices, device, threads=asked.machine.threads)
    found = _found(asked, case, device, together)
    if found is None:
        return
    case.folder.mkdir(parents=True, exist_ok=True)
    append_results(case.folder / "results.jsonl", found.evidence.rows)
    text, file = (
        json.dumps(found.to_json(), indent=1, allow_nan=False),
        case.verdicts / name_of_verdict(found, case.folder),
    )
    write_atomically(file, f"{text}\n".encode())
    print(text if asked.format == "json" else in_words(found, case.names["run"]))
    say(f"wrote {file}", quiet=asked.machine.quiet)


def _found(asked: options.Audit, case: _Case, device: str, together: "Fabric | None") -> "Audit | None":
    """The audit; None in a process that only helps with the attacks."""
    from ..evaluation import Journal, Thresholds
    from ..evaluation import audit as audit_model
    from ..models import accelerated
    from ..threats import make_threat

    work, source = asked.work, case.source
    first, device = together is None or together.global_rank == 0, together.device if together else device
    model = case.model.to(device) if case.has_weights else case.model
    suites, threat = asked.suite or ("audit",), make_threat(asked.threat, case.eps)
    faster = partial(accelerated, compile=work.compile, precision=work.precision) if case.has_weights else None
    with attack_progress(case.names["run"], quiet=asked.machine.quiet or not first) as show:
        settings = {"batch_size": work.batch_size, "seed": work.seed, "device": device, "names": case.names}
        settings |= {"threat": threat, "faster": faster, "progress": show}
        if together is not None:
            _attack_share(case, together, suites, **settings)
        if not first:
            return None
        return audit_model(
            model,
            case.split,
            suites=suites,
            trial_images=asked.trial_images,
            thresholds=Thresholds(asked.robust, asked.broken, asked.illusion),
            until_decided=asked.until_decided,
            source=source and source.model.to(device),
            known=case.known | ({"source": source.name} if source else {}),
            journal=Journal.continuing(case.verdicts, name=str(os.getpid())) if case.has_weights else None,
            **settings,
        )


def name_of_verdict(found: "Audit", folder: Path) -> str:
    """A file for each threat, budget and number of images: Linf-0.3-1000.json; other splits and weights say so."""
    verdict, row = found.verdict, found.evidence.rows[0]
    split = "" if row.split in ("", "test") else f"-{row.split}"
    weights = weights_of(row.run, folder.resolve().name)
    return f"{verdict.threat}-{verdict.eps:.6g}-{verdict.number.total}{split}{weights}.json"


def _attack_share(case: _Case, place: "Fabric", suites: tuple[str, ...], **settings) -> None:
    """The images of one process under every suite, into the journal in which the audit finds them attacked."""
    from ..evaluation import Journal, evaluate
    from ..evaluation.sharing import share_of
    from ..processes import end_processes

    journal = Journal.continuing(case.verdicts, name=str(os.getpid()))
    part = share_of(case.split, place.global_rank, place.world_size)
    for suite in suites:
        with contextlib.suppress(Exception):  # whatever a model may raise: the audit meets it again, and says so
            evaluate(case.model, part, suite=suite, journal=journal, **settings)
    end_processes(place)


def _case_of_run(asked: options.Audit) -> _Case:
    from ..data import default_eps
    from ..evaluation.recorded import name_of

    run = open_run(asked.run)
    weights = chosen_weights(asked.work.weights, run)
    names = {"run": name_of(run, weights), "data": run.recipe.data, "split": asked.work.split}
    eps = default_eps(run.recipe.data, asked.threat) if asked.eps is None else asked.eps
    known = {"selected_on": run.trained_on.get("selected_on", "nothing")}
    model, split = load_classifier(run, weights), load_split(asked, run)
    source = None if asked.work.source is None else load_source(asked.work.source, split, run)
    return _Case(model, split, names, eps, asked.out or run.path, known, source)


def _case_of_model(asked: options.Audit) -> _Case:
    names = {"run": asked.model, "data": asked.data.name, "split": ""}
    folder = asked.out or Path(f"audit-{asked.model.replace(':', '.')}")
    model, split = load_model(asked.model), _read_images(asked.data, asked.work.images)
    source = None if asked.work.source is None else load_source(asked.work.source, split)
    return _Case(model, split, names, asked.eps, folder, {}, source)


def in_words(found: "Audit", name: str) -> str:
    """The verdict and its reasons, for a terminal."""
    from ..reports.sentences.audited import detection_sentences

    lines = [f"{name}: {found.verdict.in_words()}"]
    for finding in found.verdict.findings:
        lines += ["", f"{_MARKS[finding.weight]} {finding.weight}: {finding.seen}.", f"  Why: {finding.why}."]
        lines += [f"  Next: {finding.remedy}." + (f" ({finding.reference})" if finding.reference else "")]
    for said in detection_sentences(found.evidence.facts):
        lines += ["", said.text]
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
    if asked.model is not None and asked.work.weights is not None:
        raise UserError(f"--weights {asked.work.weights} belongs to a run: what --model returns has its own")
    if asked.run is not None and asked.data is not None:
        raise UserError("--data belongs to --model: a run knows its own data")
    if asked.until_decided and asked.work.devices > 1:
        raise UserError("--until-decided attacks one part after the other, there is nothing to share: leave it out")
    check_eps(asked.eps, asked.threat)
    check_work(asked.work)
    if asked.trial_images < 1:
        raise UserError(f"--trial-images {asked.trial_images} must be at least 1")
