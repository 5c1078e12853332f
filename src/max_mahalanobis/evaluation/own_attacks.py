"""Attacks that somebody hands in: run under watch, left out where they break the rules."""

from collections.abc import Mapping

from ..errors import AttackCheated, UserError
from ..results import AttackResult
from ..threats import ThreatModel
from ..types import Attack, Model, Split
from .robustness import evaluate
from .suites import Suite


def try_own_attacks(
    model: Model,
    split: Split,
    attacks: Mapping[str, Attack],
    threat: ThreatModel,
    broken: dict[str, str],
    lost: dict[str, set[int]],
    settings: Mapping,
) -> list[AttackResult]:
    """A row for each attack that keeps the rules; why the others have none goes into `broken`."""
    rows = []
    fresh = {key: value for key, value in settings.items() if key != "journal"}
    for name, attack in attacks.items():
        try:
            rows += evaluate(model, split, threat=threat, suite=Suite({name: attack}), lost=lost, **fresh)
        except UserError:
            raise
        except Exception as error:  # whatever somebody's attack, or the model under it, may raise
            cheated = isinstance(error, AttackCheated)
            broken[name] = str(error) if cheated else f"{name}: {type(error).__name__}: {error}"
            lost.pop(name, None)
    return rows
