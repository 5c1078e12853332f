"""Named lists of attacks, as plain data."""

import inspect
from collections.abc import Callable
from functools import partial

from ..attacks import OBJECTIVES, cross_entropy, fgsm, mim, pgd, toward_random_class
from ..errors import one_of
from ..threats import ThreatModel
from ..types import Attack

Suite = dict[str, Attack]


def quick(threat: ThreatModel) -> Suite:
    """FGSM, and 20-step PGD under every objective: seconds on small networks."""
    return {"fgsm": partial(fgsm, threat=threat, objective=cross_entropy)} | _every_objective(threat, steps=20)


def paper(threat: ThreatModel) -> Suite:
    """The first-order attacks of the authors' code, with true labels, then every objective with 40 steps.

    Their PGD takes steps of 2/256 from a random start, a quarter of the smallest budget they report: here a quarter of
    any; for 10 and for 50 steps, untargeted and toward a random wrong class.
    """
    settings = {"threat": threat, "objective": cross_entropy, "step_size": threat.eps / 4}
    untargeted = {
        "fgsm": partial(fgsm, threat=threat, objective=cross_entropy),
        "mim-10 cross_entropy": partial(mim, steps=10, **settings),
        "pgd-10 cross_entropy": partial(pgd, steps=10, **settings),
        "pgd-50 cross_entropy": partial(pgd, steps=50, **settings),
    }
    targeted = {
        f"pgd-{steps} cross_entropy targeted": partial(toward_random_class, partial(pgd, steps=steps, **settings))
        for steps in (10, 50)
    }
    return untargeted | targeted | _every_objective(threat, steps=40)


def curve(threat: ThreatModel) -> Suite:
    """What a curve of accuracy against budget is drawn from: cross-entropy beside two adaptive objectives."""
    return _every_objective(threat, steps=20, names=("cross_entropy", "margin", "nearest_other"))


SUITES: dict[str, Callable[[ThreatModel], Suite]] = {"quick": quick, "paper": paper, "curve": curve}


def make_suite(name: str, threat: ThreatModel) -> Suite:
    """The attacks of a named suite under a threat."""
    one_of("suite", name, SUITES)
    return SUITES[name](threat)


def describe(attack: Attack) -> dict:
    """All settings of an attack as plain values: the function's name, its defaults, and what `partial` has bound."""
    if not isinstance(attack, partial):
        return {"attack": getattr(attack, "__name__", type(attack).__name__)}
    if attack.func is toward_random_class:
        return describe(attack.args[0]) | {"targeted": "one random wrong class"}
    parameters = inspect.signature(attack.func).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    settings = {key: _plain(value) for key, value in (defaults | attack.keywords).items()}
    for given_at_the_call in ("threat", "targets", "seeds"):
        settings.pop(given_at_the_call, None)
    return {"attack": attack.func.__name__} | settings


def _every_objective(threat: ThreatModel, *, steps: int, names: tuple[str, ...] = tuple(OBJECTIVES)) -> Suite:
    return {
        f"pgd-{steps} {name}": partial(pgd, threat=threat, objective=OBJECTIVES[name], steps=steps) for name in names
    }


def _plain(value):
    return value if isinstance(value, int | float | str | bool | None) else getattr(value, "__name__", repr(value))
