import numpy as np
import pytest

from max_mahalanobis.errors import UserError, at_least_one


@pytest.mark.parametrize("count", [2.5, 10.0, 1e2, "3", float("nan")])
def test_a_count_is_a_whole_number(count):
    with pytest.raises(UserError, match=f"^steps must be a whole number, got {count!r}$"):
        at_least_one(steps=count)


@pytest.mark.parametrize("count", [0, -1, np.int64(0)])
def test_a_count_is_at_least_one(count):
    with pytest.raises(UserError, match=f"^restarts must be at least 1, got {count}$"):
        at_least_one(steps=1, restarts=count)


def test_counts_of_numpy_and_counts_that_are_not_given_pass():
    assert at_least_one(steps=np.int32(3), tries=None) is None
