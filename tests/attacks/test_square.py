from functools import partial

import pytest
import torch
from linear import exact_distance, linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled, margin, pgd
from max_mahalanobis.attacks.gradient_free.square import _plan, square
from max_mahalanobis.draws import derive
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L0, L1, L2, Linf

NORMS = pytest.mark.parametrize(("threat", "dual", "room"), [(Linf, 1, 1.1), (L2, 2, 1.8), (L1, torch.inf, 2.0)])


@NORMS
@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_no_image_falls_beyond_the_exact_distance_and_all_fall_well_within(threat, dual, room, num_classes):
    model, x, y = linear_problem(num_classes, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=dual)
    eps = distance.quantile(0.7).item()
    fooled = is_fooled(model(square(model, x, y, threat=threat(eps), queries=400)), y)
    assert not fooled[distance > eps * 1.001].any()
    assert fooled[distance < eps / room].all()


def test_the_sides_of_the_squares_follow_the_published_schedule():
    # AutoAttack's p_selection without rescaling, p_init = 0.8, 28 x 28: round(sqrt(p * 784))
    sides = [0] * 9000
    for side, first, count in _plan(9000, 0.8, 28, 28, 1):
        sides[first : first + count] = [side] * count
    published = {0: 25, 10: 25, 11: 18, 50: 18, 51: 13, 200: 13, 201: 9, 500: 9, 501: 6, 1000: 6, 1001: 4, 2000: 4}
    published |= {2001: 3, 4000: 3, 4001: 2, 6000: 2, 6001: 2, 8000: 2, 8001: 1, 8999: 1}
    assert {query: sides[query] for query in published} == published


@pytest.mark.parametrize("squares", [0, 1, 99, 100, 101, 250, 8001, 20000])
def test_the_plan_has_every_square_once_and_in_order(squares):
    numbers = [n for _, first, count in _plan(squares, 0.8, 8, 8, 3) for n in range(first, first + count)]
    assert numbers == list(range(squares))


def test_patterns_have_an_odd_side_unless_the_image_is_smaller():
    assert {side for side, _, _ in _plan(9000, 0.8, 28, 28, 3)} == {25, 19, 13, 9, 7, 5, 3}
    assert max(side for side, _, _ in _plan(9000, 1.0, 8, 8, 3)) == 8


@pytest.mark.parametrize("threat", [Linf(0.0), L2(0.0), L1(0.0)], ids=str)
@pytest.mark.parametrize("queries", [1, 2, 150])
def test_it_costs_one_forward_per_query_and_one_at_the_clean_image(threat, queries):
    model, x, y = linear_problem(10, count=8)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    square(watched, x, y, threat=threat, queries=queries, restarts=2)
    assert seen == [8] * (1 + 2 * queries)


@pytest.mark.parametrize("threat", [Linf(0.05), L2(0.2), L1(0.6)], ids=str)
def test_the_objective_never_falls_with_more_queries(threat):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 30), nn.ReLU(), nn.Linear(30, 5)).double()
    x = torch.rand(20, 3, 8, 8, dtype=torch.float64)
    y = model(x).argmax(dim=1)
    before = torch.full((20,), -torch.inf, dtype=torch.float64)
    for queries in (1, 10, 60, 200):
        x_adv = square(model, x, y, threat=threat, queries=queries, stop_when_fooled=False)
        after = margin(model(x_adv), y)
        assert (after >= before - 1e-9).all()
        before = after


@pytest.mark.parametrize("threat", [L2(0.7), L1(3.0)], ids=str)
def test_the_whole_budget_is_spent_where_the_box_allows_it(threat):
    model, x, y = linear_problem(3, count=20, side=9, dtype=torch.float64)
    x_adv = square(model, x, y, threat=threat, queries=100, stop_when_fooled=False)
    assert (threat.size(x_adv - x) > threat.eps * 0.95).all()


@pytest.mark.parametrize("threat", [L2(3.0), L1(12.0), Linf(0.3)], ids=str)
def test_a_thousand_trades_of_a_large_color_image_stay_within_the_ball(threat):
    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(3 * 96 * 96, 2, generator=torch.Generator().manual_seed(1))
    x_adv = square(lambda x: x.flatten(1) @ weight, x, torch.zeros(2).long(), threat=threat, queries=300)
    assert threat.allows(x_adv, x).all()


def test_every_pixel_can_be_reached():
    x, y = torch.full((60, 1, 6, 6), 0.5), torch.zeros(60, dtype=torch.int64)
    reached = torch.zeros(6, 6, dtype=torch.bool)

    def watched(images):
        if images.shape == x.shape and watched.last is not None:
            reached.logical_or_((images != watched.last).any(dim=0)[0])
        watched.last = images.clone()
        return torch.zeros(len(images), 2) + torch.tensor([1.0, 0.0])

    watched.last = None
    square(watched, x, y, threat=Linf(0.1), queries=120, area=0.03)
    assert reached.all()


def test_restarts_never_lose_a_fooled_image_and_find_more():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 30), nn.ReLU(), nn.Linear(30, 5))
    x = torch.rand(80, 1, 6, 6)
    y = model(x).argmax(dim=1)
    settings = {"threat": Linf(0.05), "queries": 5}
    fooled = [is_fooled(model(square(model, x, y, restarts=n, **settings)), y) for n in (1, 6)]
    assert (fooled[1] | ~fooled[0]).all()
    assert fooled[1].sum() > fooled[0].sum()
    kept = square(model, x, y, restarts=6, stop_when_fooled=False, **settings)
    assert torch.equal(is_fooled(model(kept), y), fooled[1])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"queries": 0}, "queries must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"area": 0.0}, r"area must lie in \(0, 1\], got 0.0"),
        ({"area": 1.5}, r"area must lie in \(0, 1\], got 1.5"),
        ({"threat": L0(3)}, r"square has no form for L0\(eps=3\): use Linf, L2 or L1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        square(model, x, y, **{"threat": Linf(0.1)} | settings)


def test_squares_that_go_on_from_another_attack_never_lose_what_it_found_and_find_more():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 40), nn.ReLU(), nn.Linear(40, 10))
    x = torch.rand(80, 1, 6, 6)
    y = model(x).argmax(dim=1)
    for threat in (Linf(0.06), L2(0.25), L1(1.0)):
        first = partial(pgd, threat=threat, objective=margin, steps=1, step_size=threat.eps / 2)
        alone = is_fooled(model(first(model, x, y, seeds=derive(derive(torch.arange(80), 0), -1))), y)
        x_adv = square(model, x, y, threat=threat, start=first, queries=100, area=0.1)
        together = is_fooled(model(x_adv), y)
        assert threat.allows(x_adv, x).all()
        assert (together | ~alone).all()
        if threat == Linf(0.06):
            assert together.sum() > alone.sum()
