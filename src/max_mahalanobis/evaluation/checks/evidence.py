"""What checks read and what they say: plain records, no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...results import AttackResult
from ...statistics import Method


@dataclass(frozen=True)
class Evidence:
    """Everything an audit has recorded.

    `rows` are attacks within the threat on all images: the verdict's. `trials` are attacks that test the evaluation
    itself, by what they try, each on some images and some with other budgets. `facts` is what was measured of the model
    (see `probes`), `broken_rules` what attacks did that no threat model allows, `raised` errors of attacks, `crashes`
    where the model failed.
    """

    rows: Sequence[AttackResult]
    trials: Mapping[str, AttackResult] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    broken_rules: Mapping[str, str] = field(default_factory=dict)
    raised: Mapping[str, str] = field(default_factory=dict)
    crashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def interval(self) -> Method:
        """How intervals are made: right whenever one stops, where a rule stopped the evaluation before its end."""
        attacked, asked = self.facts.get("attacked", (0, 0))
        return "anytime" if attacked < asked else "wilson"

    def held(self, trial: str) -> tuple[int, int] | None:
        """Of the images a trial met, how many it left standing, and how many it met; None when it was not made."""
        row = self.trials.get(trial)
        if row is None or not any(row.attempted):
            return None
        tried = [fooled for fooled, tried in zip(row.fooled, row.attempted, strict=True) if tried]
        return len(tried) - sum(tried), len(tried)

    def only(self, first: str, second: str) -> tuple[int, int] | None:
        """How many images of both trials fall to the first and not to the second, and how many met both."""
        if first not in self.trials or second not in self.trials:
            return None
        one, other = (dict(_outcomes(self.trials[name])) for name in (first, second))
        both = one.keys() & other.keys()
        return (sum(one[image] and not other[image] for image in both), len(both)) if both else None


@dataclass(frozen=True)
class Finding:
    """Something about the evaluation that its reader must know.

    `doubt`: the true accuracy may be lower than the number; `note`: the number stands, and this explains it.
    """

    check: str
    weight: Literal["doubt", "note"]
    seen: str
    why: str
    remedy: str
    reference: str = ""


Check = Callable[[Evidence], Finding | None]

CARLINI = "Carlini et al. 2019, https://arxiv.org/abs/1902.06705"
ATHALYE = "Athalye et al. 2018, https://arxiv.org/abs/1802.00420"
PINTOR = "Pintor et al. 2022, https://arxiv.org/abs/2106.09947"
ZIMMERMANN = "Zimmermann et al. 2022, https://arxiv.org/abs/2206.13991"
CROCE = "Croce and Hein 2020, https://arxiv.org/abs/2003.01690"
TRAMER = "Tramer et al. 2020, https://arxiv.org/abs/2002.08347"


def share(count: int, total: int) -> str:
    """Count and total as people say it."""
    return f"{count} of {total} ({100 * count / total:.0f} %)"


def broke(row: AttackResult) -> list[bool]:
    """Per image: this attack itself fooled it, not one before it in a cascade."""
    return [fooled and tried for fooled, tried in zip(row.fooled, row.attempted, strict=True)]


def _outcomes(row: AttackResult) -> list[tuple[int, bool]]:
    rows = zip(row.index, row.fooled, row.attempted, strict=True)
    return [(image, fooled) for image, fooled, tried in rows if tried]
