import math

import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.transformations import rotation, rotation_translation, transform
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L2, Linf


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def x():
    return torch.rand(2, 3, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3])
def test_quarter_turns_go_counterclockwise(x, quarters):
    turned = transform(x, numbers(90.0, 90.0) * quarters, numbers(0, 0), numbers(0, 0))
    torch.testing.assert_close(turned, x.rot90(quarters, (2, 3)))


def test_whole_pixels_shift_and_leave_black(x):
    moved = transform(x, numbers(0, 0), numbers(2, -1), numbers(-1, 0))
    torch.testing.assert_close(moved[0, :, :6, 2:], x[0, :, 1:, :5])
    torch.testing.assert_close(moved[1, :, :, :6], x[1, :, :, 1:])
    assert moved[0, :, :, :2].abs().max() < 1e-12
    assert moved[0, :, 6:].abs().max() < 1e-12


def test_a_border_goes_on_when_asked(x):
    moved = transform(x, numbers(0, 0), numbers(3, 3), numbers(0, 0), padding="border")
    torch.testing.assert_close(moved[:, :, :, :3], x[:, :, :, :1].expand(-1, -1, -1, 3))


def test_it_turns_first_and_moves_then(x):
    both = transform(x, numbers(90.0, 90.0), numbers(1, 1), numbers(0, 0))
    torch.testing.assert_close(both[:, :, :, 1:], x.rot90(1, (2, 3))[:, :, :, :6])


def slow_transform(image, degrees, right, down):
    """Bilinear interpolation pixel by pixel, black outside."""
    height, width = image.shape[1:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    result = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            v, u = row - (height - 1) / 2 - down, column - (width - 1) / 2 - right
            i, j = sin * u + cos * v + (height - 1) / 2, cos * u - sin * v + (width - 1) / 2
            for k in (math.floor(i), math.floor(i) + 1):
                for m in (math.floor(j), math.floor(j) + 1):
                    if 0 <= k < height and 0 <= m < width:
                        result[:, row, column] += (1 - abs(i - k)) * (1 - abs(j - m)) * image[:, k, m]
    return result


def test_any_angle_on_images_that_are_not_square_equals_the_slow_way():
    x = torch.rand(3, 2, 5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    settings = numbers(17.0, -30.0, 121.0), numbers(0.3, -2.7, 1.0), numbers(1.5, 0.0, -0.2)
    slow = [slow_transform(image, *(s.item() for s in row)) for image, *row in zip(x, *settings, strict=True)]
    torch.testing.assert_close(transform(x, *settings), torch.stack(slow))


def upright(images):
    """Class 0: the bar is upright; class 1: it is not. The middle column's share of the light decides."""
    light = images.flatten(1).sum(dim=1)
    middle = images[:, :, :, 3].flatten(1).sum(dim=1)
    return torch.stack([middle, light - middle], dim=1)


def test_a_bar_falls_to_a_turn_and_to_a_shift_that_are_within_reach():
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, :, 3] = 1
    y = torch.zeros(1, dtype=torch.int64)
    everything = {"threat": Linf(1.0)}
    assert is_fooled(upright(rotation(upright, x, y, max_degrees=60, **everything)), y)
    assert not is_fooled(upright(rotation(upright, x, y, max_degrees=5, **everything)), y)
    assert is_fooled(
        upright(rotation_translation(upright, x, y, max_degrees=0, angles=1, max_shift=1, **everything)), y
    )
    still = rotation_translation(upright, x, y, max_degrees=0, max_shift=0.2, **everything)
    assert not is_fooled(upright(still), y)
    random = rotation_translation(upright, x, y, max_degrees=60, max_shift=2, tries=20, **everything)
    assert is_fooled(upright(random), y)


def test_a_small_ball_allows_no_turn_and_the_image_comes_back():
    x = torch.rand(3, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    y = upright(x).argmax(dim=1)
    x_adv = rotation(upright, x, y, threat=L2(0.001), angles=4, stop_when_fooled=False)
    assert torch.equal(x_adv, x)


@pytest.mark.parametrize(("settings", "forwards"), [({}, 775), ({"tries": 10}, 10), ({"angles": 3, "shifts": 1}, 3)])
def test_the_cost_is_the_grid_or_the_tries_and_one_look(settings, forwards):
    seen = []

    def never(images):
        seen.append(len(images))
        return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)

    rotation_translation(never, torch.rand(2, 1, 4, 4), torch.zeros(2).long(), threat=Linf(1.0), **settings)
    assert seen == [2] * (1 + forwards)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_degrees": -1}, "max_degrees and max_shift must not be negative, got -1 and 3"),
        ({"max_shift": -0.5}, "max_degrees and max_shift must not be negative, got 30 and -0.5"),
        ({"angles": 0}, "angles must be at least 1, got 0"),
        ({"tries": 0}, "tries must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        rotation_translation(model, x, y, threat=Linf(1.0), **settings)
