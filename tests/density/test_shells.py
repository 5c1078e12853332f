import math

import pytest
import torch
from scipy.stats import chi2

from max_mahalanobis.density import (
    equal_count_edges,
    log_ball_volume,
    log_core_density,
    log_density_mmc,
    log_neighbor_density,
    log_shell_volume,
    log_sphere_area,
    shell_density,
)
from max_mahalanobis.errors import UserError


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def uniform_ball_distances(count, dim):
    return torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** (1 / dim)


def test_volumes_and_areas_by_hand():
    two = torch.tensor(2.0, dtype=torch.float64)
    volumes = [float(log_ball_volume(dim, two).exp()) for dim in (1, 2, 3, 4)]
    assert volumes == pytest.approx([4, 4 * math.pi, 32 / 3 * math.pi, 8 * math.pi**2])
    areas = [float(log_sphere_area(dim, two).exp()) for dim in (1, 2, 3)]
    assert areas == pytest.approx([2, 4 * math.pi, 16 * math.pi])


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_the_shell_volume_agrees_with_monte_carlo(dim):
    inside = torch.rand(400_000, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    radii = inside.norm(dim=1)  # one corner of the cube [-1, 1]^dim
    share = ((radii > 0.6) & (radii < 0.9)).double().mean() * 2**dim
    volume = log_shell_volume(dim, torch.tensor(0.6), torch.tensor(0.9)).exp()
    assert float(volume) == pytest.approx(float(share), rel=0.01)


def test_a_thin_shell_in_many_dimensions_is_its_area_times_its_thickness():
    radius, thickness = torch.tensor(3.0, dtype=torch.float64), 1e-7
    volume = log_shell_volume(256, radius - thickness / 2, radius + thickness / 2)
    assert float(volume) == pytest.approx(float(log_sphere_area(256, radius)) + math.log(thickness), abs=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 5, 64])
def test_a_uniform_ball_has_one_density_everywhere(dim):
    distances = uniform_ball_distances(20_000, dim)
    shells = shell_density(distances, dim, equal_count_edges(distances, 10))
    expected = math.log(20_000) - float(log_ball_volume(dim, torch.tensor(1.0)))
    assert int(shells.counts.sum()) == 20_000
    assert float((shells.log_density - expected).abs().max()) < 0.08
    assert float(log_core_density(distances, dim)) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("dim", [2, 8])
def test_a_gaussian_has_its_analytic_density_in_every_shell(dim):
    distances = draw(40_000, dim).norm(dim=1)
    edges = equal_count_edges(distances, 8)
    shells = shell_density(distances, dim, edges)
    share = torch.from_numpy(chi2(dim).cdf(edges.square().numpy())).diff()
    expected = (40_000 * share).log() - log_shell_volume(dim, edges[:-1], edges[1:])
    torch.testing.assert_close(shells.log_density, expected, rtol=0, atol=0.06)


@pytest.mark.parametrize("convention", ["surface", "volume"])
def test_the_empirical_density_of_a_gaussian_is_that_of_theorem_2_up_to_a_constant(convention):
    dim, count = 6, 200_000
    distances = draw(count, dim).norm(dim=1)
    edges = torch.linspace(1.5, 3.5, 21, dtype=torch.float64)
    found = shell_density(distances, dim, edges, convention=convention).log_density
    losses = (edges[:-1].square() + edges[1:].square()) / 4
    density = torch.from_numpy(2 * chi2(dim).pdf(2 * losses.numpy()))
    predicted = log_density_mmc(losses, dim, count=count, loss_density=density, convention=convention)
    assert float((found - predicted).std()) < 0.03


def test_counts_agree_with_a_plain_loop_and_edges_belong_to_the_shell_within():
    distances, edges = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]), torch.tensor([0.0, 1.0, 1.5, 2.0])
    assert shell_density(distances, 3, edges).counts.tolist() == [3, 1, 1]


def test_an_empty_shell_has_log_density_minus_infinity():
    shells = shell_density(torch.tensor([0.5]), 2, torch.tensor([0.0, 1.0, 2.0]))
    assert shells.log_density.tolist() == pytest.approx([-math.log(math.pi), -math.inf])


def test_pooled_classes_share_as_many_shells():
    distances, edges = uniform_ball_distances(100, 3), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    one = shell_density(distances, 3, edges).log_density
    both = shell_density(distances.repeat(2), 3, edges, num_centers=2).log_density
    torch.testing.assert_close(one, both)


def test_scaling_features_moves_every_density_by_dim_times_the_logarithm():
    features = draw(300, 7)
    distances = features.norm(dim=1)
    edges = equal_count_edges(distances, 4)
    for density in (
        lambda s: shell_density(s * distances, 7, s * edges).log_density,
        lambda s: log_core_density(s * distances, 7),
        lambda s: log_neighbor_density(s * features),
    ):
        torch.testing.assert_close(density(3.0), density(1.0) - 7 * math.log(3.0))


def test_neighbors_in_the_middle_of_a_uniform_square_find_its_density():
    features = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    middle = ((features - 0.5).abs() < 0.3).all(dim=1)
    found = log_neighbor_density(features, neighbors=40, chunk=999)[middle]
    assert float(found.mean()) == pytest.approx(math.log(4000), abs=0.06)


def test_neighbors_agree_with_a_plain_loop():
    features = draw(12, 3)
    found = log_neighbor_density(features, neighbors=3, chunk=5)
    for feature, value in zip(features, found, strict=True):
        reach = sorted(float((feature - other).norm()) for other in features)[3]
        assert float(value) == pytest.approx(math.log(3) - math.log(4 / 3 * math.pi * reach**3))


def test_coinciding_distances_leave_fewer_shells():
    edges = equal_count_edges(torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64), 4)
    assert (edges.diff() > 0).all()
    assert (edges[0], edges[-1]) == (0, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: equal_count_edges(torch.zeros(3), 2), "3 distances, none above 0"),
        (lambda: equal_count_edges(torch.zeros(0), 2), "0 distances, none above 0"),
        (lambda: equal_count_edges(torch.ones(3), 0), "num_shells must be at least 1, got 0"),
        (lambda: shell_density(torch.ones(3), 2, torch.tensor([1.0])), "edges must be increasing radii"),
        (lambda: shell_density(torch.ones(3), 2, torch.tensor([1.0, 1.0])), "edges must be increasing radii"),
        (lambda: shell_density(torch.ones(3), 2, torch.tensor([-1.0, 1.0])), "edges must be increasing radii"),
        (lambda: shell_density(torch.ones(3), 2, torch.ones(2), convention="ball"), "unknown convention 'ball'"),
        (lambda: log_core_density(torch.ones(3), 2, share=0.0), r"share must lie in \(0, 1\]"),
        (lambda: log_core_density(torch.ones(0), 2), "got 0.5 of 0"),
        (lambda: log_neighbor_density(torch.ones(3, 2), neighbors=3), r"neighbors must lie in \[1, 2\] for 3"),
    ],
)
def test_bad_input_is_refused_with_its_value(wrong, message):
    with pytest.raises(UserError, match=message):
        wrong()
