import pytest
import torch
from linear import Linear

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.saliency_map import best_pair, jsma
from max_mahalanobis.threats import L0


def problem(num_classes, *, side=16, count=30):
    """Random images far from every boundary: several components must change."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(num_classes, side * side, generator=generator, dtype=torch.float64)
    x = torch.rand(count, 1, side, side, generator=generator, dtype=torch.float64)
    model = Linear(weight, -weight.sum(dim=1) * 0.5).requires_grad_(False)
    return model, x, model(x).argmax(dim=1)


def exact_count(model, x, y):
    """Fewest components whose best moves close the gap to some class."""
    gaps, weight, flat = model(x).gather(1, y[:, None]) - model(x), model.layer.weight, x.flatten(1)
    counts = []
    for k in range(len(weight)):
        w = weight[k] - weight[y]
        gains = torch.maximum(w * (1 - flat), -w * flat).sort(dim=1, descending=True).values.cumsum(dim=1)
        counts.append(((gains < gaps[:, k : k + 1]).sum(dim=1) + 1).double().masked_fill(y == k, torch.inf))
    return torch.stack(counts).amin(dim=0)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_every_image_falls_and_none_with_fewer_components_than_it_takes(num_classes):
    model, x, y = problem(num_classes)
    threat = L0.unlimited(256)
    x_adv = jsma(model, x, y, threat=threat)
    assert is_fooled(model(x_adv), y).all()
    changed, least = threat.size(x_adv - x), exact_count(model, x, y)
    assert (changed >= least).all()
    assert changed.sum() <= 3 * least.sum()  # pairs, where often one component is enough


def slow_jsma(model, x, y, target, theta, direction, eps):
    """Papernot et al. 2016, algorithm 2: all pairs of one image, by loops."""
    x_adv = x.clone()
    while (x_adv != x).sum() <= eps:
        jacobian = torch.autograd.functional.jacobian(lambda image: model(image)[0], x_adv)[:, 0].flatten(1)
        if bool(is_fooled(model(x_adv), y)):
            return x_adv
        best, pair = 0.0, None
        sign = 1 if direction == "increase" else -1
        free = (x_adv.flatten() < 1) if sign > 0 else (x_adv.flatten() > 0)
        for p in range(x.numel()):
            for q in range(p):
                rise = sign * (jacobian[target, p] + jacobian[target, q]).item()
                others = sign * (jacobian[:, p] + jacobian[:, q]).sum().item() - rise
                if free[p] and free[q] and rise > 0 and others < 0 and -rise * others > best:
                    best, pair = -rise * others, [p, q]
        if pair is None:
            break
        x_adv.view(-1)[pair] = (x_adv.view(-1)[pair] + sign * theta).clamp(0, 1)
    return x


@pytest.mark.parametrize(("theta", "direction"), [(1.0, "increase"), (1.0, "decrease"), (0.3, "increase")])
def test_one_direction_is_the_published_algorithm(theta, direction):
    model, x, y = problem(3, side=4, count=6)
    targets = (y + 1) % 3
    fast = jsma(model, x, y, threat=L0(8), targets=targets, theta=theta, direction=direction)
    rows = zip(x.split(1), y.split(1), targets.tolist(), strict=True)
    slow = torch.cat([slow_jsma(model, image, label, target, theta, direction, 8) for image, label, target in rows])
    torch.testing.assert_close(fast, slow)
    assert (fast != x).any()


@pytest.mark.parametrize("num_features", [30, 300, 1000])
def test_the_pair_is_the_best_of_all_pairs(num_features):
    generator = torch.Generator().manual_seed(num_features)
    up, down = torch.randn(2, 10, num_features, generator=generator, dtype=torch.float64)
    down = 5 * down + 2 * up.abs()
    rise, fall = torch.cat([up, -up], dim=1), torch.cat([down, -down], dim=1)
    allowed = torch.rand(rise.shape, generator=generator) < 0.8
    first, second, found = best_pair(rise, fall, allowed)
    assert found.all()
    assert (allowed.gather(1, first[:, None]) & allowed.gather(1, second[:, None])).all()
    assert (first % num_features != second % num_features).all()
    for i in range(10):
        moves = allowed[i].nonzero().squeeze(1)
        sums = [of[i, moves][:, None] + of[i, moves] for of in (rise, fall)]
        usable = (sums[0] > 0) & (sums[1] > 0) & (moves[:, None] % num_features != moves % num_features)
        exact = (sums[0] * sums[1]).masked_fill(~usable, 0).max()
        chosen = (rise[i, first[i]] + rise[i, second[i]]) * (fall[i, first[i]] + fall[i, second[i]])
        torch.testing.assert_close(chosen, exact)


def test_where_no_pair_serves_the_image_comes_back():
    weight = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    model = Linear(weight, torch.tensor([9.0, 0.0], dtype=torch.float64)).requires_grad_(False)  # out of reach
    x = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    assert torch.equal(jsma(model, x, torch.zeros(2, dtype=torch.int64), threat=L0(4)), x)


def test_a_move_is_never_taken_back():
    model, x, y = problem(10, side=4)
    x_adv = jsma(model, x, y, threat=L0.unlimited(16), theta=0.25)
    steps = ((x_adv - x) / 0.25).abs()
    on_face = (x_adv == 0) | (x_adv == 1)
    torch.testing.assert_close(steps[~on_face], steps[~on_face].round())
    assert is_fooled(model(x_adv), y).double().mean() >= 0.9
