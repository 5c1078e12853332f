"""Attack every image, verify what came back, record it: nothing an attack says about itself is believed."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..attacks import undisturbed
from ..errors import ModelChanged, UserError, at_least_one
from ..results import AttackResult
from ..threats import ThreatModel, check_images
from ..types import Attack, Model, Split, as_pixels
from ..versions import versions
from .identity import behavior_hash, data_hash, describe, weights_hash
from .journal import Journal, Outcomes, key_of
from .judge import Judge, Progress
from .signs import FEWEST, signs_of
from .suites import Suite, make_suite
from .wrappers import Cast

_NO_MATTER = ("data_hash", "versions")  # outcomes know their images; what is done is not done again by a newer torch

Data = Split | Sequence[Tensor | np.ndarray]  # images and labels: a `Split`, or a plain pair (x, y)


def evaluate(
    model: Model,
    split: Data,
    *,
    threat: ThreatModel,
    suite: str | Suite | Mapping[str, Attack] = "quick",
    batch_size: int = 256,
    seed: int = 0,
    device: torch.device | str = "cpu",
    names: Mapping[str, str] | None = None,
    faster: Callable[[Model], Model] | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
    lost: dict[str, set[int]] | None = None,
) -> list[AttackResult]:
    """Robust accuracy of any `images -> logits` function, one result per attack, image by image.

    Attacks meet images that are classified rightly when clean (the others count as fooled at size 0): all of them, or
    in a suite that is a cascade those that hold so far. What an attack hands back is checked here: shape, box, ball
    (tolerance 1e-6), label. The robust accuracy of the suite is the per-image worst case, `results.worst_case`; it is
    an upper bound, as that of every attack is.

    Args:
        model: in evaluation mode while it is attacked, and put back afterwards. One of another float type than the
            images (bfloat16) gets them cast; perturbations stay in the images' own.
        split: images (uint8, or float in [0, 1]), labels, index; a plain pair (x, y) works too, also of arrays.
        threat: what the adversary may do, for example `Linf(8 / 255)`. Suites that look for the smallest perturbation
            take its norm and no limit.
        suite: a name (`SUITES`), a `Suite`, or a dict of your own attacks, `{"mine": partial(pgd, threat=...)}`.
        batch_size: images at a time; verdicts do not depend on it, up to rounding.
        seed: with each image's index the only source of randomness. In a cascade every attack draws its own; elsewhere
            attacks begin alike, so that their numbers are paired.
        names: run, data, split: how the rows name what was evaluated.
        faster: makes of `model` what the attacks are given (`models.accelerated`); verdicts are those of `model`.
        journal: where outcomes are kept batch by batch, and found again after a kill; for modules, not for functions.
        progress: called after every batch.
        lost: to be filled, by attack, with the images it had fooled and handed back as something else; attacks are
            watched only where it is given.

    Raises:
        UserError: images, labels or model output that cannot be judged.
        AttackCheated: an attack returned an image outside its threat model.
        ModelChanged: an attack changed the model's weights.
    """
    split = as_split(split)
    at_least_one(batch_size=batch_size)
    if journal is not None and not isinstance(model, nn.Module):
        raise UserError("a journal needs a model with weights to know it again: leave journal out for a function")
    asked, suite = suite, as_suite(suite, threat, split)
    threat = suite.threat or threat
    shared = {"run": "", "data": "", "split": "test"} | dict(names or {})
    shared |= {
        "suite": asked if isinstance(asked, str) else suite.name,
        "data_hash": data_hash(split),
        "weights_hash": weights_hash(model),
        "threat": threat.name,
        "eps": float(threat.eps),
        "seed": seed,
        "version": __version__,
        "versions": versions(),
    }
    model = Cast.where_needed(model, as_pixels(split.images[:2]).to(device))
    with undisturbed(model):
        fast = model if faster is None else faster(model)
        judge = Judge(model, fast, split, threat, batch_size, seed, device, journal, progress, lost)
        return list(_rows(judge, suite, shared, faster and describe(faster)))


def _rows(judge: Judge, suite: Suite, shared: dict, faster: dict | None) -> Iterator[AttackResult]:
    """One row per attack of the suite, each as soon as its attack is done."""
    correct, finite = judge.clean()
    seen = {"index": judge.split.index.tolist(), "labels": judge.split.labels.tolist()}
    seen |= {"correct": correct.tolist(), "signs": _signs(judge, finite)}
    fooled, size = ~correct, torch.zeros(len(correct))
    behavior = behavior_hash(judge.model, judge.split, judge.device) if judge.journal is not None else ""
    for place, (name, attack) in enumerate(suite.attacks.items()):
        if not suite.cascade:
            fooled, size = ~correct, torch.zeros(len(correct))
        attempted = ~fooled
        settings = describe(attack)
        whole = describe(attack, leave_out=())  # with the threat it is bound to
        about = {name: shared[name] for name in shared if name not in _NO_MATTER}
        about |= {} if judge.lost is None else {"watched": True}
        key = key_of(name=name, attack=whole, faster=faster, model=behavior, place=place, **about)
        try:
            outcomes = judge.run(name, attack, attempted, key, place=place if suite.cascade else 0)
        finally:  # also where the attack raised
            if bool(attempted.any()) and weights_hash(judge.model) != shared["weights_hash"]:
                raise ModelChanged(f"{name} changed the model's weights: load the model again")
        _place(outcomes, judge.split, fooled, size)
        yield AttackResult(
            attack=name,
            settings=settings | {"batch_size": judge.batch_size},
            attempted=attempted.tolist(),
            fooled=fooled.tolist(),
            size=size.tolist(),
            forwards=outcomes.forwards,
            backwards=outcomes.backwards,
            seconds=round(outcomes.seconds, 3),
            non_finite=outcomes.non_finite + int((~finite).sum()),
            **seen,
            **shared,
        )


def _signs(judge: Judge, finite: Tensor) -> list[str]:
    """What is suspicious about the model's output on a few images: those without finite logits come first."""
    first = torch.cat([(~finite).nonzero().squeeze(1), finite.nonzero().squeeze(1)])[: max(FEWEST, judge.batch_size)]
    x = as_pixels(judge.split.images[first]).to(judge.device)
    return signs_of(judge.model, x, batch_size=judge.batch_size)


