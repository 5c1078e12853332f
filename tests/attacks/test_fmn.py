import math

import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.fmn import _BALLS, fmn
from max_mahalanobis.threats import L0, L1, L2, Linf

THREATS = {"Linf": Linf, "L2": L2, "L1": L1, "L0": L0}
ORDERS = {"Linf": torch.inf, "L2": 2, "L1": 1, "L0": 0}
DUALS = {"Linf": 1, "L2": 2, "L1": torch.inf}


@pytest.mark.parametrize("name", THREATS)
def test_the_balls_are_those_of_the_threats_with_a_radius_for_each_image(name):
    delta = torch.randn(9, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    radius = torch.tensor([0.0, 0.01, 0.3, 1.0, 2.0, 3.5, 4.0, 1e3, torch.inf], dtype=torch.float64)[:, None]
    fast = _BALLS[name](delta, radius)
    for row, size, found in zip(delta, radius.squeeze(1).tolist(), fast, strict=True):
        eps = min(size, 1e3) if name != "Linf" else min(size, 1.0)
        expected = THREATS[name](eps)._into_ball(row.view(1, 1, 4, 5)).flatten()
        if name != "Linf" or size <= 1:
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
        else:
            torch.testing.assert_close(found, row.clamp(-size, size))


def slow_fmn(model, x, y, *, name, steps, step_size, gamma):
    """Pintor et al. 2021, algorithm 1, image by image, but for the radii before the first success."""
    found = []
    for image, label in zip(x.split(1), y.tolist(), strict=True):
        x_adv, radius, best, smallest = image.clone(), 0.0, None, math.inf
        for step in range(steps):
            falling = (1 + math.cos(math.pi * step / steps)) / 2
            rate = 0.001 + (gamma - 0.001) * falling
            x_adv = x_adv.detach().requires_grad_()
            logits = model(x_adv)[0]
            rival = max(logits[k] for k in range(len(logits)) if k != label)
            g = torch.autograd.grad(rival - logits[label], x_adv)[0].flatten()
            delta = (x_adv.detach() - image).flatten()
            size = delta.norm(p=ORDERS[name]).item()
            if logits.argmax() != label:
                if size <= smallest:
                    best, smallest = x_adv.detach(), size
                radius = min(radius * (1 - rate), smallest)
            elif best is not None:
                radius *= 1 + rate
            else:
                estimate = size + (rival - logits[label]).abs().item() / g.norm(p=DUALS[name]).item()
                radius = (1 + rate) * max(radius, estimate)
            delta = delta + step_size * (0.01 + 0.99 * falling) * g / g.norm()
            delta = THREATS[name](min(radius, 1.0 if name == "Linf" else 1e3))._into_ball(delta.view(1, 1, 4, 4))
            x_adv = (image + delta).clamp(0, 1)
        found.append(image if best is None else best)
    return torch.cat(found)


@pytest.mark.parametrize("name", DUALS)
def test_it_equals_the_algorithm_image_by_image(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.Tanh(), nn.Linear(30, 5)).double()
    x = torch.rand(10, 1, 4, 4, dtype=torch.float64)
    y = model(x).argmax(dim=1)
    settings = {"steps": 30, "step_size": 0.7, "gamma": 0.1}
    slow = slow_fmn(model, x, y, name=name, **settings)
    assert is_fooled(model(slow), y).all()
    torch.testing.assert_close(
        fmn(model, x, y, threat=THREATS[name].unlimited(16), **settings), slow, rtol=0, atol=1e-5
    )


def test_in_l0_it_needs_hardly_more_pixels_than_a_hyperplane_asks_for():
    model, x, y = linear_problem(2, count=100)
    x = x * 0.9 + 0.1 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(dim=1)
    weight, logits = model.layer.weight.detach(), model(x).detach()
    toward = weight[1 - y] - weight[y]
    gain = torch.where(toward > 0, 1 - x.flatten(1), x.flatten(1)) * toward.abs()
    need = (logits[:, 0] - logits[:, 1]).abs()
    fewest = (gain.sort(dim=1, descending=True).values.cumsum(dim=1) <= need[:, None]).sum(dim=1) + 1
    x_adv = fmn(model, x, y, threat=L0.unlimited(16))
    size = L0(16).size(x_adv - x)
    assert is_fooled(model(x_adv), y).all()
    assert (size >= fewest).all()
    assert (size <= fewest + 1).float().mean() > 0.95


def test_each_step_is_one_forward():
    model, x, y = linear_problem(2, count=7)
    seen = []
    fmn(lambda z: seen.append(len(z)) or model(z), x, y, threat=L2(1), steps=11)
    assert seen == [7] * 11
