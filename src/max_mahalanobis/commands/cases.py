"""What `mmc evaluate` is asked to attack with: suites by name or one attack word by word, each with its budgets."""

import inspect
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .. import options
from ..errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from ..evaluation import Suite
    from ..runs import Run
    from ..threats import ThreatModel
    from ..types import Attack

_OF_ONE_ATTACK = ("objective", "steps", "passes", "samples", "delta", "kind", "severity")


def cases_of(asked: options.Evaluate, run: "Run") -> "list[tuple[str | Suite, ThreatModel]]":
    """Every suite (or the one attack described instead) with every budget; refused here, before hours of work."""
    from ..data import default_eps
    from ..evaluation import UNLIMITED, make_suite
    from ..threats import THREATS, make_threat

    _check(asked)
    image_shape = tuple(run.trained_on["image_shape"])
    budgets = asked.eps or ((default_eps(run.recipe.data, asked.threat),) if needs_budget(asked) else ())
    threats = [make_threat(asked.threat, eps) for eps in dict.fromkeys(budgets)]
    no_limit = THREATS[asked.threat].unlimited(math.prod(image_shape))
    if asked.attack is not None:
        held_to = threats if needs_budget(asked) else [no_limit]
        return [(_one_attack(asked, threat, run.trained_on["num_classes"]), threat) for threat in held_to]
    cases = [(s, threat) for threat in threats for s in _suites(asked) if s not in UNLIMITED]
    cases += [(s, threats[0] if threats else no_limit) for s in _suites(asked) if s in UNLIMITED]
    for suite, threat in [*cases, *(("curve", threat) for threat in threats if asked.curve)]:
        make_suite(suite, threat, image_shape=image_shape)
    return cases


def needs_budget(asked: options.Evaluate) -> bool:
    """Whether anything asked for is bound to a budget: transformations and the smallest perturbation are not."""
    from ..attacks import TRANSFORMATIONS
    from ..evaluation import UNLIMITED

    if asked.attack is not None:
        return asked.curve or asked.attack not in TRANSFORMATIONS
    return asked.curve or any(suite not in UNLIMITED for suite in _suites(asked))


def made_against(
    source: "nn.Module", name: str, suite: "str | Suite", threat: "ThreatModel", image_shape: tuple[int, ...]
) -> "Suite":
    """The suite with every attack made against another model, its name beside the attack's.

    Attacks at a fixed budget climb on where they fool: what barely fools the source seldom fools another model. What
    tries several times or targets in turn (`restarts`, `every_target`) ends with the first try that fools the source.
    """
    from ..attacks import transferred_from
    from ..evaluation import make_suite

    title = f"{suite if isinstance(suite, str) else suite.name} from {name}"
    suite = make_suite(suite, threat, image_shape=image_shape) if isinstance(suite, str) else suite
    attacks = {
        f"{attack} from {name}": partial(transferred_from, _bound(made, stop_when_fooled=False), source=source)
        for attack, made in suite.attacks.items()
    }
    return replace(suite, attacks=attacks, name=title)


def _suites(asked: options.Evaluate) -> list[str]:
    return list(dict.fromkeys(asked.suite or ("quick",)))


def _check(asked: options.Evaluate) -> None:
    from ..evaluation import UNLIMITED

    if asked.attack is not None and asked.suite:
        raise UserError(f"--attack {asked.attack} and --suite {asked.suite[0]} exclude each other: evaluate twice")
    if asked.curve and asked.work.source is not None:
        raise UserError("--curve is of attacks on the run itself: leave --curve or --source out")
    unlimited = [suite for suite in _suites(asked) if suite in UNLIMITED]
    if unlimited and asked.work.source is not None:
        raise UserError(f"--suite {unlimited[0]} climbs no budget, which --source needs: leave one of them out")
    given = [name for name in _OF_ONE_ATTACK if getattr(asked, name) is not None]
    given += ["every-target"] * asked.every_target
    if asked.attack is None and given:
        raise UserError(f"--{given[0]} belongs to one attack: name it with --attack, for example --attack apgd")


def _one_attack(asked: options.Evaluate, threat: "ThreatModel", num_classes: int) -> "Suite":
    from ..evaluation import single_attack

    given = {name: getattr(asked, name) for name in _OF_ONE_ATTACK}
    given = {name: value for name, value in given.items() if value is not None}
    return single_attack(asked.attack, threat, aim_at_every_target=asked.every_target, num_classes=num_classes, **given)


def _bound(attack: "Attack", **settings: object) -> "Attack":
    """The attack with these settings wherever it, or a part that `partial` has bound in it, has them."""
    if not isinstance(attack, partial):
        return attack
    has = inspect.signature(attack.func).parameters
    parts = [_bound(part, **settings) for part in attack.args]
    bound = {name: _bound(value, **settings) for name, value in attack.keywords.items()}
    return partial(attack.func, *parts, **bound | {name: value for name, value in settings.items() if name in has})
