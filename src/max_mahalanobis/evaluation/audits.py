"""An audit: attack, then doubt the attacks, and end in one verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from ..attacks import undisturbed
from ..attacks.manners import look
from ..errors import AttackCheated, UserError
from ..results import AttackResult, worst_case
from ..statistics import robustness
from ..threats import ThreatModel
from ..types import Attack, Model, Split, as_pixels
from .checks import Evidence
from .identity import data_hash
from .own_attacks import try_own_attacks
from .probes import Still, facts_about
from .robustness import as_split, evaluate
from .sharing import merge
from .suites import UNLIMITED, Suite
from .trials import Crashed, planted, taken, trials_on, under_attack
from .verdict import Thresholds, Verdict, judge

_FIRST = 100  # images, before more are attacked


@dataclass(frozen=True)
class Audit:
    """What was recorded and what it amounts to."""

    evidence: Evidence
    verdict: Verdict

    def to_json(self) -> dict:
        """The verdict's published form, with the facts, the trials and what is needed to repeat it."""
        row = self.evidence.rows[0]
        facts = {key: value for key, value in self.evidence.facts.items() if key != "lost_images"}
        return self.verdict.to_json() | {
            "run": row.run,
            "data": row.data,
            "split": row.split,
            "data_hash": row.data_hash,
            "weights_hash": row.weights_hash,
            "seed": row.seed,
            "version": row.version,
            "attacks": [_summary(row) for row in self.evidence.rows],
            "trials": {name: _summary(trial) for name, trial in self.evidence.trials.items()},
            "facts": facts,
        }


def audit(
    model: Model,
    split: Split | tuple[Tensor, Tensor],
    *,
    threat: ThreatModel,
    suites: Sequence[str | Suite] = ("audit",),
    attacks: Mapping[str, Attack] | None = None,
    trial_images: int = 100,
    thresholds: Thresholds | None = None,
    until_decided: bool = False,
    source: Model | None = None,
    known: Mapping[str, object] | None = None,
    **settings,
) -> Audit:
    """Robust accuracy of any `images -> logits` function, and whether to believe it.

    The suites attack every image; the number is what none of them fools. Then the evaluation itself is tried, on the
    first `trial_images` that are right when clean: slopes measured, one step against many, queries and noise against
    gradients, four times the budget, no limit at all, adversarial examples planted; and longer attacks on as many that
    hold. What trials fool within the budget counts too.

    Args:
        suites: names or `Suite`s; the worst case of each alone may be an illusion. "audit" is `adaptive`, then `auto`.
        attacks: your own, by name, with their threat bound; those that break the rules are left out and named.
        until_decided: attack 100 images, then twice as many, ..., and stop once an interval that may be looked at after
            every image (`statistics.proportion`, "anytime") shows whether the model is robust, weak or broken.
        source: another model; images made against it are tried on this one (transfer); none otherwise.
        known: facts to add, for example {"selected_on": "test"}.
        settings: of `evaluate`: batch_size, seed, device, names, faster, journal, progress.

    Raises:
        UserError: images, labels or outputs that cannot be judged; no image is right when clean.
    """
    suites = _named(suites)
    split, device, facts = as_split(split), torch.device(settings.get("device", "cpu")), dict(known or {})
    if isinstance(model, nn.Module) and Still.is_needed(model, as_pixels(split.images[:2]).to(device)):
        model, facts = Still(model), facts | {"moving_buffers": True}
    split, crashes = _sound_images(model, split, settings)
    thresholds, broken, asked = thresholds or Thresholds(), {}, len(split.labels)
    run = partial(_evaluated, model, crashes=crashes, broken=broken, **settings)
    by_suite = _attacked(run, split, suites, threat, thresholds if until_decided else None)
    own, lost = try_own_attacks(model, split, attacks or {}, threat, broken, settings)
    rows = _over_the_same_images([row for some in by_suite.values() for row in some] + own, split)
    correct = torch.tensor(rows[0].correct)
    if not correct.any():
        raise UserError("no image is classified rightly when clean: there is no robustness to audit")
    split = _subset(split, rows[0].index)
    trials = trials_on(run, split, correct, rows, threat, trial_images, source)
    facts |= {"lost": lost.counts, "lost_images": sorted(lost.images)}
    facts |= {"attacked": [len(split.labels), asked]} if until_decided else {}
    few, labels = taken(split, correct, trial_images), set(split.labels.tolist())
    facts |= _measured(model, few, threat, labels, device, crashes, settings.get("batch_size", 256))
    evidence = Evidence(rows, trials, facts, broken, crashes)
    quoted = [(f"suite {name} alone", [row for row in rows if row.suite == name]) for name in by_suite]
    quoted += [(f"{row.attack} alone", [row]) for row in rows if row.attack in (attacks or {})]
    return Audit(evidence, judge(evidence, quoted=quoted, thresholds=thresholds))