def _place(outcomes: Outcomes, split: Split, fooled: Tensor, size: Tensor) -> None:
    places = {index: place for place, index in enumerate(split.index.tolist())}
    there = torch.tensor([places[index] for index in outcomes.index], dtype=torch.long)
    fooled[there] = torch.tensor(outcomes.fooled, dtype=torch.bool)
    size[there] = torch.tensor(outcomes.size)


def as_suite(suite: str | Suite | Mapping[str, Attack], threat: ThreatModel, split: Split) -> Suite:
    """The attacks of a name, a suite or a dict: at least one."""
    if isinstance(suite, str):
        return make_suite(suite, threat, image_shape=tuple(split.images.shape[1:]))
    suite = suite if isinstance(suite, Suite) else Suite(dict(suite))
    if not suite.attacks:
        raise UserError('the suite has no attack: give at least one, {"mine": partial(pgd, threat=...)}')
    return suite


def as_split(split: Data) -> Split:
    """Images, labels and index that can be judged, as tensors; a plain pair is numbered from 0."""
    try:
        images, labels, *index = (_as_tensor(each) for each in split)
        split = Split(images, labels, *(index or [torch.arange(len(images))]))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"images and labels must come as a pair of tensors (x, y): {error}") from error
    split = split._replace(labels=split.labels if split.labels.is_floating_point() else split.labels.long())
    if len(split.images) == 0:
        raise UserError("no images to evaluate")
    for start in range(0, len(split.images), 4096):
        part = slice(start, start + 4096)
        check_images(as_pixels(split.images[part]), split.labels[part])
    if len(split.index.unique()) != len(split.images):
        raise UserError(f"index must name {len(split.images)} different images: some stand twice")
    return split


def _as_tensor(array: Tensor | np.ndarray) -> Tensor:
    """A tensor as it is; numpy's float64, which seldom is meant, becomes float32."""
    if isinstance(array, Tensor):
        return array
    return torch.as_tensor(array.astype(np.float32) if getattr(array, "dtype", None) == np.float64 else array)
