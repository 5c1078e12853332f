import numpy as np
from sklearn.datasets import load_digits

from max_mahalanobis.data.hashes import arrays_hash
from max_mahalanobis.data.readers import read_digits


def test_the_split_is_the_same_on_every_machine():
    train, test = read_digits()
    assert arrays_hash(train)[:12] == "1d154b8d40c5"
    assert arrays_hash(test)[:12] == "134af1684bc3"


def test_every_digit_is_in_exactly_one_split():
    both = np.concatenate([split.images for split in read_digits()])[:, 0]
    stored = load_digits().images
    assert both.shape == (1797, 8, 8)
    assert (both.min(), both.max()) == (0, 255)
    np.testing.assert_array_equal(np.sort(np.round(both / 255 * 16), axis=None), np.sort(stored, axis=None))
