"""The loss around an image: what stands where on the plane, and what a run keeps of it."""

import numpy as np
import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import cross_entropy, margin, pgd
from max_mahalanobis.evaluation import collect_pictures
from max_mahalanobis.evaluation.surfaces import REACH, STEPS, has_plane, steps_along, surfaces_around
from max_mahalanobis.threats import L0, L1, L2, Linf

MIDDLE, ONE = STEPS // 2, int((1 + REACH) * (STEPS - 1) / (2 * REACH))  # where the steps are 0 and 1
THREATS = [Linf(0.1), L2(0.3), L1(0.8)]


def attacked(threat, count=3):
    model, x, y = linear_problem(4, count=count)
    return model, x, pgd(model, x, y, threat=threat, objective=margin, steps=3), y


def around(threat, **settings):
    model, x, x_adv, y = attacked(threat)
    return surfaces_around(model, x, x_adv, y, threat=threat, seeds=torch.arange(3), **settings)


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_the_middle_is_the_image_and_one_step_along_is_what_the_attack_made(threat):
    model, x, x_adv, y = attacked(threat)
    x_adv = x + (x_adv - x) * (threat.eps / threat.size(x_adv - x)).view(-1, 1, 1, 1)
    planes = surfaces_around(model, x, x_adv, y, threat=threat, seeds=torch.arange(3))
    assert steps_along()[[MIDDLE, ONE]].tolist() == [0, 1]
    for name, objective in (("cross_entropy", cross_entropy), ("margin", margin)):
        assert planes[name].shape == (3, STEPS, STEPS)
        torch.testing.assert_close(planes[name][:, MIDDLE, MIDDLE], objective(model(x), y).detach())
        torch.testing.assert_close(planes[name][:, MIDDLE, ONE], objective(model(x_adv), y).detach())
    torch.testing.assert_close(planes["attacked"], torch.ones(3))


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_both_directions_are_a_budget_long_and_orthogonal(threat):
    seen = []

    def watching(images):
        seen.append(images)
        return images.flatten(1)[:, :4]

    _, x, x_adv, y = attacked(threat, count=1)
    x = torch.full_like(x, 0.5)  # far from the box's faces
    x_adv = (x + (x_adv - x) / 10).clamp(0, 1)
    planes = surfaces_around(watching, x, x_adv, y, threat=threat, seeds=torch.arange(1), batch_size=STEPS**2)
    points = seen[0].view(STEPS, STEPS, -1) - x.flatten()
    along, across = points[MIDDLE, ONE], points[ONE, MIDDLE]
    assert (along @ across).abs() < 1e-4 * along.norm() * across.norm()
    torch.testing.assert_close(planes["size"][0, [MIDDLE, ONE], [ONE, MIDDLE]], torch.ones(2))
    torch.testing.assert_close(planes["size"][0, MIDDLE, -1], torch.tensor(REACH))


def test_an_images_plane_depends_on_its_own_seed_alone_and_not_on_the_batch_size():
    model, x, x_adv, y = attacked(Linf(0.1))
    together = around(Linf(0.1))
    alone = surfaces_around(model, x[1:2], x_adv[1:2], y[1:2], threat=Linf(0.1), seeds=torch.arange(1, 2), batch_size=7)
    for name, values in alone.items():
        torch.testing.assert_close(values[0], together[name][1])


def test_all_points_lie_in_the_box_and_no_more_than_a_batch_is_asked_at_once():
    asked = []

    def watching(images):
        asked.append((len(images), images.min().item(), images.max().item()))
        return images.flatten(1)[:, :4]

    _, x, x_adv, y = attacked(Linf(0.4))
    surfaces_around(watching, x, x_adv, y, threat=Linf(0.4), seeds=torch.arange(3), batch_size=100)
    counts, least, most = zip(*asked, strict=True)
    assert (max(counts), min(least), max(most)) == (100, 0, 1)


def test_what_the_attack_left_alone_has_no_plane_nor_has_a_norm_that_counts_pixels():
    _, x, x_adv, _ = attacked(Linf(0.1))
    x_adv[1] = x[1]
    assert has_plane(x, x_adv, Linf(0.1)).tolist() == [True, False, True]
    assert not has_plane(x, x_adv, L0(3)).any()
    assert not has_plane(x, x_adv, Linf(0.0)).any()


def test_of_an_mmc_model_cross_entropy_is_flat_where_the_margin_slopes(digits, digits_mmc):
    pictures = collect_pictures(digits_mmc, digits.test, threat=Linf(0.1), num_features=60)
    flat = pictures["surface_cross_entropy"] == 0
    assert flat.mean() > 0.3
    slopes = np.abs(np.diff(pictures["surface_margin"], axis=2))[flat[:, :, 1:] & flat[:, :, :-1]]
    assert np.median(slopes) > 0.5
    assert (pictures["surface_margin"][:, MIDDLE, MIDDLE] < 0).all()
    of = pictures["surface_of"]
    went = np.abs(pictures["images_adv"][of] - pictures["images"][of]).max(axis=(1, 2, 3)) / 0.1
    np.testing.assert_allclose(pictures["surface_attacked"], went, rtol=1e-4)


def test_without_a_budget_a_run_keeps_its_pictures_and_no_plane(digits, digits_mmc):
    pictures = collect_pictures(digits_mmc, digits.test, threat=Linf(0.0), num_features=20, num_images=2)
    assert len(pictures["images"]) == 2
    assert not any(name.startswith("surface") for name in pictures)


def test_pictures_are_made_no_more_than_a_batch_at_a_time_and_are_the_same(digits, digits_mmc):
    asked = []
    handle = digits_mmc.register_forward_pre_hook(lambda module, arguments: asked.append(len(arguments[0])))
    settings = {"threat": Linf(0.1), "num_features": 40, "num_images": 4}
    small = collect_pictures(digits_mmc, digits.test, batch_size=16, **settings)
    handle.remove()
    assert max(asked) == 16
    whole = collect_pictures(digits_mmc, digits.test, **settings)
    assert small.keys() == whole.keys()
    np.testing.assert_allclose(small["features"], whole["features"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(small["image_adv_predictions"], whole["image_adv_predictions"])
