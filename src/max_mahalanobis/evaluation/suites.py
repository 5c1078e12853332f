"""Named lists of attacks, as plain data."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from ..attacks import (
    CORRUPTIONS,
    OBJECTIVES,
    apgd,
    bim,
    corrupt,
    cross_entropy,
    cw_l2,
    ddn,
    deepfool,
    dlr,
    ead,
    every_target,
    fab,
    fgsm,
    fmn,
    gaussian_noise,
    jsma,
    margin,
    mim,
    nearest_targets,
    pgd,
    random_search,
    restarts,
    rotation,
    rotation_translation,
    spsa,
    square,
    toward_random_class,
    where_close,
)
from ..errors import UserError, one_of
from ..threats import Linf, ThreatModel
from ..types import Attack, Objective

_FIVE = ("cross_entropy", "margin", "dlr", "own_distance", "nearest_other")


@dataclass(frozen=True)
class Suite:
    """Attacks by name, in order.

    `cascade`: images that an attack fools do not meet the next one. `threat`: what the attacks are held to when it is
    not the threat asked for (suites that look for the smallest perturbation have no limit). `name`: what rows call it.
    """

    attacks: Mapping[str, Attack]
    cascade: bool = False
    threat: ThreatModel | None = None
    name: str = "custom"


def quick(threat: ThreatModel) -> Suite:
    """FGSM, and 20-step PGD under five objectives, on every image: seconds on small networks."""
    return Suite({"fgsm": partial(fgsm, threat=threat)} | _pgd_under(_FIVE, threat, steps=20))


def paper(threat: ThreatModel) -> Suite:
    """The first-order attacks of the authors' code, with true labels, then five objectives with 40 steps.

    Their PGD takes steps of 2/256 from a random start, a quarter of the smallest budget they report: here a quarter of
    any; for 10 and for 50 steps, untargeted and toward a random wrong class.
    """
    attacks = _first_order(threat, step_size=threat.eps / 4, names=("fgsm", "mim-10", "pgd-10", "pgd-50"))
    return Suite(attacks | _pgd_under(_FIVE, threat, steps=40))


def paper_faithful(threat: ThreatModel) -> Suite:
    """The authors' test scripts (Pang et al. 2020): FGSM, BIM, MIM and PGD on cross-entropy, 10 and 50 steps of 2/256.

    The step stays 2/256 at every budget; theirs are 8, 16, 24 and 32 over 256 (`--eps 8/256`). Targeted means one
    random wrong class, scored against the true label. Two of their habits are left out: a clip box wider than [0, 1],
    and labels guessed from the model, which are the true ones for every image attacked here.
    """
    names = ("fgsm", *(f"{kind}-{steps}" for kind in ("bim", "mim", "pgd") for steps in (10, 50)))
    return Suite(_first_order(threat, step_size=2 / 256, names=names, targeted=names))


def curve(threat: ThreatModel) -> Suite:
    """What a curve of accuracy against budget is drawn from: cross-entropy beside two adaptive objectives."""
    return Suite(_pgd_under(("cross_entropy", "margin", "nearest_other"), threat, steps=20))


def adaptive(threat: ThreatModel) -> Suite:
    """Every objective in turn; images that hold go on to the next, at last to near wrong classes and to squares.

    Cross-entropy PGD goes first and meets every image, so the first two numbers show what it overstates.
    """
    attacks = _pgd_under(("cross_entropy",), threat, steps=20)
    attacks |= _apgd_under(("margin",), threat, steps=20)
    attacks |= _apgd_under(("nearest_other", "own_distance", "rescaled_cross_entropy"), threat, steps=5)
    return Suite(attacks | _longer_where_close(threat, climbs=2, searches=3), cascade=True)


def auto(threat: ThreatModel) -> Suite:
    """AutoAttack's standard set with its published settings (Croce and Hein 2020, https://arxiv.org/abs/2003.01690).

    APGD on cross-entropy (100 steps), APGD on targeted DLR and targeted FAB (100 steps, 9 targets), Square (5,000
    queries); in L1 five restarts of the first and 5 targets of the second. FAB stops where it is below the budget.
    """
    l1 = threat.name == "L1"
    dlr_targeted = partial(every_target, partial(apgd, threat=threat, objective=dlr, steps=100), top=5 if l1 else 9)
    attacks = {
        "apgd-ce": partial(apgd, threat=threat, objective=cross_entropy, steps=100, restarts=5 if l1 else 1),
        "apgd-t": dlr_targeted,
        "fab-t": partial(every_target, partial(fab, threat=threat, steps=100, stop_when_fooled=True), top=9),
        "square": partial(square, threat=threat, queries=5000, ahead=4),
    }
    return Suite(attacks, cascade=True)


def auto_fast(threat: ThreatModel) -> Suite:
    """The verdict of `auto` for about a tenth of its passes: a short APGD, long attacks on what it brought close."""
    attacks = _apgd_under(("margin",), threat, steps=20)
    return Suite(attacks | _longer_where_close(threat, climbs=1, searches=2), cascade=True)


def audit(threat: ThreatModel) -> Suite:
    """`adaptive`, then `auto` on what holds: what `mmc audit` reports."""
    return Suite(dict(adaptive(threat).attacks) | dict(auto(threat).attacks), cascade=True)


def auto_plus(threat: ThreatModel) -> Suite:
    """AutoAttack's "plus" set: restarts of APGD on cross-entropy and DLR and of untargeted FAB, and all of `auto`."""
    standard = dict(auto(threat).attacks)
    attacks = {
        "apgd-ce": partial(apgd, threat=threat, objective=cross_entropy, steps=100, restarts=5),
        "apgd-dlr": partial(apgd, threat=threat, objective=dlr, steps=100, restarts=5),
        "fab": partial(fab, threat=threat, steps=100, restarts=5, stop_when_fooled=True),
    }
    return Suite(attacks | {name: standard[name] for name in ("square", "apgd-t", "fab-t")}, cascade=True)


