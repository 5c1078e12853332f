import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.fab import fab
from max_mahalanobis.attacks.minimum_norm.projections import PROJECTIONS
from max_mahalanobis.threats import L1, L2, Linf

THREATS = {"Linf": Linf(1), "L2": L2(10), "L1": L1(1e6)}


def planes(count=60, features=12, dtype=torch.float64):
    """Points of the box, some on its faces, and hyperplanes within its reach, and (the last ten) beyond."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(count, features, generator=generator, dtype=dtype) * 2 - 0.5).clamp(0, 1)
    w = torch.randn(count, features, generator=generator, dtype=dtype)
    w[torch.rand(count, features, generator=generator) < 0.2] = 0
    sign = torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0).to(dtype)
    reach = (torch.where(sign[:, None] * w > 0, 1 - x, x) * w.abs()).sum(dim=1)
    share = torch.linspace(0, 1, count, dtype=dtype)
    share[-10:] = 1.5
    return x, w, sign * share * reach


def slow(name, x, w, need):
    """One image at a time: the level by a hundred halvings, in L1 the heaviest components one after the other."""
    moved = []
    for point, normal, amount in zip(x, w, need, strict=True):
        direction = normal.sign() * amount.sign()
        room = torch.where(direction > 0, 1 - point, point) * direction.abs()
        amount = amount.abs().item()
        if name == "L1":
            change = torch.zeros_like(point)
            for i in normal.abs().argsort(descending=True).tolist():
                if amount > 0 and normal[i] != 0:
                    change[i] = min(room[i].item(), amount / abs(normal[i].item()))
                    amount -= change[i].item() * abs(normal[i].item())
        else:
            pace = direction.abs() if name == "Linf" else normal.abs()
            low, high = 0.0, 1e6
            for _ in range(100):
                level = (low + high) / 2
                enough = ((level * pace).minimum(room) * normal.abs()).sum() >= amount
                low, high = (low, level) if enough else (level, high)
            change = (high * pace).minimum(room)
        moved.append(direction * change)
    return torch.stack(moved)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_projections_equal_a_slow_search_image_by_image(name):
    x, w, need = planes()
    torch.testing.assert_close(PROJECTIONS[name](x, w, need), slow(name, x, w, need), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", PROJECTIONS)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_projections_lie_on_the_plane_and_in_the_box_whatever_the_scale_of_the_normal(name, scale):
    x, w, need = planes(features=784, dtype=torch.float32)
    x, w, need = x[:-10], w[:-10], need[:-10]
    delta = PROJECTIONS[name](x, scale * w, scale * need)
    torch.testing.assert_close((delta * w).sum(dim=1), need, rtol=1e-4, atol=1e-4)
    assert (x + delta).min() >= 0
    assert (x + delta).max() <= 1 + 1e-7
    assert (delta[w == 0] == 0).all()


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_plane_beyond_the_box_is_approached_to_the_corner(name):
    x, w, need = planes()
    corner = torch.where(w * need.sign()[:, None] > 0, 1.0, 0.0).to(x.dtype)
    delta = PROJECTIONS[name](x, w, need)
    torch.testing.assert_close((x + delta)[-10:][w[-10:] != 0], corner[-10:][w[-10:] != 0])


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_normal_of_zero_moves_nothing(name):
    x, _, need = planes()
    assert (PROJECTIONS[name](x, torch.zeros_like(x), need) == 0).all()


@pytest.mark.parametrize("name", PROJECTIONS)
def test_components_of_equal_weight_suffice_in_every_norm(name):
    x, need = torch.full((3, 8), 0.5), torch.tensor([0.1, 2.0, -4.0])
    delta = PROJECTIONS[name](x, torch.ones(3, 8), need)
    torch.testing.assert_close(delta.sum(dim=1), need)
    torch.testing.assert_close(THREATS["L1"].size(delta), need.abs())


def rugged():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 60), nn.ReLU(), nn.Linear(60, 30), nn.ReLU(), nn.Linear(30, 5)
        )
        x = torch.rand(60, 1, 4, 4)
    return model, x, model(x).argmax(dim=1)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_restarts_never_find_a_larger_one_and_depend_on_the_seeds(name):
    model, x, y = rugged()
    threat = type(THREATS[name]).unlimited(16)
    sizes = [threat.size(fab(model, x, y, threat=threat, steps=5, restarts=n) - x) for n in (1, 3)]
    once, thrice = (size.where(size > 0, torch.inf) for size in sizes)  # 0: nothing found
    assert (thrice <= once).all()
    assert (thrice < once).any()
    other = fab(model, x, y, threat=threat, steps=5, restarts=3, seeds=torch.arange(60) + 1000)
    assert not torch.equal(threat.size(other - x), sizes[1])


def test_the_best_over_all_targets_is_about_the_best_of_all_boundaries():
    model, x, y = rugged()
    threat = L2.unlimited(16)
    untargeted = threat.size(fab(model, x, y, threat=threat, steps=30) - x)
    aimed = [threat.size(fab(model, x, y, threat=threat, targets=(y + k) % 5, steps=30) - x) for k in range(1, 5)]
    found = torch.stack([size.where(size > 0, torch.inf) for size in aimed]).amin(dim=0)
    assert found.median() <= 1.02 * untargeted.median()
    assert untargeted.median() <= 1.02 * found.median()


@pytest.mark.parametrize("targeted", [False, True])
def test_it_costs_two_forwards_a_step_and_six_and_a_backward_for_each_boundary(targeted, monkeypatch):
    model, x, y = linear_problem(10, count=7)
    forwards, backwards, grad = [], [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: backwards.append(1) or grad(*a, **k))
    targets = (y + 1) % 10 if targeted else None
    fab(lambda z: forwards.append(len(z)) or model(z), x, y, threat=L2(1), targets=targets, steps=11)
    assert forwards == [7] * (2 * 11 + 6)
    assert len(backwards) == 11 * (1 if targeted else 9)


def test_without_its_final_search_nothing_would_be_smaller():
    """On a straight line to a hyperplane the search removes the overshoot that the steps leave."""
    model, x, y = linear_problem(2, dtype=torch.float64)
    weight = model.layer.weight.detach()
    distance = (model(x).gather(1, y[:, None]) - model(x).gather(1, 1 - y[:, None])).squeeze(1) / (
        weight[0] - weight[1]
    ).norm()
    one_step = fab(model, x, y, threat=L2.unlimited(16), steps=1, eta=1.5)
    assert is_fooled(model(one_step), y).all()
    assert ((one_step - x).flatten(1).norm(dim=1) / distance).median() < 1.001


def test_it_finds_the_same_where_the_caller_wants_no_gradients():
    model, x, y = linear_problem(3)
    found = fab(model, x, y, threat=L2(1), steps=5)
    with torch.no_grad():
        torch.testing.assert_close(fab(model, x, y, threat=L2(1), steps=5), found)
