"""An audit: attack, then doubt the attacks, and end in one verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..attacks import is_fooled, undisturbed
from ..attacks.manners import look
from ..errors import AttackCheated, UserError
from ..results import AttackResult, worst_case
from ..statistics import robustness
from ..threats import ThreatModel
from ..types import Attack, Model, Split, as_pixels
from .checks import Evidence
from .probes import Witness, facts_about
from .robustness import as_split, evaluate
from .sharing import merge
from .suites import Suite
from .trials import Crashed, experiments, refused, taken, trials_on
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
        known: facts to add, for example {"selected_on": "test"}.
        settings: of `evaluate`: batch_size, seed, device, names, faster, journal, progress.

    Raises:
        UserError: images, labels or outputs that cannot be judged; no image is right when clean.
    """
    split, crashes = _sound_images(model, as_split(split), settings)
    run = partial(_evaluated, model, crashes=crashes, **settings)
    thresholds = thresholds or Thresholds()
    whole = len(split.labels)
    by_suite = _attacked(run, split, suites, threat, thresholds if until_decided else None)
    split = _subset(split, next(iter(by_suite.values()))[0].index)
    own, broken, lost = _own_attacks(model, split, attacks or {}, threat, settings)
    rows = [row for some in by_suite.values() for row in some] + own
    rows = _over_the_same_images(rows)
    correct, device = torch.tensor(rows[0].correct), torch.device(settings.get("device", "cpu"))
    if not correct.any():
        raise UserError("no image is classified rightly when clean: there is no robustness to audit")
    split = _subset(split, rows[0].index)
    trials = trials_on(run, split, correct, rows, threat, trial_images)
    facts = {"lost": lost.counts, "lost_images": sorted(lost.images)} | dict(known or {})
    facts |= {"attacked": [len(split.labels), whole]} if until_decided else {}
    facts |= _measured(model, taken(split, correct, trial_images), threat, int(split.labels.max()), device, crashes)
    evidence = Evidence(rows, trials, facts, broken, crashes)
    quoted = [(f"suite {name} alone", some) for name, some in by_suite.items() if len(by_suite) > 1]
    quoted += [(f"{row.attack} alone", [row]) for row in own]
    return Audit(evidence, judge(evidence, quoted=quoted, thresholds=thresholds))


def _measured(
    model: Model, split: Split, threat: ThreatModel, most: int, device: torch.device, crashes: dict[str, str]
) -> dict:
    """All facts about images that are right when clean; `most` is the largest label there is."""
    x, y, facts = as_pixels(split.images).to(device), split.labels.long().to(device), {}
    for measure in (facts_about, experiments, partial(refused, most=most)):
        try:
            facts |= measure(model, x, y, threat)
        except Exception as error:  # whatever a model may raise where an attack leads it
            crashes[f"facts {len(crashes)}"] = _crash(split.index, error, "while it was measured")
    return facts


def _attacked(
    run: Callable, split: Split, suites: Sequence[str | Suite], threat: ThreatModel, until: Thresholds | None
) -> dict[str, list[AttackResult]]:
    """Rows by suite, of all images, or of so many that their verdict is decided."""
    parts: dict[str, list[list[AttackResult]]] = {_name(suite): [] for suite in suites}
    start, end = 0, len(split.labels) if until is None else min(_FIRST, len(split.labels))
    while start < end:
        part = Split(*(each[start:end] for each in split))
        for suite in suites:
            parts[_name(suite)].append(run(part, threat=threat, suite=suite))
        rows = {name: _joined(some, split) for name, some in parts.items()}
        every = [row for some in rows.values() for row in some]
        if until is not None and _is_decided(_over_the_same_images(every), until):
            break
        start, end = end, min(2 * end, len(split.labels))
    return rows


def _is_decided(rows: Sequence[AttackResult], thresholds: Thresholds) -> bool:
    fooled, clean = worst_case(rows), rows[0].num_correct / rows[0].num_images
    words = (thresholds.robust, thresholds.broken)
    return robustness(fooled.count(False), len(fooled), clean, thresholds=words, method="anytime") != "undecided"


