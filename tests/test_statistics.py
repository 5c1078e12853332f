import doctest
import math
import random

import numpy as np
import pytest
from scipy import stats

from max_mahalanobis import statistics
from max_mahalanobis.errors import UserError
from max_mahalanobis.statistics import (
    difference,
    difference_shown,
    images_needed,
    mcnemar,
    over_seeds,
    paired_difference,
    proportion,
    robustness,
)

METHODS = ("wilson", "clopper-pearson", "anytime")


def paired_tables(number):
    """Counts (both, only first, only second, neither), some of them 0."""
    draw = random.Random(0)
    sizes = (0, 3, 30, 300)
    return [(*(draw.randint(0, draw.choice(sizes)) for _ in range(3)), draw.randint(1, 100)) for _ in range(number)]


def test_the_interval_is_wilsons():
    """Wilson 1927 in closed form."""
    count, total, z = 81, 263, 1.959963984540054
    share = count / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    found = proportion(count, total)
    assert (found.value, found.count, found.total) == (share, count, total)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 10])
def test_none_and_all_have_intervals_inside_zero_and_one(count, method):
    found = proportion(count, 10, method)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.2


def test_clopper_pearson_of_none_and_all_is_a_power():
    assert proportion(0, 10, "clopper-pearson").high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert proportion(10, 10, "clopper-pearson").low == pytest.approx(0.025 ** (1 / 10))


def test_the_anytime_interval_of_none_is_a_power():
    assert proportion(0, 10, "anytime").high == pytest.approx(1 - (0.05 / 11) ** (1 / 10))


def test_more_images_make_the_interval_narrower():
    narrow, wide = proportion(500, 1000), proportion(50, 100)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_certain_interval_is_wider_and_one_for_all_times_the_widest():
    wilson, exact, anytime = (proportion(300, 1000, method) for method in METHODS)
    assert anytime.low < exact.low < wilson.low < wilson.high < exact.high < anytime.high


def test_a_proportion_prints_as_percent_with_its_interval():
    assert str(proportion(1, 2)) == "50.0 % [9.5, 90.5]"


def test_intervals_and_mcnemar_equal_scipys_on_100_random_tables():
    for both, first, second, neither in paired_tables(100):
        count, total = both + first, both + first + second + neither
        for method, name in (("wilson", "wilson"), ("clopper-pearson", "exact")):
            theirs = stats.binomtest(count, total).proportion_ci(0.95, method=name)
            ours = proportion(count, total, method)
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        tail = stats.binom.cdf(min(first, second), first + second, 0.5)
        assert mcnemar(first, second) == pytest.approx(min(1, 2 * tail))


def test_intervals_and_mcnemar_equal_statsmodels_on_100_random_tables():
    proportions = pytest.importorskip("statsmodels.stats.proportion")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for both, first, second, neither in paired_tables(100):
        count, total = both + first, both + first + second + neither
        for method, name in (("wilson", "wilson"), ("clopper-pearson", "beta")):
            ours = proportion(count, total, method)
            theirs = proportions.proportion_confint(count, total, method=name)
            assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-9)
        if first + second:  # there it divides 0 by 0
            theirs = tables.mcnemar([[both, first], [second, neither]], exact=True).pvalue
            assert mcnemar(first, second) == pytest.approx(theirs)


