"""How far a counted number can be trusted."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .errors import UserError, one_of

Z = 1.959963984540054  # a standard normal draw lies within +-Z with probability 0.95
LEVEL = 0.95  # of every interval; a difference is shown where its p-value is below 1 - LEVEL
POWER = 0.8  # how likely a test must be to show a difference that is there

Method = Literal["wilson", "clopper-pearson", "anytime"]
Robustness = Literal["robust", "weak", "broken", "undecided"]
Thresholds = tuple[float, float]
THRESHOLDS = (0.5, 0.1)  # shares of clean accuracy: robust above the first, broken below the second

VARIED = {  # what several seeds differ in, and what their spread is therefore of
    "training": "between trainings, all judged on the same images: other images are not in it",
    "attack": "between draws of the attack on one network and the same images: how it was trained is not in it",
    "images": "between draws of the images, for one network: how it was trained is not in it",
}


class Proportion(NamedTuple):
    """A share with its 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    count: int
    total: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


class Difference(NamedTuple):
    """How much larger the first of two shares of the same images is, with its 95 % interval, all in [-1, 1]."""

    value: float
    low: float
    high: float
    only_first: int
    only_second: int
    total: int

    @property
    def p_value(self) -> float:
        """Of the exact McNemar test; near 0.05 the interval may include 0 where the test does not, or the reverse."""
        return mcnemar(self.only_first, self.only_second)

    def __str__(self) -> str:
        value, low, high = (f"{100 * share:+.1f}" for share in self[:3])
        return f"{value} points [{low}, {high}], p = {self.p_value:.2g}"


class Seeds(NamedTuple):
    """Shares from several seeds: mean with 95 % t interval, spread (sample standard deviation; None for one seed)."""

    mean: float
    low: float
    high: float
    spread: float | None
    count: int
    varied: str

    def __str__(self) -> str:
        if self.spread is None:
            return f"{100 * self.mean:.1f} % from one seed: its spread is not known"
        mean, low, high, spread = (f"{100 * share:.1f}" for share in self[:4])
        spread = f"spread {spread} points (standard deviation {VARIED[self.varied]})"
        return f"{mean} % [{low}, {high}], the mean of {self.count} seeds; {spread}"


def proportion(count: int, total: int, method: Method = "wilson") -> Proportion:
    """`count` of `total` with a 95 % interval.

    Methods: "wilson", the score interval (Wilson 1927), right on average over shares; "clopper-pearson" (1934), never
    right less often than 95 %, therefore wider; "anytime", right for every total at once, so one may look after each
    image (Robbins 1970, the uniform mixture: shares under which `count` has probability >= 0.05 / (total + 1)).
    Raises UserError unless 0 <= count <= total are whole numbers with total >= 1, or for an unknown method.

    >>> print(proportion(691, 1000))
    69.1 % [66.2, 71.9]
    >>> print(proportion(691, 1000, "anytime"))
    69.1 % [63.8, 74.1]
    """
    _check_counts(count, total)
    one_of("interval", method, INTERVALS)
    low, high = INTERVALS[method](count, total)
    return Proportion(count / total, float(low), float(high), count, total)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two paired outcomes differ, from the two counts of disagreement (McNemar 1947)."""
    from scipy.stats import binomtest

    disagreements = only_first + only_second
    return 1.0 if disagreements == 0 else float(binomtest(only_first, disagreements, 0.5).pvalue)


def difference(both: int, only_first: int, only_second: int, neither: int) -> Difference:
    """Share of the first less share of the second, from the four counts of paired outcomes (UserError: no counts).

    The interval joins the two Wilson intervals by the correlation of the outcomes, corrected for continuity: method 10
    of Newcombe 1998, Statistics in Medicine 17:2635.

    >>> print(difference(36, 12, 2, 0))
    +20.0 points [+5.7, +34.0], p = 0.013
    """
    total = both + only_first + only_second + neither
    _check_counts(min(both, only_first, only_second, neither), total)
    first, second = proportion(both + only_first, total), proportion(both + only_second, total)
    together = _correlation(both, only_first, only_second, neither)
    below = _joined(first.value - first.low, second.high - second.value, together)
    above = _joined(first.high - first.value, second.value - second.low, together)
    value = (only_first - only_second) / total
    return Difference(value, value - below, value + above, only_first, only_second, total)


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> Difference:
    """`difference` of two lists, image by image (right or not); UserError if they differ in length, or are empty."""
    if len(first) != len(second):
        raise UserError(f"{len(first)} and {len(second)} outcomes cannot be paired: give both of the same images")
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return difference(*(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))))


def over_seeds(shares: Sequence[float], *, varied: str = "training") -> Seeds:
    """Mean of shares in [0, 1], one per seed, with Student's t interval (1908), cut to [0, 1].

    `varied` says what the seeds changed: training, attack or images. One seed has the interval [0, 1]. Raises UserError
    for no shares, one outside [0, 1], or an unknown `varied`.

    >>> print(over_seeds([0.69, 0.71, 0.70]))
    70.0 % [67.5, 72.5], the mean of 3 seeds; spread 1.0 points (standard deviation between trainings, all judged on \
the same images: other images are not in it)
    """
    from scipy.stats import t

    one_of("cause of spread", varied, VARIED)
    if not len(shares):
        raise UserError("no seeds: a mean needs at least one share")
    for share in shares:
        _check_share("share", share)
    count, mean = len(shares), math.fsum(shares) / len(shares)
    if count == 1:
        return Seeds(mean, 0.0, 1.0, None, 1, varied)
    spread = math.sqrt(math.fsum((share - mean) ** 2 for share in shares) / (count - 1))
    half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * spread / math.sqrt(count)
    return Seeds(mean, max(0.0, mean - half), min(1.0, mean + half), spread, count, varied)


def images_needed(precision: float, accuracy: float = 0.5) -> int:
    """Images for a Wilson interval that reaches at most `precision` to either side of a share of `accuracy`.

    Both are shares; accuracies near 1/2 need most. Wilson's ends e solve (accuracy - e)^2 = Z^2 e (1 - e) / images.
    Raises UserError for a precision not between 0 and 0.5, or an accuracy outside [0, 1].

    >>> images_needed(0.01), images_needed(0.01, accuracy=0.9)
    (9600, 3761)
    """
    _check_share("accuracy", accuracy)
    if not 0 < precision < 0.5:
        raise UserError(f"precision {precision} must lie between 0 and 0.5: 0.01 is one point")
    ends = (accuracy - precision, accuracy + precision)
    return max(1, *(math.ceil((Z / precision) ** 2 * end * (1 - end) - 1e-6) for end in ends))


def difference_shown(total: int, disagreement: float) -> float | None:
    """The least difference of accuracy that `total` paired images show (McNemar p < 0.05) four times in five.

    `disagreement` is the share of images on which exactly one of the two models is right: no difference is larger.
    Exact, from binomial sums, to 1e-6. None where even a difference that large is too small.
    Raises UserError for a total below 1, or a disagreement not in (0, 1].

    >>> round(difference_shown(1000, 0.1), 3)
    0.029
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.stats import binom

    _check_counts(0, total)
    if not 0 < disagreement <= 1:
        raise UserError(f"disagreement {disagreement} must lie in (0, 1]: models that always agree never differ")
    pairs = np.arange(*(binom.interval(1 - 1e-12, total, disagreement) + np.array([0, 1])))  # that disagree
    chance = binom.pmf(pairs, total, disagreement)
    rejects = binom.isf((1 - LEVEL) / 2, pairs, 0.5)  # more wins than that: their probability is at most 0.025

    def surplus(gap: float) -> float:
        return float(chance @ binom.sf(rejects, pairs, (1 + gap / disagreement) / 2)) - POWER

    return None if surplus(disagreement) < 0 else float(brentq(surplus, 0.0, disagreement, xtol=1e-6))


