import numpy as np
import pytest

from max_mahalanobis.data.readers.cifar_binary import read_cifar10_binary, read_cifar100_binary
from max_mahalanobis.errors import UserError


def records(*labels):
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return np.concatenate([np.array(labels, dtype=np.uint8), pixels], axis=1), pixels


def test_batches_follow_each_other_in_the_order_given(tmp_path):
    batch, pixels = records([3], [9])
    (tmp_path / "a.bin").write_bytes(batch[:1].tobytes())
    (tmp_path / "b.bin").write_bytes(batch[1:].tobytes())
    images, labels = read_cifar10_binary([tmp_path / "a.bin", tmp_path / "b.bin"], 10)
    np.testing.assert_array_equal(images, pixels.reshape(2, 3, 32, 32))
    assert labels.tolist() == [3, 9]


def test_the_second_label_byte_of_cifar100_is_the_label(tmp_path):
    batch, _ = records([19, 99], [0, 1])
    (tmp_path / "train.bin").write_bytes(batch.tobytes())
    assert read_cifar100_binary([tmp_path / "train.bin"], 100).labels.tolist() == [99, 1]


@pytest.mark.parametrize("data", [b"", bytes(3072), bytes(3074)])
def test_a_file_that_is_not_whole_records_is_refused(tmp_path, data):
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(UserError, match=f"x.bin has {len(data)} bytes, not a multiple of the record's 3073"):
        read_cifar10_binary([tmp_path / "x.bin"], 10)


def test_a_label_out_of_range_names_its_file(tmp_path):
    batch, _ = records([10])
    (tmp_path / "x.bin").write_bytes(batch.tobytes())
    with pytest.raises(UserError, match=r"x.bin: label 10 is outside 0\.\.9"):
        read_cifar10_binary([tmp_path / "x.bin"], 10)
