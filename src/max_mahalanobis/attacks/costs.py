"""What an attack asks of a model at most, known before it runs."""

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial

from ..errors import UserError
from ..threats import L1, ThreatModel
from ..types import Attack
from . import compose, tries
from .auto_pgd import apgd
from .corruptions import corrupt
from .gradient import bim, fgsm, mim, pgd
from .gradient_free.noise import gaussian_noise, random_search, uniform_noise
from .gradient_free.spsa import spsa
from .gradient_free.square import square
from .minimum_norm.carlini_wagner import cw_l2
from .minimum_norm.ddn import ddn
from .minimum_norm.deep_fool import deepfool
from .minimum_norm.elastic_net import ead
from .minimum_norm.fab import fab
from .minimum_norm.fmn import fmn
from .minimum_norm.saliency_map import jsma
from .transformations import rotation, rotation_translation

LENGTHS = ("steps", "queries", "draws")  # the setting that makes an attack longer: each has one of them, or none


def most_passes(attack: Attack, *, num_classes: int = 10) -> int:
    """Forwards and backwards per image that `attack`, with what `partial` has bound, may take; looks included.

    An image that no attack fools costs as much, of fixed budgets exactly: of `fab`, `fmn`, `ddn` and all in
    `GRADIENT` and `GRADIENT_FREE` (in L1, `apgd` of fewer than 4 steps comes out 1 or 2 below). `jsma`, `deepfool`,
    `cw_l2` and `ead` often end sooner. Passes of `transferred_from` are those of the source.

    Args:
        num_classes: attacks that weigh up all wrong classes, untargeted `fab` and `deepfool`, cost more with more.

    Raises:
        UserError: the cost cannot be known before: of `lbfgs`, of functions from elsewhere, of `jsma` without threat.
    """
    return _most(attack, num_classes - 1)


def within_passes(attack: Attack, passes: int, *, num_classes: int = 10) -> Attack:
    """`attack` with the most steps (or queries, or draws) whose `most_passes` do not exceed `passes`.

    Of a composition of one attack, such as every_target, it is that attack which is made longer or shorter.

    Raises:
        UserError: `passes` do not pay for 1 step, the attack has no such setting, or its cost cannot be known.
    """
    one, two = (most_passes(_of_length(attack, length), num_classes=num_classes) for length in (1, 2))
    if one > passes:
        raise UserError(f"{passes} passes are too few: with 1 of its {length_of(attack)[0]} the attack costs {one}")
    return _of_length(attack, 1 + (passes - one) // (two - one))  # each further step costs the same


def length_of(attack: Attack) -> tuple[str, int]:
    """The setting that makes an attack longer, and its value: ("steps", 100).

    Raises:
        UserError: the attack has none.
    """
    if isinstance(attack, partial) and attack.args and not isinstance(attack.args[0], Sequence):
        return length_of(attack.args[0])
    function, settings = _taken_apart(attack)
    for name in LENGTHS:
        if name in settings:
            return name, settings[name]
    raise UserError(f"attack {_name(function)} has no steps, queries or draws: its cost cannot be chosen")


def _of_length(attack: Attack, length: int) -> Attack:
    if isinstance(attack, partial) and attack.args and not isinstance(attack.args[0], Sequence):
        return partial(attack.func, _of_length(attack.args[0], length), *attack.args[1:], **attack.keywords)
    return partial(attack, **{length_of(attack)[0]: length})


def _most(attack: Attack, rivals: int) -> int:
    """`rivals`: how many classes an attack may choose from, 1 when it is given a target."""
    function, settings = _taken_apart(attack)
    if function not in _COSTS:
        raise UserError(f"the cost of {_name(function)} cannot be known before it runs: give steps instead of passes")
    return _COSTS[function](rivals, **settings)


def _taken_apart(attack: Attack) -> tuple[Callable, dict]:
    """The function below all `partial`s, and its settings: those bound and its defaults."""
    function, args, keywords = attack, (), {}
    if isinstance(attack, partial):
        function, args, keywords = attack.func, attack.args, attack.keywords
    bound = inspect.signature(function).bind_partial(*args, **keywords)
    bound.apply_defaults()
    return function, bound.arguments


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)


# One function per attack: (rivals, settings) -> passes. Two a step where it follows a gradient, and a look at the
# clean image where images leave once fooled.


def _fgsm(rivals: int, **_) -> int:
    return 2


def _steps(rivals: int, *, steps: int, **_) -> int:
    return 2 * steps