def robustness(
    held: int, total: int, clean_accuracy: float, *, thresholds: Thresholds = THRESHOLDS, method: Method = "wilson"
) -> Robustness:
    """What the 95 % interval of `held` of `total` images shows beside the clean accuracy, taken as measured.

    "robust": above half of it (the first threshold). "weak": below half of it. "broken": below a tenth of it (the
    second). "undecided": the interval holds half of it; so too where nothing is right when clean. Raises UserError for
    impossible counts, a clean accuracy outside [0, 1], thresholds that do not descend within [0, 1].
    """
    _check_share("clean accuracy", clean_accuracy)
    half, tenth = thresholds
    if not 0 <= tenth <= half <= 1:
        raise UserError(f"thresholds {half} and {tenth} must descend within [0, 1]: shares of clean accuracy")
    left = proportion(held, total, method)
    if left.low > half * clean_accuracy:
        return "robust"
    if left.high < tenth * clean_accuracy:
        return "broken"
    return "weak" if left.high < half * clean_accuracy else "undecided"


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed; infinity is a value like others."""
    rank = math.ceil(share * len(values) - 1e-9)  # 0.7 * 10 is a little more than 7
    return sorted(values)[max(1, rank) - 1]


def _wilson(count: int, total: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    return binomtest(count, total).proportion_ci(confidence_level=LEVEL, method="wilson")


def _clopper_pearson(count: int, total: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    rest, tail = total - count, (1 - LEVEL) / 2
    low = betaincinv(count, rest + 1, tail) if count else 0.0
    return low, betaincinv(count + 1, rest, 1 - tail) if rest else 1.0


def _anytime(count: int, total: int) -> tuple[float, float]:
    """The two shares at which the probability of `count` is 0.05 / (total + 1)."""
    from scipy.optimize import brentq
    from scipy.stats import binom

    def surplus(share: float) -> float:
        return binom.pmf(count, total, share) * (total + 1) / (1 - LEVEL) - 1

    low = brentq(surplus, 0.0, count / total) if count else 0.0
    return low, brentq(surplus, count / total, 1.0) if count < total else 1.0


INTERVALS = {"wilson": _wilson, "clopper-pearson": _clopper_pearson, "anytime": _anytime}


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Of paired outcomes (phi), a positive one drawn toward 0; 0 where one model is always right or always wrong."""
    sides = (both + only_first, only_second + neither, both + only_second, only_first + neither)
    excess = both * neither - only_first * only_second
    excess = min(excess, max(0.0, excess - sum(sides[:2]) / 2))
    return excess / math.sqrt(math.prod(sides)) if all(sides) else 0.0


def _joined(first: float, second: float, together: float) -> float:
    """Length of the difference of two deviations with this correlation."""
    return math.sqrt(max(0.0, first**2 - 2 * together * first * second + second**2))


def _check_counts(count: int, total: int) -> None:
    if count % 1 or total % 1 or total < 1 or not 0 <= count <= total:
        raise UserError(f"{count} of {total} is no share: give whole numbers, 0 <= count <= total, total at least 1")


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise UserError(f"{name} {share} must lie in [0, 1]: 50 % is 0.5")