def ends(total, method):
    """The intervals of all counts, lows and highs; the upper half by symmetry."""
    found = [proportion(count, total, method) for count in range(total // 2 + 1)]
    lows, highs = np.array([p.low for p in found]), np.array([p.high for p in found])
    return np.concatenate([lows, 1 - highs[:-1][::-1]]), np.concatenate([highs, 1 - lows[:-1][::-1]])


@pytest.mark.parametrize("total", [100, 1000])
def test_clopper_pearson_covers_at_least_95_percent_whatever_the_share(total):
    """Exactly, by sums of binomials; the least coverage is just beyond an end of an interval."""
    lows, highs = ends(total, "clopper-pearson")
    shares = np.concatenate([np.linspace(0, 1, 10_001), lows - 1e-9, lows + 1e-9, highs - 1e-9, highs + 1e-9])
    shares = shares[(shares >= 0) & (shares <= 1)]
    first = np.searchsorted(highs, shares, side="left")  # the least count whose interval holds the share
    last = np.searchsorted(lows, shares, side="right") - 1
    covered = stats.binom.cdf(last, total, shares) - stats.binom.cdf(first - 1, total, shares)
    assert 0.95 <= covered.min() < 0.96


@pytest.mark.parametrize("total", [100, 1000])
def test_wilson_covers_95_percent_on_average(total):
    """Exactly: the integral of a binomial over the share is a beta distribution over (total + 1)."""
    lows, highs = ends(total, "wilson")
    counts = np.arange(total + 1)
    held = stats.beta.cdf(highs, counts + 1, total - counts + 1) - stats.beta.cdf(lows, counts + 1, total - counts + 1)
    assert 0.945 < held.mean() < 0.955


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_looking_after_every_image_the_anytime_interval_ever_errs_at_most_once_in_twenty(share):
    """Exactly: the probability of every count that has never excluded the share, image by image."""
    alive, looked = np.array([1.0]), 120
    once = np.array([1.0])  # the same for Clopper-Pearson, which is right for one look only
    for total in range(1, looked + 1):
        counts = np.arange(total + 1)
        alive, once = (np.append(p * (1 - share), 0) + np.append(0, p * share) for p in (alive, once))
        alive *= stats.binom.pmf(counts, total, share) >= 0.05 / (total + 1)
        tails = stats.binom.cdf(counts, total, share), stats.binom.sf(counts - 1, total, share)
        once *= np.minimum(*tails) > 0.025
    for count in range(0, looked + 1, 6):
        found = proportion(count, looked, "anytime")
        assert (found.low <= share <= found.high) == (stats.binom.pmf(count, looked, share) >= 0.05 / (looked + 1))
    assert alive.sum() > 0.95 > once.sum()


def test_mcnemar_is_the_two_sided_binomial_test_of_the_disagreements():
    assert mcnemar(0, 5) == pytest.approx(2 * 0.5**5)
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(5, 1) == mcnemar(1, 5)


def test_models_that_never_disagree_do_not_differ():
    assert mcnemar(0, 0) == 1
    assert mcnemar(7, 7) == 1


def test_the_paired_interval_is_the_published_one():
    """Newcombe 1998, table III, method 10."""
    found = difference(20, 12, 2, 16)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0562, 0.3292), abs=6e-5)


def test_without_disagreement_the_difference_is_zero_and_its_interval_is_not():
    found = difference(60, 0, 0, 40)
    assert found.value == 0
    assert -0.1 < found.low < 0 < found.high < 0.1
    assert found.p_value == 1


def test_models_swapped_turn_the_difference_around():
    for both, first, second, neither in paired_tables(50):
        ours, turned = difference(both, first, second, neither), difference(both, second, first, neither)
        assert (turned.value, turned.low, turned.high) == pytest.approx((-ours.value, -ours.high, -ours.low))
        assert -1 <= ours.low <= ours.value <= ours.high <= 1


def test_a_model_always_right_beside_one_always_wrong_differs_by_all():
    found = difference(0, 50, 0, 0)
    assert (found.value, found.high) == pytest.approx((1, 1))
    assert found.low > 0.85