def exhaustive(threat: ThreatModel) -> Suite:
    """Everything: `adaptive`, `auto_plus`, then long multi-targeted attacks with restarts, random search and SPSA."""
    attacks = dict(adaptive(threat).attacks) | dict(auto_plus(threat).attacks)
    for name in ("margin", "cross_entropy", "nearest_other"):
        long = partial(apgd, threat=threat, objective=OBJECTIVES[name], steps=200, restarts=3)
        attacks[f"apgd-200 {name}, every target, 3 restarts"] = partial(every_target, long, top=None)
    attacks["pgd-200 margin, 10 restarts"] = partial(
        restarts, partial(pgd, threat=threat, objective=margin, steps=200), times=10
    )
    attacks["random search"] = partial(random_search, threat=threat)
    attacks["spsa"] = partial(spsa, threat=threat)
    return Suite(attacks, cascade=True)


def minimum_norm(threat: ThreatModel, *, image_shape: tuple[int, ...]) -> Suite:
    """The smallest perturbation in the threat's norm, by every attack that minimizes it: all budgets from one run."""
    threat = type(threat).unlimited(math.prod(image_shape))
    kinds: dict[str, tuple[Attack, ...]] = {
        "Linf": (deepfool, fmn, fab),
        "L2": (deepfool, ddn, fmn, fab, cw_l2),
        "L1": (fmn, fab, ead),
        "L0": (fmn, jsma),
    }
    attacks = {attack.__name__: partial(attack, threat=threat) for attack in kinds[threat.name]}
    if threat.name != "L0":
        attacks["fab-t"] = partial(every_target, partial(fab, threat=threat), smallest=threat)
    return Suite(attacks, threat=threat)


