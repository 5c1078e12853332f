"""An audit: attack, then doubt the attacks, and end in one verdict."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count

import torch
from torch import nn

from ..attacks import cross_entropy, pgd
from ..errors import UserError, at_least_one
from ..results import SIGNS, AttackResult, worst_case
from ..statistics import robustness
from ..threats import ThreatModel
from ..types import Attack, Images, Mask, Model, Split, as_pixels
from .checks import Evidence
from .endurance import Crashed, Mishaps, crash, evaluated, joined, over_the_same_images, sound_images, subset
from .identity import describe
from .probes import facts_about
from .robustness import Data, as_split, as_suite
from .suites import UNLIMITED, Suite
from .trials import planted, taken, trials_on, under_attack
from .verdict import Thresholds, Verdict, is_plain_cross_entropy, judge
from .wrappers import Cast, Still

OWN, PLAIN = "own", "plain"  # what rows call attacks of one's own, and what people quote where no suite has it
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
    split: Data,
    *,
    threat: ThreatModel,
    suites: str | Suite | Sequence[str | Suite] = ("audit",),
    attacks: Mapping[str, Attack] | None = None,
    trial_images: int = 100,
    thresholds: Thresholds | None = None,
    until_decided: bool = False,
    source: Model | None = None,
    known: Mapping[str, object] | None = None,
    **settings,
) -> Audit:
    """Robust accuracy of any `images -> logits` function, and whether to believe it.

    The suites attack every image; the number is what none of them fools. Where none of them says what 20 steps of PGD
    on cross-entropy leave, those are run too, as the suite "plain". Then the evaluation itself is tried, on the
    first `trial_images` that are right when clean: slopes measured, one step against many, queries and noise against
    gradients, four times the budget, no limit at all, adversarial examples planted; and longer attacks on as many that
    hold. What trials fool within the budget counts too. Attacks of your own, and of a `Suite` you give, are watched:
    what they found and did not hand back counts as well.

    Args:
        suites: names or `Suite`s, each with a name of its own; the worst case of each alone may be an illusion. "audit"
            is `adaptive`, then `auto`.
        attacks: your own, by name, with their threat bound; those that break the rules or raise an error are left out
            and named.
        until_decided: attack 100 images, then twice as many, ..., and stop once an interval that may be looked at after
            every image (`statistics.proportion`, "anytime") shows whether the model is robust, weak or broken.
        source: another model; images made against it are tried on this one (transfer); none otherwise.
        known: facts to add, for example {"selected_on": "test"}.
        settings: of `evaluate`: batch_size, seed, device, names, faster, journal, progress.

    Raises:
        UserError: images, labels or outputs that cannot be judged; no image is right when clean; an attack changed the
            model's weights; of a suite of your own no attack is left.
    """
    suites = _named(suites)
    at_least_one(trial_images=trial_images, batch_size=settings.get("batch_size", 1))
    split, device, facts = as_split(split), torch.device(settings.get("device", "cpu")), dict(known or {})
    resolved = [as_suite(suite, threat, split) for suite in suites.values()]
    model = _handled(model, as_pixels(split.images[:2]).to(device))
    facts |= {"moving_buffers": True} if isinstance(model, Still) else {}
    split, crashes = sound_images(model, split, settings)
    thresholds, mishaps, lost = thresholds or Thresholds(), Mishaps(crashes=crashes), {}
    run = partial(evaluated, model, mishaps=mishaps, **settings)
    by_suite, met = _attacked(run, split, suites, threat, thresholds if until_decided else None, lost, mishaps)
    facts |= {"attacked": [met, len(split.labels)]} if until_decided else {}
    beside = partial(_beside, run, split.first(met), threat)
    own = [row for name in attacks or {} for row in beside(Suite({name: attacks[name]}, name=OWN), lost, journal=None)]
    plain = [] if any(_quotes_cross_entropy(suite) for suite in resolved) else beside(_plain_pgd(threat))
    rows = over_the_same_images([*plain, *(row for some in by_suite.values() for row in some), *own], split)
    correct = _right_when_clean(rows[0])
    split = subset(split, rows[0].index)
    trials = trials_on(run, split, correct, rows, threat, trial_images, source)
    facts |= _given_up(lost, rows)
    few, labels = taken(split, correct, trial_images), set(split.labels.tolist())
    facts |= _measured(model, few, threat, labels, device, mishaps.crashes, settings.get("batch_size", 256))
    evidence = Evidence(rows, trials, facts, **vars(mishaps))
    quoted = [(f"suite {name} alone", [row for row in rows if row.suite == name]) for name in by_suite]
    quoted += [(f"{row.attack} alone", [row]) for row in rows if row.suite == OWN]
    return Audit(evidence, judge(evidence, quoted=quoted, thresholds=thresholds))


def _handled(model: Model, x: Images) -> Model:
    """The model, with what it needs to be asked safely: images of its float type, its buffers put back."""
    model = Cast.where_needed(model, x)
    return Still(model) if isinstance(model, nn.Module) and Still.is_needed(model, x) else model


def _beside(
    run: Callable, split: Split, threat: ThreatModel, suite: Suite, lost: dict[str, set[int]] | None = None, **settings
) -> list[AttackResult]:
    """Rows of attacks that nobody waits for: none where the model fails under them on every image."""
    with contextlib.suppress(Crashed):
        return run(split, threat=threat, suite=suite, lost=lost, **settings)
    return []


def _plain_pgd(threat: ThreatModel) -> Suite:
    """What people quote: 20 steps of PGD on cross-entropy."""
    pgd_20 = partial(pgd, threat=threat, objective=cross_entropy, steps=20)
    return Suite({"pgd-20 cross_entropy": pgd_20}, name=PLAIN)


def _right_when_clean(row: AttackResult) -> Mask:
    if not any(row.correct):
        signs = "".join(f" ({SIGNS[sign]})" for sign in row.signs)
        raise UserError(f"no image is classified rightly when clean: there is no robustness to audit{signs}")
    return torch.tensor(row.correct)


def _quotes_cross_entropy(suite: Suite) -> bool:
    """Whether an attack of the suite that meets every image is one whose number people quote."""
    attacks = list(suite.attacks.values())
    return any(is_plain_cross_entropy(describe(attack)) for attack in attacks[: 1 if suite.cascade else None])


def _given_up(lost: Mapping[str, set[int]], rows: Sequence[AttackResult]) -> dict:
    """Facts: by attack how many images it had fooled and not handed back, of how many; and which images.

    Of a model that answers by chance nothing is said: one draw fools and the next does not.
    """
    if "different answers" in rows[0].signs:
        return {}
    met = {row.attack: sum(row.attempted) for row in rows if row.attack in lost}
    there = set(rows[0].index)
    counts = {name: (len(lost[name] & there), count) for name, count in met.items()}
    return {"lost": counts, "lost_images": sorted(set().union(*(lost[name] for name in met)) & there)}


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
    measures = {
        "while it was measured": facts_about,
        "while its scores under attack were measured": partial(under_attack, labels=labels),
        "while adversarial examples were planted": planted,
    }
    for when, measure in measures.items():
        try:
            facts |= measure(model, x, y, threat, batch_size=batch_size)
        except Exception as error:  # whatever a model, or what reads its numbers, may raise
            crashes[when] = crash(split.index, error, when)
    return facts


def _named(suites: str | Suite | Sequence[str | Suite]) -> dict[str, str | Suite]:
    """Suites by name, each name once: `Suite`s of a name that is taken are numbered. What has no budget is refused."""
    suites = [suites] if isinstance(suites, str | Suite) else list(suites)
    if not suites:
        raise UserError("no suite: an audit needs at least one")
    taken, named = {OWN, PLAIN, *(suite for suite in suites if isinstance(suite, str))}, {}
    for suite in suites:
        if isinstance(suite, str) and suite in UNLIMITED:
            raise UserError(f"suite {suite} knows no budget, and an audit is of one: choose audit, auto, adaptive, ...")
        name = suite if isinstance(suite, str) else _untaken(suite.name, taken)
        taken.add(name)
        named[name] = suite
    return named


def _untaken(name: str, taken: set[str]) -> str:
    return next(each for each in chain([name], (f"{name} {number}" for number in count(2))) if each not in taken)


def _attacked(
    run: Callable,
    split: Split,
    suites: Mapping[str, str | Suite],
    threat: ThreatModel,
    until: Thresholds | None,
    lost: dict[str, set[int]],
    mishaps: Mishaps,
) -> tuple[dict[str, list[AttackResult]], int]:
    """Rows by suite, of all images, or of so many that their verdict is decided; and of how many."""
    parts: dict[str, list[list[AttackResult]]] = {name: [] for name in suites}
    start, end = 0, len(split.labels) if until is None else min(_FIRST, len(split.labels))
    while True:
        part = Split(*(each[start:end] for each in split))
        for name, suite in suites.items():
            found = run(part, threat=threat, suite=suite, lost=None if isinstance(suite, str) else lost)
            parts[name].append([replace(row, suite=name) for row in found])
        rows = {name: joined(some, split) for name, some in parts.items()}
        if not all(rows.values()):
            raise UserError(f"no attack of a suite is left on all images: {mishaps.of_attacks()}")
        every = [row for some in rows.values() for row in some]
        if end == len(split.labels) or _is_decided(over_the_same_images(every, split), until):
            return rows, end
        start, end = end, min(2 * end, len(split.labels))


def _is_decided(rows: Sequence[AttackResult], thresholds: Thresholds) -> bool:
    fooled, clean = worst_case(rows), rows[0].num_correct / rows[0].num_images
    words = (thresholds.robust, thresholds.broken)
    return robustness(fooled.count(False), len(fooled), clean, thresholds=words, method="anytime") != "undecided"


def _summary(row: AttackResult) -> dict:
    names = ("attack", "suite", "threat", "eps", "num_images", "num_correct", "num_robust", "forwards", "backwards")
    return {name: getattr(row, name) for name in (*names, "seconds", "settings")}
