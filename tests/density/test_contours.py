import math

import pytest
import torch

from max_mahalanobis.density import (
    Plane,
    QuadraticClass,
    Sphere,
    contour,
    from_linear,
    log_density_gsce,
    log_density_mmc,
    log_sphere_area,
    loss_range,
    pair_loss,
)
from max_mahalanobis.errors import UserError

DIM = 6
LOSSES = (1e-6, 0.01, 0.3, 2.0, 40.0)


def gaussians(seed, own_precision, other_precision):
    generator = torch.Generator().manual_seed(seed)
    one, two = torch.randn(2, DIM, generator=generator, dtype=torch.float64)
    return QuadraticClass(one, own_precision, 0.3), QuadraticClass(two, other_precision, -0.4)


def points_on(shape, count=50):
    """Random points on a sphere or a plane."""
    directions = torch.randn(count, DIM, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    if isinstance(shape, Sphere):
        unit = directions / directions.norm(dim=1, keepdim=True)
        return shape.center + math.sqrt(shape.squared_radius) * unit
    missing = shape.offset - directions @ shape.normal
    return directions + missing[:, None] * shape.normal / shape.normal.square().sum()


@pytest.mark.parametrize("precisions", [(1.5, 0.5), (0.5, 1.5), (0.7, 0.7), (1.0, 0.9)])
@pytest.mark.parametrize("seed", [0, 1])
def test_points_on_the_predicted_contour_have_the_predicted_loss(precisions, seed):
    own, other = gaussians(seed, *precisions)
    low, high = loss_range(own, other)
    within = [loss for loss in (*LOSSES, low + 0.1, high - 0.1) if low < loss < high]
    assert len(within) >= 3
    for loss in within:
        found = pair_loss(points_on(contour(loss, own, other)), own, other)
        torch.testing.assert_close(found, torch.full_like(found, loss), rtol=1e-9, atol=1e-9)


def test_the_least_loss_of_the_sharper_class_is_met_at_the_middle_alone():
    own, other = gaussians(0, 1.5, 0.5)
    low, _ = loss_range(own, other)
    sphere = contour(low, own, other)
    assert low > 0
    assert sphere.squared_radius < 1e-9
    torch.testing.assert_close(pair_loss(sphere.center[None], own, other), torch.tensor([low], dtype=torch.float64))
    around = points_on(Sphere(sphere.center, 1e-4))
    assert (pair_loss(around, own, other) > low).all()


def test_the_flatter_class_loses_less_the_farther_away_and_never_more_than_in_the_middle():
    own, other = gaussians(0, 0.5, 1.5)
    _, high = loss_range(own, other)
    middle = contour(0.1, own, other).center
    losses = [float(pair_loss(points_on(Sphere(middle, r**2), 1), own, other)) for r in (0.01, 1.0, 3.0, 9.0)]
    assert losses == sorted(losses, reverse=True)
    assert high > losses[0]
    assert losses[-1] < 1e-20


def test_the_contour_by_hand():
    own = QuadraticClass(torch.tensor([1.0, 0.0]), 2.0)
    other = QuadraticClass(torch.tensor([-1.0, 0.0]), 1.0)
    sphere = contour(math.log(2), own, other)  # log C_e = 0: radius^2 = B = 2 * 1 * 4 / 1
    torch.testing.assert_close(sphere.center, torch.tensor([3.0, 0.0]))
    assert sphere.squared_radius == pytest.approx(8)
    assert loss_range(own, other)[0] == pytest.approx(math.log1p(math.exp(-8)))


def test_softmax_cross_entropy_is_a_member_whose_contours_are_planes():
    weights = torch.randn(2, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own, other = from_linear(weights[0], 0.5), from_linear(weights[1], -0.25)
    plane = contour(0.2, own, other)
    assert isinstance(plane, Plane)
    points = points_on(plane)
    logits = points @ weights.T + torch.tensor([0.5, -0.25], dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(50, dtype=torch.long), reduction="none")
    torch.testing.assert_close(expected, torch.full_like(expected, 0.2), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(plane.normal, weights[0] - weights[1])


@pytest.mark.parametrize("precisions", [(1.5, 0.5), (0.5, 1.5)])
@pytest.mark.parametrize("convention", ["surface", "volume"])
def test_theorem_1_divides_by_the_area_or_by_the_volume_between_two_losses(precisions, convention):
    own, other = gaussians(0, *precisions)
    low, high = loss_range(own, other)
    losses = low + (min(high, low + 3) - low) * torch.linspace(0.1, 0.9, 7, dtype=torch.float64)
    even = torch.ones_like(losses)
    found = log_density_gsce(losses, own, other, count=5, loss_density=even, convention=convention)

    def radius(offset):
        spheres = [contour(float(loss) + offset, own, other) for loss in losses]
        return torch.tensor([sphere.squared_radius for sphere in spheres], dtype=torch.float64).sqrt()

    if convention == "surface":
        size = log_sphere_area(DIM, radius(0.0))
    else:
        size = (radius(1e-5) ** DIM - radius(-1e-5) ** DIM).abs().log()
    constant = found + size
    torch.testing.assert_close(constant, constant[:1].expand(7), rtol=0, atol=1e-6)


def test_theorem_1_counts_features_and_their_losses():
    own, other = gaussians(0, 0.5, 1.5)
    losses = torch.tensor([0.1], dtype=torch.float64)
    one = log_density_gsce(losses, own, other, count=1, loss_density=torch.ones(1))
    six = log_density_gsce(losses, own, other, count=2, loss_density=torch.full((1,), 3.0))
    assert float(six - one) == pytest.approx(math.log(6))


def test_theorem_2_by_hand_in_both_conventions():
    losses, even = torch.tensor([4.0]), torch.tensor([0.5])
    surface = log_density_mmc(losses, 5, count=10, loss_density=even)
    volume = log_density_mmc(losses, 5, count=10, loss_density=even, convention="volume")
    assert float(surface) == pytest.approx(math.log(5 / 4**2))
    assert float(volume) == pytest.approx(math.log(5 / 4**1.5))


def test_what_has_no_contour_or_density_is_refused_with_what_there_is():
    own, other = gaussians(0, 1.5, 0.5)
    low, _ = loss_range(own, other)
    with pytest.raises(UserError, match="no feature has loss 1e-09 here: choose one in"):
        contour(1e-9, own, other)
    for loss in (0, -1.0, math.nan, math.inf):
        with pytest.raises(UserError, match=f"no feature has loss {loss}"):
            contour(loss, *gaussians(0, 1.0, 1.0))
    with pytest.raises(UserError, match=r"losses of this pair lie in .* leave out others"):
        log_density_gsce(torch.tensor([low / 2]), own, other, count=1, loss_density=torch.ones(1))
    with pytest.raises(UserError, match="both precisions are 1.0: the contours are planes"):
        log_density_gsce(torch.ones(1), *gaussians(0, 1.0, 1.0), count=1, loss_density=torch.ones(1))
    with pytest.raises(UserError, match="unknown convention 'shell': choose from surface, volume"):
        log_density_mmc(torch.ones(1), 3, count=1, loss_density=torch.ones(1), convention="shell")


@pytest.mark.parametrize(
    ("center", "precision", "bias", "message"),
    [
        (torch.zeros(2), 0.0, 0.0, "precision must be positive, got 0.0"),
        (torch.zeros(2), math.nan, 0.0, "precision must be positive, got nan"),
        (torch.zeros(2), 1.0, math.inf, "bias must be finite, got inf"),
        (torch.tensor([math.nan]), 1.0, 0.0, "center must be one finite vector"),
        (torch.zeros(2, 2), 1.0, 0.0, r"center must be one finite vector \(dim,\), got shape \(2, 2\)"),
    ],
)
def test_what_is_no_class_is_refused(center, precision, bias, message):
    with pytest.raises(UserError, match=message):
        QuadraticClass(center, precision, bias)