def _pgd(rivals: int, *, steps: int, restarts: int, **_) -> int:
    return restarts * (2 * steps + 1) - 1


def _apgd(
    rivals: int,
    *,
    steps: int,
    restarts: int,
    larger_radii: bool | None,
    stop_when_fooled: bool,
    threat: ThreatModel | None = None,
    **_,
) -> int:
    shrinks = (threat is None or isinstance(threat, L1)) if larger_radii is None else larger_radii
    return stop_when_fooled + restarts * (2 * steps + (3 if shrinks else 1))


def _deepfool(rivals: int, *, steps: int, candidates: int, **_) -> int:
    return 1 + steps * (2 + min(candidates - 1, rivals))


def _fab(rivals: int, *, steps: int, restarts: int, **_) -> int:
    return 1 + restarts * (steps * (2 + rivals) + 5)


def _search(rivals: int, *, steps: int, search_steps: int, **_) -> int:
    return 1 + 2 * search_steps * steps


def _jsma(rivals: int, *, theta: float | int, threat: ThreatModel | None = None, **_) -> int:
    if threat is None:
        raise UserError("the cost of jsma depends on its threat: bind one")
    return 1 + 3 * (1 + int(threat.eps * math.ceil(1 / theta) / 2))


def _square(rivals: int, *, queries: int, restarts: int, start: Attack | None, stop_when_fooled: bool, **_) -> int:
    return stop_when_fooled + restarts * (queries + (0 if start is None else _most(start, rivals)))


def _spsa(rivals: int, *, steps: int, samples: int, stop_when_fooled: bool, **_) -> int:
    return steps * (2 * samples + stop_when_fooled)


def _random_search(rivals: int, *, queries: int, stop_when_fooled: bool, **_) -> int:
    return stop_when_fooled + queries


def _noise(rivals: int, *, draws: int, stop_when_fooled: bool, **_) -> int:
    return stop_when_fooled + draws


def _rotation(rivals: int, *, angles: int, tries: int | None, stop_when_fooled: bool, shifts: int = 1, **_) -> int:
    return stop_when_fooled + (shifts**2 * angles if tries is None else tries)


def _corrupt(rivals: int, *, stop_when_fooled: bool, **_) -> int:
    return int(stop_when_fooled)


def _every_target(rivals: int, *, attack: Attack, top: int | None, **_) -> int:
    return 1 + min(rivals if top is None else top, rivals) * (_most(attack, 1) + 1)


def _nearest_targets(rivals: int, *, attack: Attack, scout: Attack, scouted: int | None, top: int, **_) -> int:
    scouts = rivals if scouted is None else min(scouted, rivals)
    return 2 + scouts * (_most(scout, 1) + 1) + min(top, scouts) * (_most(attack, 1) + 1)


def _where_close(rivals: int, *, attack: Attack, first: Attack, **_) -> int:
    return _most(first, rivals) + 2 + _most(attack, rivals)


def _restarts(rivals: int, *, attack: Attack, times: int, **_) -> int:
    return times * (_most(attack, rivals) + 1)


def _toward_random_class(rivals: int, *, attack: Attack, **_) -> int:
    return 1 + _most(attack, 1)


def _cascade(rivals: int, *, attacks: Sequence[Attack], **_) -> int:
    return sum(_most(attack, rivals) + 1 for attack in attacks) - 1


def _strongest_of(rivals: int, *, attacks: Sequence[Attack], **_) -> int:
    return sum(_most(attack, rivals) + 1 for attack in attacks)


def _transferred_from(rivals: int, *, attack: Attack, **_) -> int:
    return _most(attack, rivals)


_COSTS: dict[Attack, Callable[..., int]] = {
    fgsm: _fgsm,
    bim: _steps,
    pgd: _pgd,
    mim: _steps,
    apgd: _apgd,
    deepfool: _deepfool,
    fab: _fab,
    fmn: _steps,
    ddn: _steps,
    cw_l2: _search,
    ead: _search,
    jsma: _jsma,
    square: _square,
    spsa: _spsa,
    random_search: _random_search,
    uniform_noise: _noise,
    gaussian_noise: _noise,
    rotation: _rotation,
    rotation_translation: _rotation,
    corrupt: _corrupt,
    tries.every_target: _every_target,
    tries.nearest_targets: _nearest_targets,
    compose.where_close: _where_close,
    tries.restarts: _restarts,
    tries.toward_random_class: _toward_random_class,
    compose.cascade: _cascade,
    compose.strongest_of: _strongest_of,
    compose.transferred_from: _transferred_from,
}