def test_paired_interval_covers_about_95_percent():
    """Exactly, over all tables of 30 images."""
    total, hits = 30, np.zeros(3)
    cases = np.array([(0.6, 0.2, 0.1, 0.1), (0.8, 0.1, 0.05, 0.05), (0.3, 0.2, 0.2, 0.3)])
    tables = np.array([
        (a, b, c, total - a - b - c)
        for a in range(total + 1) for b in range(total + 1 - a) for c in range(total + 1 - a - b)
    ])  # fmt: skip
    chance = np.array([stats.multinomial.pmf(tables, total, case) for case in cases])
    marginal = [proportion(count, total) for count in range(total + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "proportion", lambda count, _: marginal[count])
        for k in np.flatnonzero(chance.max(0) > 1e-7):
            found = difference(*tables[k].tolist())
            hits += chance[:, k] * (
                (found.low <= cases[:, 1] - cases[:, 2]) & (cases[:, 1] - cases[:, 2] <= found.high)
            )
    assert (hits > 0.945).all()
    assert (hits < 0.98).all()


def test_outcomes_are_counted_image_by_image():
    first, second = [True, True, True, False, False], np.array([True, False, False, True, False])
    assert paired_difference(first, second) == difference(1, 2, 1, 1)
    assert str(difference(1, 2, 1, 1)).startswith("+20.0 points [-")


def test_several_seeds_have_students_interval():
    """Three shares by hand: mean 0.7, standard deviation 0.01, t of 2 degrees of freedom 4.3027."""
    found = over_seeds([0.69, 0.70, 0.71])
    assert (found.mean, found.spread, found.count) == pytest.approx((0.7, 0.01, 3))
    assert found.high - found.mean == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-5)
    theirs = stats.ttest_1samp([0.69, 0.70, 0.71], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_one_seed_has_no_spread_and_an_interval_that_says_nothing():
    found = over_seeds([0.7])
    assert (found.mean, found.low, found.high, found.spread) == (0.7, 0, 1, None)
    assert str(found) == "70.0 % from one seed: its spread is not known"


def test_seeds_say_what_their_spread_is_of():
    sentences = {str(over_seeds([0.5, 0.6], varied=varied)) for varied in ("training", "attack", "images")}
    assert len(sentences) == 3
    assert all(
        "[0.0, 100.0], the mean of 2 seeds; spread 7.1 points (standard deviation between" in s for s in sentences
    )


@pytest.mark.parametrize(("precision", "share"), [(0.01, 0.5), (0.02, 0.9), (0.03, 0.1), (0.01, 1.0), (0.05, 0.52)])
def test_the_images_needed_are_the_fewest(precision, share):
    def reach(total):
        """Wilson's interval of a share that need not be a count."""
        z = statistics.Z
        middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
        return max(share - middle + half, middle + half - share)

    needed = images_needed(precision, share)
    assert reach(needed) <= precision + 1e-12 < reach(needed - 1)


def test_accuracies_near_one_half_need_most_images():
    """An end of the interval is then at one half: Z^2 / (4 * 0.05^2) = 384.1."""
    needed = [images_needed(0.05, percent / 100) for percent in range(101)]
    assert max(needed) == needed[45] == needed[55] == 385
    assert needed[50] == 381
    assert min(needed) == needed[0] == needed[100] == 73


def test_one_point_takes_9600_images():
    """Z^2 / (4 * 0.01^2) - Z^2 = 9603.6 - 3.8."""
    assert images_needed(0.01) == 9600
    found = proportion(4800, 9600)
    assert found.high - 0.5 == pytest.approx(0.01, abs=1e-6)
    assert images_needed(0.49) == 1


def power(total, disagreement, gap):
    """How often McNemar's test favors the better model, summed over every pair of counts."""
    better, worse = (disagreement + gap) / 2, (disagreement - gap) / 2
    chance = 0.0
    for wins in range(total + 1):
        for losses in range(min(wins, total - wins) + 1):
            if mcnemar_by_sum(wins, losses) < 0.05:
                counts = (wins, losses, total - wins - losses)
                ways = math.factorial(total) / math.prod(math.factorial(count) for count in counts)
                chance += ways * better**wins * worse**losses * (1 - disagreement) ** counts[2]
    return chance


def mcnemar_by_sum(wins, losses):
    pairs = wins + losses
    return min(1.0, 2 * sum(math.comb(pairs, k) for k in range(losses + 1)) / 2**pairs)


@pytest.mark.parametrize(("total", "disagreement"), [(30, 0.5), (60, 0.3), (60, 1.0)])
def test_the_difference_shown_is_seen_four_times_in_five(total, disagreement):
    gap = difference_shown(total, disagreement)
    assert power(total, disagreement, gap) == pytest.approx(0.8, abs=1e-4)


def test_few_images_on_which_models_rarely_differ_show_nothing():
    assert difference_shown(5, 0.5) is None  # 6 wins in a row are the first with p < 0.05
    assert difference_shown(6, 1.0) == pytest.approx(2 * 0.8 ** (1 / 6) - 1, abs=1e-5)
    assert difference_shown(100, 0.05) is None


def test_more_images_show_smaller_differences():
    shown = [difference_shown(total, 0.1) for total in (100, 1000, 10_000)]
    assert shown == sorted(shown, reverse=True)
    z = statistics.Z + 0.8416212
    assert shown[2] == pytest.approx(z * math.sqrt(0.1 / 10_000), rel=0.02)  # the normal approximation


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (0, "broken"),
        (79, "broken"),
        (85, "weak"),
        (450, "weak"),
        (480, "undecided"),
        (510, "undecided"),
        (540, "robust"),
    ],
)
def test_a_verdict_is_what_the_interval_shows_beside_clean_accuracy(held, said):
    assert robustness(held, 1000, 0.99) == said


