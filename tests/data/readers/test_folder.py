import numpy as np
import pytest
from PIL import Image

from max_mahalanobis.data.readers.folder import read_folder
from max_mahalanobis.errors import UserError

GREY = np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)


def save(path, pixels=GREY):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes, grey, three training images and one test image."""
    for name in ("train/cat/1.png", "train/cat/2.PNG", "train/ant/1.bmp", "test/cat/1.png"):
        save(tmp_path / name)
    return tmp_path


def test_grey_images_stay_grey_and_classes_are_sorted(root):
    train, test, class_names = read_folder(root)
    assert class_names == ("ant", "cat")
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [1]
    np.testing.assert_array_equal(train.images, np.broadcast_to(GREY, (3, 1, 5, 6)))


def test_one_colour_image_makes_all_of_them_rgb(root):
    colour = np.stack([GREY, GREY // 2, GREY // 3], axis=2)
    save(root / "test/cat/2.png", colour)
    train, test, _ = read_folder(root)
    np.testing.assert_array_equal(train.images[0], np.stack([GREY] * 3))
    np.testing.assert_array_equal(test.images[1], colour.transpose(2, 0, 1))


def test_hidden_files_are_passed_over(root):
    (root / "train/.DS_Store").write_bytes(b"x")
    (root / "train/cat/.DS_Store").write_bytes(b"x")
    assert len(read_folder(root)[0].labels) == 3


def damage_unreadable(root):
    (root / "train/cat/1.png").write_bytes(b"not a picture")


def damage_truncated(root):
    path = root / "train/cat/1.png"
    path.write_bytes(path.read_bytes()[:-30])


def damage_size(root):
    save(root / "train/cat/2.png", GREY[1:])


def damage_depth(root):
    save(root / "train/cat/2.png", GREY.astype(np.uint16) * 200)


def damage_stranger(root):
    save(root / "test/dog/1.png")


def damage_other_file(root):
    (root / "train/cat/notes.txt").write_text("x")


def damage_empty_class(root):
    (root / "train/bee").mkdir()


def damage_no_test_images(root):
    (root / "test/cat/1.png").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_unreadable, "train/cat/1.png cannot be read as an image"),
        (damage_truncated, "train/cat/1.png cannot be read as an image"),
        (damage_size, "2.png is 4x6, .* is 5x6"),
        (damage_depth, "2.png has mode I;16, more than 8 bits"),
        (damage_stranger, "test/dog has no training images: add .*train/dog"),
        (damage_other_file, "notes.txt is not an image"),
        (damage_empty_class, "train/bee holds no images"),
        (damage_no_test_images, "test holds no images"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(root, damage, message):
    damage(root)
    with pytest.raises(UserError, match=message) as caught:
        read_folder(root)
    assert "\n" not in str(caught.value)


def test_a_folder_without_test_images_says_where_to_put_them(tmp_path):
    save(tmp_path / "train/cat/1.png")
    save(tmp_path / "train/dog/1.png")
    with pytest.raises(UserError, match=r"has no folder 'test': put the images in .*/train/CLASS and .*/test/CLASS"):
        read_folder(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    save(tmp_path / "train/cat/1.png")
    with pytest.raises(UserError, match="has 1 class folder: a classifier needs at least 2"):
        read_folder(tmp_path)
