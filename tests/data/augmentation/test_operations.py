import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.nn import functional as F

from max_mahalanobis.data.augmentation import OPERATIONS, random_operations
from max_mahalanobis.data.augmentation.warps import rotate, shear_x, translate_x, translate_y
from max_mahalanobis.errors import UserError

GENERATOR = torch.Generator().manual_seed(0)
COLOR = torch.randint(20, 200, (12, 3, 20, 16), dtype=torch.uint8, generator=GENERATOR)
GRAY = torch.randint(0, 256, (5, 1, 11, 11), dtype=torch.uint8, generator=GENERATOR)
SEEDS = torch.arange(400) * 3 + 1
STRENGTHS = torch.linspace(-1, 0.99, 12)


def pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def by_pillow(name: str, image: Image.Image, strength: float) -> Image.Image:
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "color": ImageEnhance.Color,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhance:
        return enhance[name](image).enhance(1 + 0.9 * strength)
    return {
        "posterize": lambda: ImageOps.posterize(image, 8 - min(4, int(5 * abs(strength)))),
        "solarize": lambda: ImageOps.solarize(image, round(256 * (1 - abs(strength)))),
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
    }[name]()


@pytest.mark.parametrize(
    "name", ["brightness", "contrast", "color", "sharpness", "posterize", "solarize", "autocontrast", "equalize"]
)
@pytest.mark.parametrize("strength", [-1.0, -0.5, 0.0, 0.25, 0.75])
def test_on_values_they_are_pillows_operations(name, strength):
    ours = OPERATIONS[name](COLOR / 255, torch.full((len(COLOR),), strength))
    theirs = np.stack([np.asarray(by_pillow(name, pillow(image), strength)) for image in COLOR])
    theirs = torch.from_numpy(theirs).permute(0, 3, 1, 2)
    exact = name in ("posterize", "solarize", "equalize")
    assert (ours * 255 - theirs).abs().max() <= (1e-3 if exact else 2.01)  # Pillow rounds inbetween


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("images", [COLOR, GRAY], ids=["color", "gray"])
def test_each_operation_stays_in_the_unit_interval_and_leaves_its_input_alone(name, images):
    pixels = images / 255
    before = pixels.clone()
    out = OPERATIONS[name](pixels, torch.linspace(-1, 0.99, len(pixels)))
    assert out.shape == pixels.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", OPERATIONS)
def test_at_strength_zero_nothing_changes_but_what_has_no_strength(name):
    out = OPERATIONS[name](COLOR / 255, torch.zeros(12))
    if name not in ("autocontrast", "equalize"):
        torch.testing.assert_close(out, COLOR / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "identity"])
def test_every_other_operation_changes_color_images(name):
    out = OPERATIONS[name](COLOR / 255, torch.full((12,), 0.9))
    assert (out - COLOR / 255).abs().amax(dim=(1, 2, 3)).min() > 0.02


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_image_is_treated_alike_in_any_company(name):
    together = OPERATIONS[name](COLOR / 255, STRENGTHS)
    for i in range(12):
        assert torch.equal(OPERATIONS[name](COLOR[i : i + 1] / 255, STRENGTHS[i : i + 1])[0], together[i])


def test_color_leaves_gray_images_and_flat_channels_are_not_stretched():
    assert torch.equal(OPERATIONS["color"](GRAY / 255, STRENGTHS[:5]), GRAY / 255)
    flat = torch.full((1, 3, 6, 6), 0.4)
    for name in ("autocontrast", "equalize"):
        torch.testing.assert_close(OPERATIONS[name](flat, torch.zeros(1)), flat, rtol=0, atol=1 / 500)


def test_images_too_small_to_smooth_stay():
    tiny = torch.rand(2, 1, 2, 5)
    assert torch.equal(OPERATIONS["sharpness"](tiny, torch.tensor([-1.0, 0.5])), tiny)


def test_a_translation_moves_by_whole_pixels_and_leaves_black_behind():
    images = torch.rand(2, 3, 16, 32)
    strengths = torch.tensor([0.5, -0.5])  # 5 of 32 pixels
    moved = translate_x(images, strengths)
    torch.testing.assert_close(moved[0], F.pad(images[0], (0, 5))[:, :, 5:], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[1], F.pad(images[1], (5, 0))[:, :, :-5], rtol=0, atol=1e-5)
    moved = translate_y(images, torch.tensor([0.8, -0.8]))  # 4 of 16
    torch.testing.assert_close(moved[0], F.pad(images[0], (0, 0, 0, 4))[:, 4:], rtol=0, atol=1e-5)


def test_a_rotation_turns_the_rows_by_its_angle_in_images_of_any_proportions():
    line = torch.zeros(1, 1, 21, 41)
    line[:, :, 10] = 1
    turned = rotate(line, torch.ones(1))[0, 0]
    ahead = (turned * torch.arange(21)[:, None]).sum(dim=0) / turned.sum(dim=0)  # where each column meets the line
    slopes = ahead[12:30].diff()
    torch.testing.assert_close(slopes.abs().mean(), torch.tensor(30.0).deg2rad().tan(), rtol=0.02, atol=0)


def test_the_middle_row_of_a_shear_stays_and_the_others_move_in_proportion():
    images = torch.rand(1, 1, 21, 21)
    sheared = shear_x(images, torch.ones(1))
    torch.testing.assert_close(sheared[0, 0, 10], images[0, 0, 10], rtol=0, atol=1e-5)
    torch.testing.assert_close(sheared[0, 0, 20, 3:18], images[0, 0, 20, 6:], rtol=0, atol=1e-5)  # 0.3 of 10 rows


@pytest.mark.parametrize("count", [1, 2, 3])
def test_random_operations_do_not_depend_on_the_batch_and_bytes_are_as_good_as_floats(count):
    images = COLOR[:1].expand(400, -1, -1, -1)
    together = random_operations(images, SEEDS, count=count)
    assert 0 <= together.min() <= together.max() <= 1
    assert torch.equal(random_operations(images / 255, SEEDS, count=count), together)
    for i in range(0, 400, 37):
        assert torch.equal(random_operations(images[i : i + 1], SEEDS[i : i + 1], count=count)[0], together[i])
    order = torch.randperm(400, generator=GENERATOR)
    assert torch.equal(random_operations(images[order], SEEDS[order], count=count), together[order])


def test_every_operation_is_drawn_equally_often_and_computed_on_its_images_alone(monkeypatch):
    seen = {}
    for name in OPERATIONS:
        monkeypatch.setitem(
            OPERATIONS, name, lambda x, strengths, name=name: seen.setdefault(name, strengths)[0] * 0 + x
        )
    random_operations(torch.rand(1, 1, 2, 2).expand(14_000, -1, -1, -1), torch.arange(14_000), count=1)
    assert all(850 < len(strengths) < 1150 for strengths in seen.values())
    assert sum(map(len, seen.values())) == 14_000
    for strengths in seen.values():
        assert strengths.mean().abs() < 0.1
        assert strengths.min() < -0.98
        assert strengths.max() > 0.98


def test_no_operations_are_none_and_the_input_is_never_changed():
    pixels = COLOR / 255
    before = pixels.clone()
    assert torch.equal(random_operations(pixels, SEEDS[:12], count=0), pixels)
    assert not torch.equal(random_operations(pixels, SEEDS[:12], count=3), pixels)
    assert torch.equal(pixels, before)
    with pytest.raises(UserError, match="random_operations -1 must be 0 or more"):
        random_operations(pixels, SEEDS[:12], count=-1)