def test_thresholds_decide_the_verdict():
    assert robustness(450, 1000, 0.99, thresholds=(0.3, 0.1)) == "robust"
    assert robustness(450, 1000, 0.99, thresholds=(0.9, 0.6)) == "broken"


def test_nothing_right_when_clean_is_no_verdict():
    assert robustness(0, 1000, 0.0) == "undecided"


def test_the_sequential_verdict_comes_early():
    assert robustness(5, 100, 0.99, method="anytime") == "weak"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: proportion(0, 0), "0 of 0 is no share: give whole numbers, 0 <= count <= total, total at least 1"),
        (lambda: proportion(3, 2), "3 of 2 is no share"),
        (lambda: proportion(-1, 2), "-1 of 2 is no share"),
        (lambda: proportion(0.5, 2), "0.5 of 2 is no share"),
        (lambda: proportion(math.nan, 2), "nan of 2 is no share"),
        (lambda: proportion(1, 2, "wald"), "unknown interval 'wald': choose from wilson, clopper-pearson, anytime"),
        (lambda: difference(0, 0, 0, 0), "0 of 0 is no share"),
        (lambda: difference(-1, 5, 0, 5), "-1 of 9 is no share"),
        (lambda: paired_difference([True], [True, False]), "1 and 2 outcomes cannot be paired"),
        (lambda: paired_difference([], []), "0 of 0 is no share"),
        (lambda: over_seeds([]), "no seeds: a mean needs at least one share"),
        (lambda: over_seeds([0.5, 69.1]), "share 69.1 must lie in [0, 1]: 50 % is 0.5"),
        (lambda: over_seeds([0.5, math.nan]), "share nan must lie in [0, 1]"),
        (
            lambda: over_seeds([0.5], varied="luck"),
            "unknown cause of spread 'luck': choose from training, attack, images",
        ),
        (lambda: images_needed(0), "precision 0 must lie between 0 and 0.5: 0.01 is one point"),
        (lambda: images_needed(1), "precision 1 must lie between 0 and 0.5"),
        (lambda: images_needed(0.01, 50), "accuracy 50 must lie in [0, 1]: 50 % is 0.5"),
        (lambda: difference_shown(0, 0.1), "0 of 0 is no share"),
        (lambda: difference_shown(10, 0.0), "disagreement 0.0 must lie in (0, 1]"),
        (lambda: robustness(5, 10, 99), "clean accuracy 99 must lie in [0, 1]"),
        (lambda: robustness(5, 10, 0.9, thresholds=(0.1, 0.5)), "thresholds 0.1 and 0.5 must descend within [0, 1]"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, message):
    with pytest.raises(UserError) as refused:
        call()
    assert str(refused.value).startswith(message)


def test_the_examples_of_the_docstrings_are_right():
    tried = doctest.testmod(statistics)
    assert (tried.failed, tried.attempted > 5) == (0, True)
