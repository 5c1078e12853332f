"""One attack by its name and a few words, for users who want no suite."""

import inspect
from functools import partial

from ..attacks import (
    ATTACKS,
    MINIMUM_NORM,
    TARGETED_ONLY,
    TRANSFORMATIONS,
    UNTARGETED_ONLY,
    every_target,
    find_objective,
    length_of,
    within_passes,
)
from ..attacks.costs import LENGTHS
from ..errors import UserError, one_of
from ..threats import Linf, ThreatModel
from .suites import Suite


def single_attack(
    name: str,
    threat: ThreatModel,
    *,
    objective: str | None = None,
    steps: int | None = None,
    passes: int | None = None,
    aim_at_every_target: bool = False,
    num_classes: int = 10,
    **own: object,
) -> Suite:
    """A suite of one: the attack of that name, with its own choice for whatever is not given.

    Objectives that need a target aim at the 9 likeliest wrong classes, asked for or not. Transformations are held to no
    budget.

    Args:
        passes: the attack gets as many steps (queries, draws) as these pay for, per image and all targets together.
        num_classes: decides what some attacks cost, and nothing else.
        own: settings that only this attack has, for example samples=8192 of spsa; they stand in its name.

    Raises:
        UserError: an unknown attack or objective, a setting the attack does not have, steps and passes together,
            passes that pay for nothing.
    """
    one_of("attack", name, ATTACKS)
    if steps is not None and passes is not None:
        raise UserError(f"steps {steps} and passes {passes} exclude each other: give one")
    aim_at_every_target |= objective in TARGETED_ONLY
    if aim_at_every_target and objective in UNTARGETED_ONLY:
        raise UserError(f"objective {objective} is untargeted: it cannot aim at every target")
    if name in TRANSFORMATIONS:
        threat = Linf(1.0)  # they leave every small ball
    settings: dict[str, object] = {"threat": threat, **own}
    if objective is not None:
        settings["objective"] = find_objective(objective)
    if steps is not None:
        settings["steps"] = steps
    has = inspect.signature(ATTACKS[name]).parameters
    for setting in settings:
        if setting not in has:
            raise UserError(f"attack {name} has no {setting}: leave it out, or choose another attack")
    attack = partial(ATTACKS[name], **settings)
    if aim_at_every_target:
        attack = partial(every_target, attack, smallest=threat if name in MINIMUM_NORM else None)
    if passes is not None:
        attack = within_passes(attack, passes, num_classes=num_classes)
    length = f"-{length_of(attack)[1]}" if any(setting in has for setting in LENGTHS) else ""
    words = f"{name}{length}" if objective is None else f"{name}{length} {objective}"
    count = min(9, num_classes - 1)
    name = f"{words}, {count} target{'s' if count > 1 else ''}" if aim_at_every_target else words
    name += "".join(f", {setting} {value}" for setting, value in own.items())
    return Suite({name: attack}, threat=threat)