def _measured(
    model: Model,
    split: Split,
    threat: ThreatModel,
    labels: set[int],
    device: torch.device,
    crashes: dict[str, str],
    batch_size: int,
) -> dict:
    """All facts about images that are right when clean; `labels` are all there are."""
    x, y, facts = as_pixels(split.images).to(device), split.labels.long().to(device), {}
    for measure in (facts_about, partial(under_attack, labels=labels), planted):
        try:
            facts |= measure(model, x, y, threat, batch_size=batch_size)
        except Exception as error:  # whatever a model, or what reads its numbers, may raise
            if measure is facts_about:
                crashes["facts"] = _crash(split.index, error, "while it was measured")
    return facts


def _named(suites: Sequence[str | Suite]) -> dict[str, str | Suite]:
    """Suites by name, each name once; what has no budget is refused."""
    named: dict[str, str | Suite] = {}
    for suite in suites:
        if isinstance(suite, str) and suite in UNLIMITED:
            raise UserError(f"suite {suite} knows no budget, and an audit is of one: choose audit, auto, adaptive, ...")
        name = suite if isinstance(suite, str) else "custom"
        number = sum(other.startswith("custom") for other in named) + 1
        named[name if isinstance(suite, str) or number == 1 else f"custom {number}"] = suite
    if not named:
        raise UserError("no suite: an audit needs at least one")
    return named


def _attacked(
    run: Callable, split: Split, suites: Mapping[str, str | Suite], threat: ThreatModel, until: Thresholds | None
) -> dict[str, list[AttackResult]]:
    """Rows by suite, of all images, or of so many that their verdict is decided."""
    parts: dict[str, list[list[AttackResult]]] = {name: [] for name in suites}
    start, end = 0, len(split.labels) if until is None else min(_FIRST, len(split.labels))
    while start < end:
        part = Split(*(each[start:end] for each in split))
        for name, suite in suites.items():
            found = run(part, threat=threat, suite=suite)
            parts[name].append([replace(row, suite=name) for row in found])
        rows = {name: _joined(some, split) for name, some in parts.items()}
        every = [row for some in rows.values() for row in some]
        if until is not None and _is_decided(_over_the_same_images(every, split), until):
            break
        start, end = end, min(2 * end, len(split.labels))
    return rows


def _is_decided(rows: Sequence[AttackResult], thresholds: Thresholds) -> bool:
    fooled, clean = worst_case(rows), rows[0].num_correct / rows[0].num_images
    words = (thresholds.robust, thresholds.broken)
    return robustness(fooled.count(False), len(fooled), clean, thresholds=words, method="anytime") != "undecided"


def _joined(parts: Sequence[list[AttackResult]], split: Split) -> list[AttackResult]:
    """Rows of parts that were attacked one after the other, as of one."""
    if len(parts) == 1:
        return parts[0]
    there = _subset(split, [image for rows in parts for image in rows[0].index])
    seconds = [sum(row.seconds for row in rows) for rows in zip(*parts, strict=True)]
    return [replace(row, seconds=spent) for row, spent in zip(merge(parts, there), seconds, strict=True)]


