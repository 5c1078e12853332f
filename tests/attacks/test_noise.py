import pytest
import torch
from linear import exact_distance, linear_problem

from max_mahalanobis.attacks import is_fooled, margin
from max_mahalanobis.attacks.gradient_free.best_of import best_of
from max_mahalanobis.attacks.gradient_free.noise import gaussian_noise, random_search, uniform_noise
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L1, L2, Linf


def constant(images):
    return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)


def test_gaussian_noise_has_the_deviation_asked_for():
    x, y = torch.full((200, 1, 10, 10), 0.5), torch.zeros(200, dtype=torch.int64)
    delta = gaussian_noise(constant, x, y, threat=Linf(1.0), std=0.07) - x
    assert abs(delta.std() - 0.07) < 0.001
    assert abs(delta.mean()) < 0.002


def test_uniform_noise_fills_the_cube():
    x, y = torch.full((200, 1, 10, 10), 0.5), torch.zeros(200, dtype=torch.int64)
    delta = uniform_noise(constant, x, y, threat=Linf(0.3)) - x
    assert abs(delta.std() - 0.3 / 3**0.5) < 0.002
    assert delta.abs().max() <= 0.3 + 1e-6


@pytest.mark.parametrize("threat", [Linf(0.3), L2(0.3), L1(0.3)], ids=str)
def test_corners_lie_on_the_surface_of_the_ball(threat):
    x, y = torch.full((20, 1, 10, 10), 0.5), torch.zeros(20, dtype=torch.int64)
    delta = random_search(constant, x, y, threat=threat, queries=2) - x
    torch.testing.assert_close(threat.size(delta), torch.full((20,), 0.3))


@pytest.mark.parametrize(("threat", "dual"), [(Linf, 1), (L2, 2)])
def test_random_search_never_fools_beyond_the_exact_distance_and_corners_of_the_cube_help(threat, dual):
    model, x, y = linear_problem(2, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=dual)
    eps = distance.quantile(0.8).item()
    settings = {"threat": threat(eps), "queries": 100}
    inside, corners = (is_fooled(model(random_search(model, x, y, corners=c, **settings)), y) for c in (False, True))
    assert not (inside | corners)[distance > eps * 1.001].any()
    assert corners.sum() > inside.sum() or threat is L2  # whose volume is near its surface anyway


def test_the_first_that_fools_is_kept_and_else_the_largest_objective():
    moves = torch.tensor([0.1, 0.3, 0.2])

    def model(images):  # fooled above 0.75
        mean = images.flatten(1).mean(dim=1)
        return torch.stack([torch.full_like(mean, 0.75), mean], dim=1)

    x, y = torch.tensor([0.4, 0.6]).view(2, 1, 1, 1).expand(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)
    settings = {"targets": None, "seeds": None, "objective": margin}
    for threat, stop, expected in [
        (Linf(1.0), True, [0.7, 0.9]),
        (Linf(1.0), False, [0.7, 0.9]),
        (Linf(0.25), True, [0.6, 0.8]),  # what is not allowed is not used
    ]:
        x_adv = best_of(
            model, x, y, lambda x, seeds, n: x + moves[n], 3, threat=threat, stop_when_fooled=stop, **settings
        )
        torch.testing.assert_close(x_adv[:, 0, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize(
    ("attack", "settings", "says"),
    [
        (gaussian_noise, {"std": -0.1}, "std must not be negative, got -0.1"),
        (gaussian_noise, {"draws": 0}, "draws must be at least 1, got 0"),
        (uniform_noise, {"draws": 0}, "draws must be at least 1, got 0"),
        (random_search, {"queries": 0}, "queries must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(attack, settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        attack(model, x, y, threat=Linf(0.1), **settings)
