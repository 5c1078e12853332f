import math

import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled, margin
from max_mahalanobis.attacks.minimum_norm.ddn import ddn
from max_mahalanobis.threats import L2


def slow_ddn(model, x, y, *, steps, gamma, init_norm, levels=None):
    """Rony et al. 2019, algorithm 1, image by image; the step falls from 1 to 0.01."""
    found = []
    for image, label in zip(x.split(1), y.split(1), strict=True):
        x_adv, radius, best = image.clone(), init_norm, None
        for step in range(steps):
            x_adv.requires_grad_()
            logits = model(x_adv)
            g = torch.autograd.grad(nn.functional.cross_entropy(logits, label), x_adv)[0]
            x_adv = x_adv.detach()
            fooled = (logits.argmax() != label).item()
            if fooled and (best is None or (x_adv - image).norm() <= (best - image).norm()):
                best = x_adv
            radius *= 1 - gamma if fooled else 1 + gamma
            alpha = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
            delta = x_adv - image + alpha * g / g.norm()
            x_adv = image + radius * delta / delta.norm()
            if levels is not None:
                x_adv = (x_adv * (levels - 1)).round() / (levels - 1)
            x_adv = x_adv.clamp(0, 1)
        found.append(image if best is None else best)
    return torch.cat(found)


def smooth():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.Tanh(), nn.Linear(30, 5)).double()
        x = torch.rand(12, 1, 4, 4, dtype=torch.float64)
    return model, x, model(x).argmax(dim=1)


@pytest.mark.parametrize("levels", [None, 32])
def test_it_equals_the_published_algorithm(levels):
    model, x, y = smooth()
    settings = {"steps": 40, "gamma": 0.1, "init_norm": 0.5, "levels": levels}
    slow = slow_ddn(model, x, y, **settings)
    assert is_fooled(model(slow), y).any()
    torch.testing.assert_close(ddn(model, x, y, threat=L2.unlimited(16), **settings), slow)


def test_rounded_to_levels_the_result_lies_on_them():
    model, x, y = smooth()
    bytes_of = (x * 255).round() / 255
    steps = ddn(model, bytes_of, y, threat=L2.unlimited(16), levels=256) * 255
    torch.testing.assert_close(steps, steps.round())


def test_where_cross_entropy_has_no_slope_a_random_direction_of_the_image_is_followed():
    model, x, y = linear_problem(2, count=30)

    def saturated(images):  # the gap of the logits is thousands: float32 knows no slope of its softmax
        return 1e5 * model(images)

    threat = L2.unlimited(16)
    blind = ddn(saturated, x, y, threat=threat, init_norm=0.1)
    margins = ddn(saturated, x, y, threat=threat, init_norm=0.1, objective=margin)
    found = is_fooled(model(blind), y)
    assert found.float().mean() > 0.2  # half of all directions lead across a hyperplane
    assert threat.size(blind - x)[found].median() > 1.3 * threat.size(margins - x)[found].median()
    again = ddn(saturated, x, y, threat=threat, init_norm=0.1, seeds=torch.arange(30) + 5)
    assert not torch.equal(blind, again)


def test_each_step_is_one_forward_and_the_first_finding_ends_it_on_demand():
    model, x, y = linear_problem(2, count=7)
    seen = []
    ddn(lambda z: seen.append(len(z)) or model(z), x, y, threat=L2(1), steps=11)
    assert seen == [7] * 11
    seen.clear()
    x_adv = ddn(lambda z: seen.append(len(z)) or model(z), x, y, threat=L2(1), steps=11, stop_when_fooled=True)
    assert seen == [7, 7]  # the first radius, 1, reaches far beyond these boundaries
    assert is_fooled(model(x_adv), y).all()
