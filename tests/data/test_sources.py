import hashlib
import os

import numpy as np
import pytest
import torch
from miniatures import cifar10_files, idx_files, published_as, write
from PIL import Image

from max_mahalanobis.data import SOURCES, load_dataset
from max_mahalanobis.errors import UserError


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def mine(tmp_path):
    """A .npz of 20 training and 4 test images in two classes."""
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 4), dtype=np.uint8)
    y = np.arange(20) % 2
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    return str(tmp_path / "mine.npz")


def test_digits_are_bytes_of_three_disjoint_splits(digits):
    assert [len(split.labels) for split in (digits.train, digits.validation, digits.test)] == [1170, 130, 497]
    assert digits.image_shape == (1, 8, 8)
    assert digits.train.images.dtype == torch.uint8
    assert digits.published
    together = torch.cat([digits.train.index, digits.validation.index])
    assert torch.equal(together.sort().values, torch.arange(1300))


def test_the_seed_moves_validation_but_never_the_test_split(digits):
    other = load_dataset("digits", seed=1)
    assert not torch.equal(digits.validation.index, other.validation.index)
    assert equal(digits.test, other.test)
    assert equal(digits.validation, load_dataset("digits", seed=0).validation)


def test_index_is_the_position_in_the_published_split(mine):
    data = load_dataset(mine, validation=0.25)
    stored = np.load(mine)
    for split in (data.train, data.validation):
        np.testing.assert_array_equal(split.images[:, 0], stored["x_train"][split.index])
        np.testing.assert_array_equal(split.labels, stored["y_train"][split.index])
    assert data.test.index.tolist() == [0, 1, 2, 3]
    assert len(data.validation.labels) == 5


def test_at_least_one_image_is_set_apart(mine):
    assert len(load_dataset(mine, validation=0.001).validation.labels) == 1


@pytest.mark.parametrize(
    ("share", "message"), [(0.99, "leaves none to train on"), (0, "between 0 and 1"), (1.5, "1.5")]
)
def test_a_share_that_cannot_be_cut_is_refused(mine, share, message):
    with pytest.raises(UserError, match=message):
        load_dataset(mine, validation=share)


def test_an_npz_carries_its_hash_and_is_nobodys_publication(mine):
    data = load_dataset(mine)
    with open(mine, "rb") as file:
        assert data.hashes == {"mine.npz": hashlib.sha256(file.read()).hexdigest()}
    assert not data.published
    assert data.class_names == ("0", "1")


def test_a_folder_of_images_is_a_data_set(tmp_path):
    for name in ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "test/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    data = load_dataset(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert data.image_shape == (3, 4, 4)


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(UserError, match=r"unknown data set 'minst': choose from digits, mnist, .*\.npz"):
        load_dataset("minst")


def test_files_that_differ_from_the_published_are_read_and_said_once(tmp_path):
    write(tmp_path / "mnist", idx_files())
    said = []
    data = load_dataset("mnist", data_dir=tmp_path, say=said.append)
    assert not data.published
    assert len(said) == 1
    assert "not the published mnist" in said[0]
    assert set(data.hashes) == set(idx_files())


def test_a_data_folder_is_never_written_and_never_completed_from_the_cache(tmp_path, monkeypatch):
    files = idx_files()
    monkeypatch.setenv("MMC_CACHE", str(write(tmp_path / "cache" / "mnist", files).parent))
    monkeypatch.setitem(SOURCES, "mnist", published_as(SOURCES["mnist"], files, "http://127.0.0.1:9/"))
    assert load_dataset("mnist", download=False).published
    folder = write(tmp_path / "mine", {name: data for name, data in files.items() if "t10k" not in name})
    before = sorted(os.listdir(folder))
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte.gz is missing"):
        load_dataset("mnist", data_dir=folder)
    assert sorted(os.listdir(folder)) == before


def test_the_five_batches_of_cifar10_follow_each_other(tmp_path):
    files = cifar10_files(count=4)
    data = load_dataset("cifar10", data_dir=write(tmp_path, files), validation=0.01)
    position = data.train.index.tolist().index(13)  # the second image of the fourth batch
    expected = np.frombuffer(files["data_batch_4.bin"], np.uint8)[3073 + 1 : 2 * 3073]
    np.testing.assert_array_equal(data.train.images[position].flatten(), expected)
    assert data.train.labels[position] == 1
    assert data.class_names[1] == "automobile"


def test_images_can_be_written_to_without_touching_the_next_load(mine):
    load_dataset(mine).test.images.zero_()
    assert load_dataset(mine).test.images.any()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_published_files_are_known_as_such(real_data, name):
    data = load_dataset(name, data_dir=real_data, say=pytest.fail)
    assert data.published
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [54_000, 6_000, 10_000]
    assert data.test.labels.bincount().sum() == 10_000
