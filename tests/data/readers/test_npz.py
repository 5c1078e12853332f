import numpy as np
import pytest

from max_mahalanobis.data.readers.npz import read_npz, read_test_images
from max_mahalanobis.errors import UserError

X = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
Y = np.array([0, 1, 2, 1])


def saved(folder, **changes):
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:2], "y_test": Y[:2]} | changes
    np.savez(folder / "mine.npz", **{key: value for key, value in arrays.items() if value is not None})
    return folder / "mine.npz"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (X, X[:, None]),
        (X[..., None], X[:, None]),
        (X[:, None], X[:, None]),
        (np.stack([X, X, 255 - X], axis=3), np.stack([X, X, 255 - X], axis=1)),
        (np.stack([X, X, 255 - X], axis=1), np.stack([X, X, 255 - X], axis=1)),
    ],
    ids=["NHW", "NHW1", "N1HW", "NHW3", "N3HW"],
)
def test_channels_come_first_however_stored(tmp_path, stored, expected):
    train, test, num_classes = read_npz(saved(tmp_path, x_train=stored, x_test=stored[:2]))
    np.testing.assert_array_equal(train.images, expected)
    np.testing.assert_array_equal(test.images, expected[:2])
    assert num_classes == 3
    assert train.labels.dtype == np.int64


def test_the_second_set_of_names_is_taken(tmp_path):
    np.savez(tmp_path / "a.npz", images=X, labels=Y, test_images=X, test_labels=Y)
    assert read_npz(tmp_path / "a.npz")[1].labels.tolist() == Y.tolist()


def test_floats_in_the_unit_interval_stay_floats(tmp_path):
    train, _, _ = read_npz(saved(tmp_path, x_train=X / 255, x_test=X[:2] / 255))
    assert train.images.dtype == np.float32
    np.testing.assert_allclose(train.images[:, 0], X / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "has arrays x_train, y_train, x_test: it needs x_train, y_train, x_test, y_test"),
        ({"x_train": X.astype("int64")}, "x_train is int64: store uint8"),
        ({"x_train": X.astype("float32")}, r"x_train lies in \[\d+, 2\d\d\]: bring it to \[0, 1\]"),
        ({"x_train": np.full(X.shape, np.nan)}, "x_train holds NaN or infinity"),
        ({"x_train": -(X / 255)}, r"x_train lies in \[-"),
        ({"x_train": X.reshape(4, 30)}, r"x_train has shape \(4, 30\)"),
        ({"x_train": np.stack([X] * 4, axis=3)}, r"x_train has shape \(4, 5, 6, 4\)"),
        ({"x_train": np.zeros((4, 3, 5, 3), np.uint8)}, "either axis could be the channels"),
        ({"x_train": X[:3]}, "3 images but 4 labels"),
        ({"x_test": X[:2, 1:]}, r"training images are \(1, 5, 6\), test images \(1, 4, 6\)"),
        ({"x_test": X[:2] / 255}, "training images are uint8, test images float32"),
        ({"x_test": X[:0], "y_test": Y[:0]}, "x_test, y_test: holds no images"),
        ({"y_train": Y / 1}, "y_train is float64: labels are integers"),
        ({"y_train": Y[:, None]}, r"y_train has shape \(4, 1\)"),
        ({"y_train": Y - 1}, "y_train holds label -1: number the classes from 0"),
        ({"y_train": Y * 2}, "labels up to 4 but none is 1"),
        ({"y_train": Y * 0, "y_test": Y[:2] * 0}, "one class only"),
        ({"y_test": np.array([0, 3])}, r"y_test: label 3 is outside 0\.\.2"),
        ({"x_train": np.array([{}, 1, 2, 3], dtype=object)}, "cannot be read .*allow_pickle=False"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        read_npz(saved(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert "mine.npz" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04broken", b"hello"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"a.npz cannot be read .*numpy.savez"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("names", [("x_test", "y_test"), ("x", "y"), ("images", "labels")])
def test_images_to_judge_a_model_by_go_by_several_names(tmp_path, names):
    x, y = np.random.default_rng(0).random((6, 5, 5), np.float32), np.arange(6) % 2
    np.savez(tmp_path / "some.npz", **dict(zip(names, (x, y), strict=True)))
    images, labels = read_test_images(tmp_path / "some.npz")
    assert images.shape == (6, 1, 5, 5)
    assert labels.tolist() == y.tolist()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone.npz does not exist"):
        read_npz(tmp_path / "gone.npz")
