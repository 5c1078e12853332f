import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import THREATS, Linf, check_images, make_threat

NAMES = st.sampled_from(sorted(THREATS))
BUDGETS = st.floats(min_value=0, max_value=1)


def images(seed: int, count: int = 6) -> torch.Tensor:
    return torch.rand(count, 1, 5, 5, generator=torch.Generator().manual_seed(seed))


@given(name=NAMES, eps=BUDGETS, seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_project_gives_what_the_threat_allows_and_is_idempotent(name, eps, seed):
    threat, x = make_threat(name, eps), images(seed)
    wild = x + 3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    once = threat.project(wild, x)
    assert threat.allows(once, x).all()
    torch.testing.assert_close(threat.project(once, x), once, rtol=0, atol=1e-6)


@given(name=NAMES, eps=BUDGETS, seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_samples_are_allowed_and_depend_on_the_image_seed_alone(name, eps, seed):
    threat, x = make_threat(name, eps), images(seed)
    seeds = torch.arange(len(x)) + seed
    drawn = threat.sample(x, seeds)
    assert threat.allows(drawn, x).all()
    torch.testing.assert_close(threat.sample(x[2:4], seeds[2:4]), drawn[2:4], rtol=0, atol=0)


@pytest.mark.parametrize("name", THREATS)
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_large_images_stay_within_the_tolerance(name, share):
    """Half a million float32 roundings must not add up to more than 1e-6."""
    threat = make_threat(name, share * {"linf": 1, "l2": 5, "l1": 100, "l0": 1000}[name])
    x = torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    wild = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert threat.allows(threat.project(wild, x), x).all()
    assert threat.allows(threat.sample(x, torch.arange(4)), x).all()


@pytest.mark.parametrize("name", ["linf", "l2", "l1"])  # the L0 size does not scale with its vector
def test_a_steepest_step_has_length_one_and_climbs_fastest(name):
    threat = make_threat(name, 0.5)
    gradient = torch.randn(6, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    step = threat.steepest(gradient)
    torch.testing.assert_close(threat.size(step), torch.ones(6))
    climbed = (step * gradient).flatten(1).sum(dim=1)
    for seed in range(20):
        other = torch.randn(step.shape, generator=torch.Generator().manual_seed(seed))
        other = other / threat.size(other).view(-1, 1, 1, 1)
        assert ((other * gradient).flatten(1).sum(dim=1) <= climbed + 1e-5).all()


@pytest.mark.parametrize("name", THREATS)
def test_tiny_and_zero_gradients_give_finite_steps(name):
    threat = make_threat(name, 0.5)
    gradient = torch.zeros(2, 1, 5, 5)
    gradient[0, 0, 0, 0] = 1e-38
    step = threat.steepest(gradient)
    torch.testing.assert_close(threat.size(step), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("name", ["linf", "l2", "l1"])
def test_leaving_the_ball_or_the_box_is_not_allowed(name):
    threat, x = make_threat(name, 0.1), torch.zeros(3, 1, 5, 5)
    x_adv = x.clone()
    x_adv[0, 0, 0, 0] = 0.1  # on the edge
    x_adv[1, 0, 0, 0] = 0.1001
    x_adv[2, 0, 0, 0] = -0.05
    assert threat.allows(x_adv, x).tolist() == [True, False, False]


def test_nan_is_not_allowed():
    x = torch.zeros(1, 1, 2, 2)
    assert not Linf(1.0).allows(torch.full_like(x, torch.nan), x).any()


@pytest.mark.parametrize("eps", [-0.1, 1.5, float("nan"), float("inf")])
def test_linf_budgets_lie_between_0_and_1(eps):
    with pytest.raises(UserError, match="eps"):
        Linf(eps)


def test_an_unknown_threat_lists_the_known():
    with pytest.raises(UserError, match="unknown threat 'l7': choose from linf, l2"):
        make_threat("l7", 0.1)


@pytest.mark.parametrize(
    ("x", "labels", "says"),
    [
        (torch.zeros(2, 3, 3), torch.zeros(2, dtype=torch.int64), "images must be float"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), "images must be float"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(3, dtype=torch.int64), "labels must be 2 integers"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2), "labels must be 2 integers"),
        (torch.full((2, 1, 3, 3), torch.nan), torch.zeros(2, dtype=torch.int64), "NaN"),
        (torch.full((2, 1, 3, 3), 255.0), torch.zeros(2, dtype=torch.int64), r"pixels must lie in \[0, 1\]"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(x, labels, says):
    with pytest.raises(UserError, match=says):
        check_images(x, labels)


def test_the_l1_projection_is_the_nearest_point_of_ball_and_box():
    """Dykstra's alternating projections, another way to the same point."""
    x = images(0, count=20).double()
    wild = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    threat = make_threat("l1", 2.0)
    point, p, q = wild.clone(), torch.zeros_like(wild), torch.zeros_like(wild)
    for _ in range(2000):
        inside = x + threat._into_ball(point + p - x)
        p = point + p - inside
        boxed = (inside + q).clamp(0, 1)
        q = inside + q - boxed
        point = boxed
    torch.testing.assert_close(threat.project(wild, x), point, rtol=0, atol=1e-5)


def test_l0_counts_the_components_that_change():
    x = images(0)
    x_adv = make_threat("l0", 3).project(1 - x, x)
    assert (x_adv != x).flatten(1).sum(dim=1).eq(3).all()


@pytest.mark.parametrize("name", THREATS)
def test_without_limit_every_image_of_the_box_is_allowed(name):
    x = images(0)
    threat = THREATS[name].unlimited(x[0].numel())
    assert threat.allows((x < 0.5).float(), x).all()
