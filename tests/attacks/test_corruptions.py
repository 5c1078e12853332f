import colorsys

import pytest
import torch
from scipy import ndimage, stats

from max_mahalanobis.attacks.corruptions import CORRUPTIONS, _poisson_quantile, corrupt
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import Linf

EVERYTHING = {"threat": Linf(1.0), "stop_when_fooled": False}


def model(images):
    return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)


def corrupted(x, kind, severity):
    return corrupt(model, x, torch.zeros(len(x), dtype=torch.int64), kind=kind, severity=severity, **EVERYTHING)


@pytest.fixture
def smooth():
    """Color images in which neighbours are alike, as in photographs."""
    noise = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, size=32, mode="bilinear")


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_corruption_grows_with_its_severity_and_keeps_shape_and_type(smooth, kind):
    sizes = []
    for severity in range(1, 6):
        x_adv = corrupted(smooth, kind, severity)
        assert (x_adv.shape, x_adv.dtype) == (smooth.shape, smooth.dtype)
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1
        sizes.append((x_adv - smooth).square().mean().item())
    if kind not in ("saturate", "pixelate"):  # whose published severities are not in order on every image
        assert sizes == sorted(sizes)
    assert sizes[0] > 0


@pytest.mark.parametrize("kind", sorted(CORRUPTIONS.keys() - {"saturate"}))
def test_gray_images_are_served_too_and_in_float64(smooth, kind):
    gray = smooth[:, :1].double()
    x_adv = corrupted(gray, kind, 5)
    assert x_adv.shape == gray.shape
    assert not torch.equal(x_adv, gray)


@pytest.mark.parametrize(("kind", "std"), [("gaussian_noise", 0.08), ("speckle_noise", 0.12 * 0.5)])
def test_normal_noise_has_the_published_deviation(kind, std):
    delta = corrupted(torch.full((20, 1, 32, 32), 0.5), kind, 3) - 0.5
    assert abs(delta.std() / std - 1) < 0.02


def test_impulses_turn_seven_hundredths_black_or_white_at_the_worst():
    delta = corrupted(torch.full((40, 1, 32, 32), 0.5), "impulse_noise", 5) - 0.5
    assert set(delta.unique().tolist()) == {-0.5, 0, 0.5}
    assert abs((delta != 0).float().mean() - 0.07) < 0.005
    assert abs((delta > 0).float().mean() - 0.035) < 0.004


def test_shot_noise_counts_photons():
    x = torch.full((40, 1, 32, 32), 0.4, dtype=torch.float64)
    photons = corrupted(x, "shot_noise", 5) * 50
    torch.testing.assert_close(photons, photons.round())
    assert abs(photons.mean() - 20) < 0.1
    assert abs(photons.var() - 20) < 0.6


def test_poisson_quantiles_are_those_of_scipy():
    share = torch.linspace(0.0005, 0.9995, 300, dtype=torch.float64)
    for mean in (0.0, 0.03, 1.0, 7.5, 120.0, 500.0):
        expected = torch.as_tensor(stats.poisson.ppf(share.numpy(), mean)) if mean else torch.zeros(300).double()
        torch.testing.assert_close(_poisson_quantile(share, torch.full_like(share, mean)), expected)


@pytest.mark.parametrize(("severity", "std"), [(1, 0.4), (3, 0.7), (5, 1.0)])
def test_gaussian_blur_is_that_of_scipy(smooth, severity, std):
    expected = ndimage.gaussian_filter(smooth.numpy(), (0, 0, std, std), mode="nearest", truncate=4)
    torch.testing.assert_close(corrupted(smooth, "gaussian_blur", severity), torch.as_tensor(expected))


def test_a_point_out_of_focus_is_a_disk():
    x = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    x[0, 0, 4, 4] = 1
    spot = corrupted(x, "defocus_blur", 5)[0, 0]  # radius 1.5, nearly no smoothing: 3 x 3 pixels of one brightness
    torch.testing.assert_close(spot[3:6, 3:6], torch.full((3, 3), 1 / 9).double())
    torch.testing.assert_close(spot.sum(), torch.tensor(1.0).double())
    spot = corrupted(x, "defocus_blur", 1)[0, 0]  # radius 0.3: a point, smoothed by a Gaussian of 0.4 in 3 x 3
    assert abs(spot[4, 5] / spot[4, 4] - torch.exp(torch.tensor(-1 / 0.32))) < 1e-6


def through_hsv(x, change):
    colors = x.permute(0, 2, 3, 1).reshape(-1, 3).tolist()
    changed = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*color))) for color in colors]
    return torch.tensor(changed, dtype=x.dtype).view(len(x), *x.shape[2:], 3).permute(0, 3, 1, 2)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_brightness_and_saturation_are_those_of_hsv(severity):
    x = torch.rand(4, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0, :, 0, 0] = 0
    x[0, :, 0, 1] = 0.5
    added = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    bright = through_hsv(x, lambda h, s, v: (h, s, min(v + added, 1)))
    torch.testing.assert_close(corrupted(x, "brightness", severity), bright)
    factor, plus = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    saturated = through_hsv(x, lambda h, s, v: (h, min(s * factor + plus, 1), v))
    torch.testing.assert_close(corrupted(x, "saturate", severity), saturated)


def test_contrast_draws_to_the_mean(smooth):
    x_adv = corrupted(smooth, "contrast", 2)
    torch.testing.assert_close(x_adv.mean(dim=(2, 3)), smooth.mean(dim=(2, 3)))
    torch.testing.assert_close(x_adv.std(dim=(2, 3)), smooth.std(dim=(2, 3)) / 2)


def test_what_a_small_ball_does_not_allow_comes_back_unchanged(smooth):
    y = torch.zeros(6, dtype=torch.int64)
    assert torch.equal(corrupt(model, smooth, y, threat=Linf(0.01), kind="contrast", severity=5), smooth)


def test_it_costs_one_look_or_none():
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    x, y = torch.rand(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64)
    corrupt(watched, x, y, threat=Linf(1.0))
    assert seen == [3]
    corrupt(watched, x, y, **EVERYTHING)
    assert seen == [3]


@pytest.mark.parametrize(
    ("shape", "settings", "says"),
    [
        ((1, 8, 8), {"kind": "snow"}, "unknown corruption 'snow': choose from gaussian_noise, "),
        ((1, 8, 8), {"severity": 0}, "severity must be 1, 2, 3, 4 or 5, got 0"),
        ((1, 8, 8), {"kind": "saturate"}, "saturate needs 3 channels, got 1"),
        ((2, 8, 8), {"kind": "pixelate"}, "pixelate needs 1 or 3 channels, got 2"),
        ((1, 2, 8), {"kind": "defocus_blur"}, "defocus_blur needs images of at least 3 x 3 pixels, got 2 x 8"),
    ],
)
def test_what_cannot_be_is_refused(shape, settings, says):
    with pytest.raises(UserError, match=says):
        corrupt(model, torch.rand(2, *shape), torch.zeros(2).long(), threat=Linf(1.0), **settings)
