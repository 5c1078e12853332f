"""A sentence, and the turns of phrase that several share."""

from collections.abc import Sequence
from typing import NamedTuple

from ...results import AttackResult
from ...statistics import Proportion
from ..conditions import Condition
from ..reading import RunRecord


class Sentence(NamedTuple):
    """Something true of the rows; `warns` when a number in them must not be believed."""

    text: str
    warns: bool = False


def where(run: RunRecord, condition: Condition) -> str:
    """What a finding is about: the run, the budget, the images, the suite."""
    return f"{run.name} ({condition.budget}, {condition.images}, suite {condition.suite})"


def attacks_in(rows: Sequence[AttackResult]) -> str:
    """How many attacks: 5 attacks, or the name of the only one."""
    attacks = {row.attack for row in rows}
    return f"{len(attacks)} attacks" if len(attacks) > 1 else f"one attack ({rows[0].attack})"


def percent(share: Proportion) -> str:
    """A share to a tenth of a percent."""
    return f"{100 * share.value:.1f} %"
