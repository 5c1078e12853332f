import pytest
import torch
from linear import exact_distance, linear_problem

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.gradient_free import spsa as module
from max_mahalanobis.attacks.gradient_free.spsa import _signs, spsa
from max_mahalanobis.draws import derive
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L2, Linf


@pytest.mark.parametrize(("threat", "dual", "room"), [(Linf, 1, 1.02), (L2, 2, 1.25)])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_no_image_falls_beyond_the_exact_distance_and_all_fall_well_within(threat, dual, room, num_classes):
    model, x, y = linear_problem(num_classes, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=dual)
    eps = distance.median().item()
    fooled = is_fooled(model(spsa(model, x, y, threat=threat(eps), steps=40, samples=64)), y)
    assert not fooled[distance > eps * 1.001].any()
    assert fooled[distance < eps / room].all()


def slow_spsa(model, x, y, seeds, eps, steps, samples, delta, learning_rate):
    """Uesato et al. 2018, algorithm 1, with torch's Adam, image by image and pair by pair."""
    found = []
    for image, label, seed in zip(x.split(1), y.split(1), seeds.split(1), strict=True):
        x_adv = image.clone().requires_grad_()
        adam = torch.optim.Adam([x_adv], lr=learning_rate, maximize=True)
        for step in range(1, steps + 1):
            x_adv.grad = torch.zeros_like(image)
            for sample in range(samples):
                signs = _signs(derive(seed, step), torch.tensor([sample]), image.numel(), image.dtype).view_as(image)
                above, below = (loss(model, x_adv.detach() + away, label) for away in (delta * signs, -delta * signs))
                x_adv.grad += (above - below) / (2 * delta) * signs / samples
            adam.step()
            x_adv.data = (image + (x_adv.data - image).clamp(-eps, eps)).clamp(0, 1)
        found.append(x_adv.detach())
    return torch.cat(found)


def loss(model, x, label):
    logits = model(x)[0].detach()
    return logits[torch.arange(len(logits)) != label].max() - logits[label[0]]


@pytest.mark.parametrize("pixels_at_once", [250, 2**19])
def test_it_is_adam_on_the_mean_of_mirrored_differences(monkeypatch, pixels_at_once):
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", pixels_at_once)
    torch.manual_seed(0)
    layers = [torch.nn.Flatten(), torch.nn.Linear(108, 20), torch.nn.Tanh(), torch.nn.Linear(20, 4)]
    model = torch.nn.Sequential(*layers).double()
    x, y = torch.rand(3, 3, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 2])
    settings = {"steps": 5, "samples": 7, "delta": 0.02, "learning_rate": 0.03}
    fast = spsa(model, x, y, threat=Linf(0.08), stop_when_fooled=False, **settings)
    torch.testing.assert_close(fast, slow_spsa(model, x, y, torch.arange(3), 0.08, **settings))


def test_the_signs_are_even_and_independent():
    signs = _signs(torch.arange(20), torch.arange(50), 100, torch.float64)
    assert signs.shape == (20, 50, 100)
    assert signs.unique().tolist() == [-1, 1]
    assert abs(signs.mean()) < 0.015
    together = signs.flatten(0, 1).T @ signs.flatten(0, 1) / 1000  # pixels among each other
    assert (together - torch.eye(100)).abs().max() < 0.18
    other = signs.flatten(1) @ signs.flatten(1).T / 5000  # images among each other
    assert (other - torch.eye(20)).abs().max() < 0.08


@pytest.mark.parametrize("stop_when_fooled", [True, False])
def test_it_costs_two_forwards_per_pair_and_one_per_step_to_look(stop_when_fooled):
    model, x, y = linear_problem(10, count=4)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    spsa(watched, x, y, threat=Linf(0.0), steps=3, samples=11, stop_when_fooled=stop_when_fooled)
    assert sum(seen) == 4 * 3 * (2 * 11 + stop_when_fooled)


def test_the_points_of_one_forward_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", 640)
    model, x, y = linear_problem(10, count=4)
    seen = []

    def watched(images):
        seen.append(images.numel())
        return model(images)

    spsa(watched, x, y, threat=Linf(0.0), steps=1, samples=33)
    assert max(seen) == 640


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"delta": 0}, "delta and learning_rate must be positive, got 0 and 0.01"),
        ({"learning_rate": -1.0}, "delta and learning_rate must be positive, got 0.01 and -1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        spsa(model, x, y, threat=Linf(0.1), **settings)
