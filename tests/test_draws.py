import torch
from scipy.stats import kstest

from max_mahalanobis.draws import derive, normal, uniform

SEEDS = torch.arange(500)


def test_draws_look_uniform_and_normal():
    assert kstest(uniform(SEEDS, 400).flatten().numpy(), "uniform").pvalue > 1e-3
    assert kstest(normal(SEEDS, 400).flatten().numpy(), "norm").pvalue > 1e-3


def test_neighbouring_seeds_positions_and_streams_are_unrelated():
    drawn = uniform(SEEDS, 400)
    for other in (uniform(SEEDS + 1, 400), drawn.roll(1, dims=1), uniform(SEEDS, 400, stream=1)):
        correlation = torch.corrcoef(torch.stack([drawn.flatten(), other.flatten()]))[0, 1]
        assert correlation.abs() < 0.01


def test_a_draw_depends_on_its_seed_and_position_alone():
    whole = uniform(SEEDS, 50)
    torch.testing.assert_close(uniform(SEEDS[[7, 3]], 20), whole[[7, 3], :20], rtol=0, atol=0)


def test_uniform_draws_stay_below_one_and_reach_both_ends():
    drawn = uniform(torch.arange(1000), 1000)
    assert 0 <= drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1


def test_derived_seeds_do_not_collide():
    grid = torch.stack([derive(0, epoch, torch.arange(10_000)) for epoch in range(20)])
    assert grid.unique().numel() == grid.numel()