def _evaluated(
    model: Model,
    split: Split,
    *,
    threat: ThreatModel,
    suite: str | Suite,
    crashes: dict[str, str],
    broken: dict[str, str],
    **settings,
) -> list[AttackResult]:
    """`evaluate` without attacks that break the rules; where the model fails, without the batches it fails on."""
    try:
        return evaluate(model, split, threat=threat, suite=suite, **settings)
    except AttackCheated as error:
        kept = _without(suite, error)
        broken |= {name: str(error) for name in suite.attacks.keys() - kept.attacks.keys()}
        return _evaluated(model, split, threat=threat, suite=kept, crashes=crashes, broken=broken, **settings)
    except UserError:
        raise
    except Exception:  # whatever a model may raise
        attempt = partial(evaluate, model, threat=threat, suite=suite, **settings)
        return _batch_by_batch(attempt, split, crashes, settings.get("batch_size", 256))


def _without(suite: str | Suite, error: AttackCheated) -> Suite:
    """The suite without the attack that the error names."""
    left = {} if isinstance(suite, str) else {n: a for n, a in suite.attacks.items() if not str(error).startswith(n)}
    if not left or len(left) == len(suite.attacks):
        raise error
    return replace(suite, attacks=left)


def _batch_by_batch(attempt: Callable, split: Split, crashes: dict[str, str], size: int) -> list[AttackResult]:
    parts = []
    for rows in torch.arange(len(split.labels)).split(size):
        part = Split(*(each[rows] for each in split))
        try:
            parts.append(attempt(part))
        except (UserError, AttackCheated):
            raise
        except Exception as error:
            crashes[f"{part.index[0].item()} attacked"] = _crash(part.index, error, "under attack")
    if not parts:
        raise Crashed(f"the model fails on every batch: {list(crashes.values())[-1]}")
    return _joined(parts, split)


def _sound_images(model: Model, split: Split, settings: Mapping) -> tuple[Split, dict[str, str]]:
    """The images on which the model answers at all, and what it raised on the others' batches."""
    kept, crashes = [], {}
    with undisturbed(model):
        for rows in torch.arange(len(split.labels)).split(settings.get("batch_size", 256)):
            try:
                look(model, as_pixels(split.images[rows]).to(settings.get("device", "cpu")))
                kept.append(rows)
            except Exception as error:  # whatever a model may raise
                crashes[str(split.index[rows[0]].item())] = _crash(split.index[rows], error, "on clean images")
    if not kept:
        raise Crashed(f"the model fails on every batch: {next(iter(crashes.values()))}")
    return (Split(*(each[torch.cat(kept)] for each in split)) if crashes else split), crashes


def _crash(index: Tensor, error: Exception, when: str) -> str:
    words = str(error).strip().splitlines()
    return f"images {index[0]} to {index[-1]} {when}: {type(error).__name__}: {words[0] if words else ''}"


def _over_the_same_images(rows: Sequence[AttackResult], split: Split) -> list[AttackResult]:
    """Rows cut down to the images all of them speak of (a model may have failed under one attack and not another)."""
    common = set.intersection(*(set(row.index) for row in rows))
    if all(len(row.index) == len(common) for row in rows):
        return list(rows)
    if not common:
        raise Crashed("the model fails on every image under one attack or another")
    cut, same = [], data_hash(_subset(split, [image for image in rows[0].index if image in common]))
    for row in rows:
        keep = [place for place, image in enumerate(row.index) if image in common]
        per_image = ("index", "correct", "fooled", "size", "attempted", "labels")
        left = {name: [getattr(row, name)[place] for place in keep] for name in per_image}
        cut.append(replace(row, data_hash=same, **left))
    return cut


def _subset(split: Split, index: Sequence[int]) -> Split:
    places = {image: place for place, image in enumerate(split.index.tolist())}
    rows = torch.tensor([places[image] for image in index])
    return Split(*(each[rows] for each in split))


def _summary(row: AttackResult) -> dict:
    names = ("attack", "suite", "threat", "eps", "num_images", "num_correct", "num_robust", "forwards", "backwards")
    return {name: getattr(row, name) for name in (*names, "seconds", "settings")}
