"""How far a counted number can be trusted."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Proportion(NamedTuple):
    """A share with its 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    count: int
    total: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def proportion(count: int, total: int) -> Proportion:
    """`count` of `total` with its Wilson score interval (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(confidence_level=0.95, method="wilson")
    return Proportion(count / total, float(interval.low), float(interval.high), count, total)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two paired outcomes differ, from the two counts of disagreement (McNemar 1947)."""
    from scipy.stats import binomtest

    disagreements = only_first + only_second
    return 1.0 if disagreements == 0 else float(binomtest(only_first, disagreements, 0.5).pvalue)


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed; infinity is a value like others."""
    rank = math.ceil(share * len(values) - 1e-9)  # 0.7 * 10 is a little more than 7
    return sorted(values)[max(1, rank) - 1]