def transformations(threat: ThreatModel, *, image_shape: tuple[int, ...]) -> Suite:
    """No ball at all: rotation and noise as in the paper, the worst rotation and shift of a grid, common corruptions.

    The paper's are a random rotation of up to 30 degrees, edges repeated, and Gaussian noise of deviation 0.05. Gray
    images have no saturation to change: that corruption is for 3 channels.
    """
    threat = Linf(1.0)
    attacks = {
        "random rotation": partial(rotation, threat=threat, tries=1, padding="border"),
        "worst rotation of 31": partial(rotation, threat=threat, padding="border"),
        "worst rotation and shift of 775": partial(rotation_translation, threat=threat),
        "gaussian noise 0.05": partial(gaussian_noise, threat=threat, std=0.05),
    }
    kinds = [kind for kind in CORRUPTIONS if kind != "saturate" or image_shape[0] == 3]
    return Suite(attacks | {kind: partial(corrupt, threat=threat, kind=kind) for kind in kinds}, threat=threat)


SUITES: dict[str, Callable[..., Suite]] = {
    "quick": quick,
    "paper": paper,
    "paper_faithful": paper_faithful,
    "curve": curve,
    "adaptive": adaptive,
    "auto": auto,
    "auto_fast": auto_fast,
    "audit": audit,
    "auto_plus": auto_plus,
    "exhaustive": exhaustive,
}
UNLIMITED: dict[str, Callable[..., Suite]] = {"minimum_norm": minimum_norm, "transformations": transformations}


def make_suite(name: str, threat: ThreatModel, *, image_shape: tuple[int, ...]) -> Suite:
    """The attacks of a named suite under a threat, on images of shape (channels, height, width)."""
    one_of("suite", name, SUITES | UNLIMITED)
    if name in UNLIMITED:
        return UNLIMITED[name](threat, image_shape=image_shape)
    if threat.name == "L0":
        raise UserError(f"suite {name} has no attacks in L0: use minimum_norm, or another threat")
    return SUITES[name](threat)


def _pgd_under(names: Iterable[str], threat: ThreatModel, *, steps: int) -> dict[str, Attack]:
    return {
        f"pgd-{steps} {name}": partial(pgd, threat=threat, objective=OBJECTIVES[name], steps=steps) for name in names
    }


def _apgd_under(names: Iterable[str], threat: ThreatModel, *, steps: int) -> dict[str, Attack]:
    return {
        f"apgd-{steps} {name}": partial(apgd, threat=threat, objective=OBJECTIVES[name], steps=steps) for name in names
    }


def _longer_where_close(threat: ThreatModel, *, climbs: int, searches: int) -> dict[str, Attack]:
    """Long APGD toward near wrong classes, `climbs` times, and `searches` by long Square where an image is close.

    Square goes on from where APGD ended, on networks that mask gradients stronger than either alone; every image meets
    a short one.
    """

    def climb(objective: Objective, steps: int, **settings: int) -> Attack:
        return partial(apgd, threat=threat, objective=objective, steps=steps, **settings)

    def squares(steps: int, **settings: int) -> Attack:
        return partial(square, threat=threat, start=climb(cross_entropy, steps), area=0.05, ahead=4, **settings)

    targeted = partial(nearest_targets, climb(dlr, 100, restarts=climbs), scout=climb(dlr, 12), top=3)
    return {
        "apgd-100 dlr, 3 nearest targets, where close": partial(where_close, targeted, first=climb(margin, 20)),
        "apgd-40 cross_entropy, square-320, longer where close": partial(
            where_close, squares(100, queries=1000, restarts=searches), first=squares(40, queries=320)
        ),
    }


def _first_order(
    threat: ThreatModel,
    *,
    step_size: float,
    names: Iterable[str],
    targeted: Iterable[str] = ("pgd-10", "pgd-50"),
) -> dict[str, Attack]:
    """Attacks on cross-entropy by names such as fgsm and pgd-10; then those of `targeted` toward a random class."""

    def made(name: str) -> Attack:
        kind, _, steps = name.partition("-")
        if kind == "fgsm":
            return partial(fgsm, threat=threat)
        return partial({"bim": bim, "mim": mim, "pgd": pgd}[kind], threat=threat, steps=int(steps), step_size=step_size)

    plain = {name if name == "fgsm" else f"{name} cross_entropy": made(name) for name in names}
    return plain | {f"{name} cross_entropy targeted": partial(toward_random_class, made(name)) for name in targeted}