def _joined(parts: Sequence[list[AttackResult]], split: Split) -> list[AttackResult]:
    index = [image for rows in parts for image in rows[0].index]
    return merge(parts, _subset(split, index)) if len(parts) > 1 else parts[0]


def _evaluated(
    model: Model, split: Split, *, threat: ThreatModel, suite: str | Suite, crashes: dict[str, str], **settings
) -> list[AttackResult]:
    """`evaluate`; where the model fails under attack, batch by batch without those it fails on."""
    attempt = partial(evaluate, model, threat=threat, suite=suite, **settings)
    try:
        return attempt(split)
    except (UserError, AttackCheated):
        raise
    except Exception:  # whatever a model may raise
        size, parts = settings.get("batch_size", 256), []
    for rows in torch.arange(len(split.labels)).split(size):
        part = Split(*(each[rows] for each in split))
        try:
            parts.append((part, attempt(part)))
        except (UserError, AttackCheated):
            raise
        except Exception as error:
            crashes[f"{part.index[0].item()} attacked"] = _crash(part.index, error, "under attack")
    if not parts:
        raise Crashed(f"the model fails on every batch: {list(crashes.values())[-1]}")
    there = Split(*(torch.cat(each) for each in zip(*(part for part, _ in parts), strict=True)))
    return merge([rows for _, rows in parts], there)


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


@dataclass
class _Lost:
    """By attack: how many images it had fooled and gave up, of how many; and which."""

    counts: dict[str, tuple[int, int]]
    images: set[int]


def _own_attacks(
    model: Model, split: Split, attacks: Mapping[str, Attack], threat: ThreatModel, settings: Mapping
) -> tuple[list[AttackResult], dict[str, str], _Lost]:
    """A row for each attack that keeps the rules, and why the others have none."""
    rows, broken, lost = [], {}, _Lost({}, set())
    fresh = {key: value for key, value in settings.items() if key != "journal"}
    for name, attack in attacks.items():
        seen: list[Tensor] = []
        try:
            watched = partial(_watched, attack, threat, seen)
            rows += evaluate(model, split, threat=threat, suite=Suite({name: watched}), **fresh)
        except AttackCheated as error:
            broken[name] = str(error)
            continue
        flags = torch.cat(seen) if seen else torch.zeros(0, dtype=torch.bool)
        attempted = torch.tensor(rows[-1].index)[torch.tensor(rows[-1].attempted)]
        if len(flags) == len(attempted):
            lost.counts[name] = (int(flags.sum()), len(flags))
            lost.images |= set(attempted[flags].tolist())
    return rows, broken, lost


def _watched(attack: Attack, threat: ThreatModel, seen: list[Tensor], model: Model, x: Tensor, y: Tensor, **call):
    """The attack, with a witness of what it sees; what fooled and was not returned is noted."""
    witness = Witness(model, x, y, threat)
    x_adv = attack(witness, x, y, **call)
    if x_adv.shape == x.shape:
        seen.append((witness.saw & ~is_fooled(look(model, x_adv.detach().to(x.dtype)), y)).cpu())
    return x_adv


def _over_the_same_images(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """Rows cut down to the images all of them speak of (a model may have failed under one attack and not another)."""
    common = set.intersection(*(set(row.index) for row in rows))
    if all(len(row.index) == len(common) for row in rows):
        return list(rows)
    cut = []
    for row in rows:
        keep = [place for place, image in enumerate(row.index) if image in common]
        per_image = ("index", "correct", "fooled", "size", "attempted")
        cut.append(replace(row, **{name: [getattr(row, name)[place] for place in keep] for name in per_image}))
    return cut


def _subset(split: Split, index: Sequence[int]) -> Split:
    places = {image: place for place, image in enumerate(split.index.tolist())}
    rows = torch.tensor([places[image] for image in index])
    return Split(*(each[rows] for each in split))


def _name(suite: str | Suite) -> str:
    return suite if isinstance(suite, str) else "custom"


def _summary(row: AttackResult) -> dict:
    names = ("attack", "suite", "threat", "eps", "num_images", "num_correct", "num_robust", "forwards", "backwards")
    return {name: getattr(row, name) for name in (*names, "seconds", "settings")}
