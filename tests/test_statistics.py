import math

import pytest

from max_mahalanobis.statistics import mcnemar, proportion


def test_the_interval_is_wilsons():
    """Wilson 1927 in closed form."""
    count, total, z = 81, 263, 1.959963984540054
    share = count / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    found = proportion(count, total)
    assert (found.value, found.count, found.total) == (share, count, total)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize("count", [0, 10])
def test_none_and_all_have_intervals_inside_zero_and_one(count):
    found = proportion(count, 10)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.2


def test_more_images_make_the_interval_narrower():
    narrow, wide = proportion(500, 1000), proportion(50, 100)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_proportion_prints_as_percent_with_its_interval():
    assert str(proportion(1, 2)) == "50.0 % [9.5, 90.5]"


def test_mcnemar_is_the_two_sided_binomial_test_of_the_disagreements():
    assert mcnemar(0, 5) == pytest.approx(2 * 0.5**5)
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(5, 1) == mcnemar(1, 5)


def test_models_that_never_disagree_do_not_differ():
    assert mcnemar(0, 0) == 1
    assert mcnemar(7, 7) == 1
