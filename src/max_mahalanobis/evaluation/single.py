"""One attack by its name and a few words, for users who want no suite."""

import inspect
from functools import partial

from ..attacks import ATTACKS, TARGETED_ONLY, every_target, find_objective
from ..errors import UserError, one_of
from ..threats import ThreatModel
from .suites import Suite


def single_attack(
    name: str,
    threat: ThreatModel,
    *,
    objective: str | None = None,
    steps: int | None = None,
    passes: int | None = None,
    aim_at_every_target: bool = False,
) -> Suite:
    """A suite of one: the attack of that name, with its own choice for whatever is not given.

    Raises:
        UserError: an unknown attack or objective, a setting the attack does not have, steps and passes together.
    """
    one_of("attack", name, ATTACKS)
    if steps is not None and passes is not None:
        raise UserError(f"steps {steps} and passes {passes} exclude each other: give one")
    settings = {"threat": threat}
    if objective is not None:
        settings["objective"] = find_objective(objective)
    if steps is not None:
        settings["steps"] = steps
    has = inspect.signature(ATTACKS[name]).parameters
    for setting in settings:
        if setting not in has:
            raise UserError(f"attack {name} has no {setting}: leave it out, or choose another attack")
    attack = partial(ATTACKS[name], **settings)
    aim_at_every_target |= objective in TARGETED_ONLY
    if passes is not None:
        attack = within_passes(attack, passes)
    count = attack.keywords.get("steps", has["steps"].default if "steps" in has else None)
    words = [name if count is None else f"{name}-{count}", *([objective] if objective else [])]
    if aim_at_every_target:
        return Suite({f"{' '.join(words)}, 9 targets": partial(every_target, attack)})
    return Suite({" ".join(words): attack})
