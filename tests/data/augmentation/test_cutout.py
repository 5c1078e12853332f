import pytest
import torch

from max_mahalanobis.data.augmentation import cutout
from max_mahalanobis.data.augmentation.cutout import rectangles
from max_mahalanobis.errors import UserError

SEEDS = torch.arange(3000)


def black_of(side: int, shape=(2, 7, 9)) -> torch.Tensor:
    """Where one white image is black, for many seeds: (3000, height, width)."""
    out = cutout(torch.ones(1, *shape).expand(len(SEEDS), -1, -1, -1), SEEDS, side=side)
    assert torch.equal(out[:, 0], out[:, 1])  # all channels alike
    assert set(out.unique().tolist()) <= {0.0, 1.0}
    return out[:, 0] == 0


@pytest.mark.parametrize("side", [1, 3, 4])
def test_a_square_of_this_side_is_black_or_what_the_border_leaves_of_it(side):
    black = black_of(side)
    heights, widths = black.any(dim=2).sum(dim=1), black.any(dim=1).sum(dim=1)
    assert torch.equal(black.flatten(1).sum(dim=1), heights * widths)  # a full rectangle
    assert heights.max() == widths.max() == side
    assert heights.min() == widths.min() == side - side // 2  # its center is always inside
    whole = (heights == side) & (widths == side)
    assert whole.float().mean().item() == pytest.approx((7 - side + 1) * (9 - side + 1) / 63, abs=0.03)


def test_every_pixel_is_a_center_equally_often():
    counts = black_of(1).float().mean(dim=0) * 63
    assert 0.5 < counts.min() <= counts.max() < 1.6


def test_a_square_larger_than_the_image_blackens_it_and_none_leaves_it():
    assert black_of(40).all()
    assert not black_of(0).any()


def test_bytes_stay_bytes_and_the_images_are_untouched():
    images = torch.full((4, 1, 5, 5), 200, dtype=torch.uint8)
    out = cutout(images, SEEDS[:4], side=2)
    assert out.dtype == torch.uint8
    assert set(out.unique().tolist()) == {0, 200}
    assert (images == 200).all()


def test_each_image_has_its_own_rectangle():
    sides = torch.tensor([0, 1, 2, 30])
    inside = rectangles(SEEDS[:4], sides, sides.flip(0).clamp(min=1), (6, 6), stream=0)
    assert inside.shape == (4, 1, 6, 6)
    assert not inside[0].any()
    assert inside[3, 0].all(dim=0).sum() == 1


def test_a_negative_side_is_refused():
    with pytest.raises(UserError, match="cutout -1 must be 0 or more pixels"):
        cutout(torch.ones(1, 1, 4, 4), SEEDS[:1], side=-1)
