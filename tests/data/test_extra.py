from itertools import chain

import numpy as np
import pytest
import torch

from max_mahalanobis.data import batches, join, load_extra
from max_mahalanobis.draws import derive
from max_mahalanobis.errors import UserError

X = np.random.default_rng(0).integers(0, 17, (6, 8, 8), dtype=np.uint8)
Y = np.array([0, 9, 3, 3, 1, 0])


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("x", "y"), ("image", "label"), ("images", "labels")])
def test_arrays_are_found_by_their_usual_names(tmp_path, digits, names):
    np.savez(tmp_path / "more.npz", **dict(zip(names, (X, Y.astype(np.uint8)), strict=True)))
    extra = load_extra(tmp_path / "more.npz", digits)
    assert torch.equal(extra.images[:, 0], torch.from_numpy(X))
    assert extra.labels.tolist() == Y.tolist()
    assert extra.labels.dtype == torch.int64


def test_extra_images_share_no_index_with_any_published_set(tmp_path, digits):
    np.savez(tmp_path / "more.npz", x=X, y=Y)
    assert load_extra(tmp_path / "more.npz", digits).index.tolist() == [2**40 + i for i in range(6)]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X[:, :7], "y": Y}, r"has images of 1 x 7 x 8, digits of 1 x 8 x 8 \(channels, height, width\): bring"),
        ({"x": np.stack([X] * 3, 3), "y": Y}, "has images of 3 x 8 x 8, digits of 1 x 8 x 8"),
        ({"x": X / 17, "y": Y}, "has float32 images, digits uint8: store them as uint8"),
        ({"x": X, "y": Y + 5}, r"label 14 is outside 0..9: number the classes"),
        ({"x": X, "y": Y - 1}, r"label -1 is outside 0..9"),
        ({"x": X, "y": Y[:5]}, "6 images but 5 labels"),
        ({"pictures": X, "y": Y}, "has arrays pictures, y: it needs x_train, y_train"),
    ],
)
def test_images_that_do_not_go_with_the_data_set_are_refused_in_one_line(tmp_path, digits, arrays, words):
    np.savez(tmp_path / "more.npz", **arrays)
    with pytest.raises(UserError, match=words) as caught:
        load_extra(tmp_path / "more.npz", digits)
    assert "more.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_one_of_objects_are_refused(tmp_path, digits):
    with pytest.raises(UserError, match=r"more.npz does not exist: check the path"):
        load_extra(tmp_path / "more.npz", digits)
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object), y=Y)
    with pytest.raises(UserError, match=r"objects.npz cannot be read"):
        load_extra(tmp_path / "objects.npz", digits)


def test_joined_rows_are_those_of_the_first_split_then_of_the_second(tmp_path, digits):
    np.savez(tmp_path / "more.npz", x=X, y=Y)
    extra = load_extra(tmp_path / "more.npz", digits)
    both, count = join(digits.train, extra), len(digits.train.labels)
    for joined, first, second in zip(both, digits.train, extra, strict=True):
        assert torch.equal(joined[:count], first)
        assert torch.equal(joined[count:], second)


def test_without_extra_images_the_order_is_that_of_older_runs():
    order = torch.randperm(103, generator=torch.Generator().manual_seed(int(derive(7, 2, -1))))
    dealt = batches(103, batch_size=20, seed=7, epoch=2)
    assert [part.tolist() for part in dealt] == [part.tolist() for part in order.split(20)]


def epochs(count: int, *, extra: int = 37, share: float = 0.3, seed: int = 0) -> list[list[torch.Tensor]]:
    settings = {"batch_size": 10, "extra_share": share, "seed": seed}
    return [batches(23, extra, epoch=epoch, **settings) for epoch in range(count)]


@pytest.mark.parametrize(("share", "in_batch"), [(0.3, 3), (0.5, 5), (0.84, 8)])
def test_own_images_come_once_an_epoch_and_every_batch_has_its_share_of_extra_ones(share, in_batch):
    for dealt in epochs(3, share=share):
        own = torch.cat([rows[rows < 23] for rows in dealt])
        assert sorted(own.tolist()) == list(range(23))
        assert [int((rows >= 23).sum()) for rows in dealt] == [in_batch] * len(dealt)
        assert all(len(rows) == 10 for rows in dealt[:-1])
        assert max(int(rows.max()) for rows in dealt) < 23 + 37


@pytest.mark.parametrize("extra", [1, 5, 12, 37, 1000])
def test_no_extra_image_comes_again_before_all_others_came(extra):
    row = torch.cat([rows[rows >= 23] for dealt in epochs(10, extra=extra) for rows in dealt]) - 23
    assert len(row) == 10 * 4 * 3
    counts = torch.bincount(row, minlength=extra)
    assert counts.max() - counts.min() <= 1


def test_the_deal_depends_on_seed_and_epoch_alone():
    first, again, other = epochs(2), epochs(2), epochs(2, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(chain(*first), chain(*again), strict=True))
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][0], other[0][0])


def test_own_and_extra_images_are_shuffled_within_a_batch():
    kinds = torch.stack([rows >= 23 for dealt in epochs(100) for rows in dealt[:-1]])
    assert 0.2 < kinds.float().mean(dim=0).min() <= kinds.float().mean(dim=0).max() < 0.4


@pytest.mark.parametrize(("share", "count"), [(0.04, 0), (0.96, 10)])
def test_batches_without_one_of_the_kinds_are_refused(share, count):
    with pytest.raises(UserError, match=f"extra_share {share} of a batch of 10 is {count}: choose another, or larger"):
        epochs(1, share=share)
