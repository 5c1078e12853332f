import pytest
import torch
from torch.nn import functional as F

from max_mahalanobis.data import AUGMENTATIONS, augment
from max_mahalanobis.data.augmentation import crop, flip, shift
from max_mahalanobis.errors import UserError
from max_mahalanobis.recipe import Recipe

IMAGES = torch.randint(0, 256, (64, 3, 16, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SEEDS = torch.arange(64) * 7 + 3


@pytest.fixture(params=AUGMENTATIONS)
def kind(request):
    return request.param


def test_the_recipe_names_every_augmentation_and_no_other():
    for kind in AUGMENTATIONS:
        Recipe(augmentation=kind)
    assert set(Recipe.__annotations__["augmentation"].__args__) == set(AUGMENTATIONS)


@pytest.mark.parametrize("images", [IMAGES, IMAGES / 255], ids=["bytes", "floats"])
def test_what_comes_out_are_floats_in_the_unit_interval(kind, images):
    before = images.clone()
    out = augment(images, SEEDS, kind=kind)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(images, before)


def test_bytes_and_floats_are_treated_alike(kind):
    torch.testing.assert_close(augment(IMAGES, SEEDS, kind=kind), augment(IMAGES / 255, SEEDS, kind=kind))


def test_an_image_is_drawn_alike_in_any_company(kind):
    together = augment(IMAGES, SEEDS, kind=kind)
    for i in (0, 5, 63):
        assert torch.equal(augment(IMAGES[i : i + 1], SEEDS[i : i + 1], kind=kind)[0], together[i])
    order = torch.randperm(64)
    assert torch.equal(augment(IMAGES[order], SEEDS[order], kind=kind), together[order])


def test_other_seeds_give_other_images(kind):
    same = torch.equal(augment(IMAGES, SEEDS, kind=kind), augment(IMAGES, SEEDS + 1, kind=kind))
    assert same == (kind == "none")


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_occurs():
    images = IMAGES[:1].expand(1500, -1, -1, -1)
    cropped = crop(images, torch.arange(1500))
    padded = F.pad(IMAGES[0], (4, 4, 4, 4))
    windows = torch.stack([padded[:, y : y + 16, x : x + 12] for y in range(9) for x in range(9)])
    matches = (cropped[:, None] == windows[None]).flatten(2).all(dim=2)
    assert (matches.sum(dim=1) == 1).all()
    assert matches.any(dim=0).all()


def test_half_of_the_images_are_mirrored():
    out = flip(IMAGES[:1].expand(4000, -1, -1, -1), torch.arange(4000))
    mirrored = (out == IMAGES[0].flip(2)).flatten(1).all(dim=1)
    kept = (out == IMAGES[0]).flatten(1).all(dim=1)
    assert (mirrored ^ kept).all()
    assert 1850 < mirrored.sum() < 2150


def test_a_shift_moves_a_slope_by_at_most_a_tenth_of_the_side():
    slope = (torch.arange(20) / 20).expand(500, 1, 20, 20)
    moved = shift(slope, torch.arange(500))
    pixels = (moved - slope)[:, 0, 10, 5:15] * 20  # inside, where no edge is repeated
    torch.testing.assert_close(pixels, pixels[:, :1].expand(-1, 10), atol=1e-4, rtol=0)
    assert pixels.abs().max() <= 2 + 1e-4
    assert pixels.min() < -1.9
    assert pixels.max() > 1.9
    assert (pixels[:, 0] - pixels[:, 0].round()).abs().max() > 0.4  # fractions of a pixel occur


def test_a_shift_repeats_the_edges():
    assert torch.allclose(shift(torch.ones(50, 1, 8, 8), torch.arange(50)), torch.ones(()))


def test_an_unknown_kind_lists_the_choices():
    with pytest.raises(UserError, match="unknown augmentation 'mixup': choose from none, shift"):
        augment(IMAGES, SEEDS, kind="mixup")


def test_crop_flip_is_crop_then_a_mirror():
    cropped, mirrored = augment(IMAGES, SEEDS, kind="crop"), augment(IMAGES, SEEDS, kind="crop_flip")
    torch.testing.assert_close(flip(cropped, SEEDS), mirrored, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", [24.2196, -16.2197, -20.7805, 10.5371]),
        ("shift", [24.0512, -14.5049, -19.3409, 11.3297]),
        ("shift_flip", [24.0512, -14.5049, -19.2923, 11.3502]),
        ("crop_flip", [9.1529, -8.8246, -11.9533, 23.3738]),
    ],
)
def test_the_numbers_are_those_that_older_runs_were_trained_with(kind, expected):
    ramp = torch.arange(4 * 3 * 8 * 8).remainder(251).to(torch.uint8).view(4, 3, 8, 8)
    out = augment(ramp, torch.tensor([0, 1, 2**40, 2**62]), kind=kind)
    sums = (out * torch.linspace(-1, 1, 192).view(3, 8, 8)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(sums, torch.tensor(expected), rtol=0, atol=1e-3)
