import gzip

import numpy as np
import pytest

from max_mahalanobis.data.readers.idx import read_idx
from max_mahalanobis.errors import UserError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])
GOOD_IMAGES = gzip.compress(HEADER + IMAGES.tobytes())
GOOD_LABELS = gzip.compress(LABELS)


def pair(folder, images=GOOD_IMAGES, labels=GOOD_LABELS):
    (folder / "images.gz").write_bytes(images)
    (folder / "labels.gz").write_bytes(labels)
    return folder / "images.gz", folder / "labels.gz"


def test_pixels_and_labels_come_back_as_written(tmp_path):
    images, labels = read_idx(pair(tmp_path), 10)
    np.testing.assert_array_equal(images, IMAGES[:, None])
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [7, 9]


def test_unpacked_files_read_the_same(tmp_path):
    (tmp_path / "images").write_bytes(HEADER + IMAGES.tobytes())
    (tmp_path / "labels").write_bytes(LABELS)
    images, _ = read_idx((tmp_path / "images", tmp_path / "labels"), 10)
    np.testing.assert_array_equal(images, IMAGES[:, None])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (HEADER, GOOD_LABELS, "images.gz is not a gzip file.*fetch it again"),
        (GOOD_IMAGES[:-9], GOOD_LABELS, "images.gz is damaged or cut short"),
        (GOOD_LABELS, GOOD_LABELS, "images.gz begins with 00000801, not 00000803"),
        (gzip.compress(HEADER[:9]), GOOD_LABELS, "ends inside its header"),
        (gzip.compress(HEADER + b"x"), GOOD_LABELS, r"holds 1 bytes, its header says 24 \(2, 3, 4\)"),
        (
            GOOD_IMAGES,
            gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x05"),
            "2 images but 1 labels",
        ),
        (GOOD_IMAGES, gzip.compress(LABELS[:-1] + b"\x0a"), r"label 10 is outside 0\.\.9"),
        (gzip.compress(b"\0\0\x08\x03" + bytes(12)), gzip.compress(b"\0\0\x08\x01" + bytes(4)), "holds no images"),
    ],
    ids=["not gzip", "cut short", "magic", "header", "length", "pairing", "label", "empty"],
)
def test_damage_is_named_in_one_line(tmp_path, images, labels, message):
    with pytest.raises(UserError, match=message) as caught:
        read_idx(pair(tmp_path, images, labels), 10)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nothing.gz: No such file"):
        read_idx((tmp_path / "nothing.gz", tmp_path / "labels.gz"), 10)
