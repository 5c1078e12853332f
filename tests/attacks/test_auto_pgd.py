from itertools import count

import pytest
import torch
from linear import exact_distance, linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.auto_pgd import apgd
from max_mahalanobis.attacks.objectives import OBJECTIVES, cross_entropy, dlr, margin
from max_mahalanobis.attacks.standing import Standing
from max_mahalanobis.draws import derive
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L0, L1, L2, Linf

THREATS = [pytest.param(threat, id=str(threat)) for threat in (Linf(0.05), L2(0.2), L1(0.5), Linf(0.0), L1(0.0))]
NORMS = pytest.mark.parametrize(("threat", "dual"), [(Linf, 1), (L2, 2), (L1, torch.inf)])


def tanh_problem(num_classes: int = 5, *, count: int = 12, channels: int = 1):
    """A curved model in float64, any images, and the labels the model gives them."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 30), nn.Tanh(), nn.Linear(30, num_classes)).double()
    for parameter in model.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = torch.rand(count, channels, 4, 4, generator=generator, dtype=torch.float64)
    return model, x, model(x).argmax(dim=1)


def batch_sizes(model):
    """The model, and the list of the batch sizes it will be shown."""
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    return watched, seen


@NORMS
@pytest.mark.parametrize("objective", [cross_entropy, pytest.param(margin, marks=pytest.mark.slow)])
def test_two_classes_fall_just_beyond_the_exact_distance_and_never_within(threat, dual, objective):
    model, x, y = linear_problem(2, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=dual)
    for eps in distance.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)).tolist():
        fooled = is_fooled(model(apgd(model, x, y, threat=threat(eps), objective=objective)), y)
        assert fooled[distance < eps / 1.02].all()
        assert not fooled[distance > eps * 1.001].any()


@NORMS
def test_the_objective_reaches_its_maximum_on_a_linear_model(threat, dual):
    model, x, y = linear_problem(2, dtype=torch.float64)
    eps = exact_distance(model, x, y, dual=dual).median().item() / 2
    weight = model.layer.weight
    highest = margin(model(x), y) + eps * (weight[0] - weight[1]).norm(p=dual)
    found = margin(model(apgd(model, x, y, threat=threat(eps), objective=margin, stop_when_fooled=False)), y)
    torch.testing.assert_close(found, highest, rtol=0, atol=0.02 * eps * weight.abs().max().item())


@pytest.mark.slow
@pytest.mark.parametrize("threat", THREATS)
@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize(("count", "channels"), [(1, 1), (6, 3)])
def test_it_stays_allowed_and_keeps_its_input(threat, num_classes, count, channels):
    model, x, y = tanh_problem(num_classes, count=count, channels=channels)
    kept = x.clone()
    for stop_when_fooled in (True, False):
        x_adv = apgd(model, x, y, threat=threat, steps=10, restarts=2, stop_when_fooled=stop_when_fooled)
        assert threat.allows(x_adv, x).all()
        assert (x_adv.shape, x_adv.dtype, x_adv.requires_grad) == (x.shape, x.dtype, False)
    torch.testing.assert_close(x, kept, rtol=0, atol=0)


@pytest.mark.parametrize("objective", OBJECTIVES.values())
@pytest.mark.parametrize("targeted", [False, True])
def test_every_objective_fools_a_linear_model_given_room(objective, targeted):
    model, x, y = linear_problem(10)
    targets = (y + 1) % 10 if targeted else None
    x_adv = apgd(model, x, y, threat=Linf(0.4), objective=objective, targets=targets, steps=20)
    assert is_fooled(model(x_adv), y).all()


def test_images_kept_to_the_end_reach_the_class_they_are_aimed_at():
    model, x, y = linear_problem(10)
    targets = (y + 1) % 10
    settings = {"threat": Linf(0.4), "objective": margin, "targets": targets, "stop_when_fooled": False}
    logits = model(apgd(model, x, y, **settings))
    assert (logits.gather(1, targets[:, None]) > logits.gather(1, y[:, None])).all()


@pytest.mark.slow
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.3), L1(0.8)])
@pytest.mark.parametrize("stop_when_fooled", [True, False])
def test_an_image_has_the_same_answer_alone_and_among_others_in_any_order(threat, stop_when_fooled):
    model, x, y = tanh_problem()
    seeds, order = torch.arange(12) + 100, torch.randperm(12, generator=torch.Generator().manual_seed(1))

    def attack(rows):
        settings = {"threat": threat, "steps": 12, "restarts": 2, "stop_when_fooled": stop_when_fooled}
        return apgd(model, x[rows], y[rows], seeds=seeds[rows], objective=dlr, **settings)

    whole = attack(torch.arange(12))
    torch.testing.assert_close(torch.cat([attack(torch.tensor([i])) for i in range(12)]), whole)
    torch.testing.assert_close(attack(order), whole[order])


def slow_apgd(model, image, label, start, eps: float, steps: int, rho: float):
    """Croce and Hein 2020, algorithm 1 in Linf with the margin, word by word for one image; all iterates' values."""

    def value_and_sign(point):
        point = point.detach().requires_grad_()
        value = margin(model(point), label)
        return value.item(), torch.autograd.grad(value.sum(), point)[0].sign()

    def project(point):
        return (image + (point - image).clamp(-eps, eps)).clamp(0, 1)

    gaps, checkpoints = [0.22], [0, -(-22 * steps // 100)]
    while round(100 * sum(gaps)) < 100:
        gaps.append(max(gaps[-1] - 0.03, 0.06))
        checkpoints.append(-(-round(100 * sum(gaps)) * steps // 100))
    points, step_size = [start], 2 * eps
    values = [value_and_sign(start)[0]]
    best, best_value, halved_at, best_values = start, values[0], [True], {0: values[0]}
    for k in range(steps):
        ahead = project(points[k] + step_size * value_and_sign(points[k])[1])
        if k > 0:
            ahead = project(points[k] + 0.75 * (ahead - points[k]) + 0.25 * (points[k] - points[k - 1]))
        points.append(ahead)
        values.append(value_and_sign(ahead)[0])
        if values[-1] >= best_value:
            best, best_value = ahead, values[-1]
        if k + 1 in checkpoints:
            last = checkpoints[checkpoints.index(k + 1) - 1]
            rises = sum(values[i + 1] > values[i] for i in range(last, k + 1))
            same = not halved_at[-1] and best_value <= best_values[last]
            halved_at.append(rises < rho * (k + 1 - last) or same)
            best_values[k + 1] = best_value
            if halved_at[-1]:
                step_size, points[-1], values[-1] = step_size / 2, best, best_value
    return best


@pytest.mark.parametrize("steps", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_it_equals_the_published_algorithm_in_linf(steps):
    model, x, y = tanh_problem()
    start = Linf(0.02).sample(x, derive(torch.arange(12), 0))
    slow = [slow_apgd(model, x[i : i + 1], y[i : i + 1], start[i : i + 1], 0.02, steps, 0.75) for i in range(12)]
    fast = apgd(model, x, y, threat=Linf(0.02), objective=margin, steps=steps)
    held = ~is_fooled(model(fast), y)
    assert held.sum() >= 8
    torch.testing.assert_close(fast[held], torch.cat(slow)[held])


@pytest.mark.parametrize(("threat", "num_balls"), [(Linf(0.01), 1), (L2(0.01), 1), (L1(0.01), 3)])
def test_an_image_that_holds_costs_what_the_docstring_says(threat, num_balls):
    model, x, y = linear_problem(10, count=6)
    x = (model.layer.weight[y] - model.layer.weight.mean(0) > 0).float().view_as(x)  # far from every boundary
    backwards = []

    def watched(images):
        images = images * 1
        if images.requires_grad:
            images.register_hook(lambda slope: backwards.append(len(slope)))
        return model(images)

    counted, forwards = batch_sizes(watched)
    apgd(counted, x, y, threat=threat, steps=20, restarts=3)
    assert (forwards, backwards) == ([6] * (3 * (20 + num_balls) + 1), [6] * 3 * 20)
    forwards.clear(), backwards.clear()
    apgd(counted, x, y, threat=threat, steps=20, stop_when_fooled=False)
    assert (forwards, backwards) == ([6] * (20 + num_balls), [6] * 20)


@pytest.mark.parametrize("threat", [Linf(0.05), L2(0.2), L1(0.03)])
def test_images_already_fooled_leave_the_batch(threat):
    model, x, y = linear_problem(10, count=30)
    watched, seen = batch_sizes(model)
    apgd(watched, x, y, threat=threat, steps=20)
    assert seen[0] == 30
    assert seen[-1] < 30
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("threat", [Linf(0.05), L2(0.2), L1(0.03)])
@pytest.mark.parametrize("stop_when_fooled", [True, False])
def test_answers_are_the_same_when_rows_leave_late_as_on_an_accelerator(threat, stop_when_fooled, monkeypatch):
    model, x, y = linear_problem(10, count=30, dtype=torch.float64)
    settings = {"threat": threat, "steps": 20, "restarts": 2, "stop_when_fooled": stop_when_fooled}
    at_once = apgd(model, x, y, **settings)
    calls, drop = count(1), Standing._drop
    monkeypatch.setattr(Standing, "_drop", lambda rows: drop(rows) if next(calls) % 10 == 0 else None)
    torch.testing.assert_close(apgd(model, x, y, **settings), at_once)


def test_images_fooled_before_any_change_come_back_unchanged():
    model, x, y = linear_problem(3)
    y[:7] = (y[:7] + 1) % 3
    watched, seen = batch_sizes(model)
    x_adv = apgd(watched, x, y, threat=Linf(0.01), steps=3)
    torch.testing.assert_close(x_adv[:7], x[:7], rtol=0, atol=0)
    assert seen[:2] == [40, 33]


def test_images_kept_to_the_end_are_fooled_where_leaving_ones_are_and_score_no_less():
    model, x, y = tanh_problem(count=40)
    settings = {"threat": Linf(0.08), "objective": margin, "steps": 30}
    leaving = margin(model(apgd(model, x, y, **settings)), y)
    kept = margin(model(apgd(model, x, y, stop_when_fooled=False, **settings)), y)
    assert 5 < (leaving > 0).sum() < 35
    assert ((kept > 0) == (leaving > 0)).all()
    assert (kept >= leaving).all()


def test_restarts_go_to_images_that_hold_and_lose_none_that_fell():
    model, x, y = tanh_problem(count=40)
    watched, seen = batch_sizes(model)
    settings = {"threat": Linf(0.08), "steps": 2, "objective": cross_entropy}
    for stop_when_fooled in (True, False):
        once, often = (apgd(watched, x, y, restarts=n, stop_when_fooled=stop_when_fooled, **settings) for n in (1, 8))
        assert (is_fooled(model(often), y) >= is_fooled(model(once), y)).all()
        assert seen[-1] <= (~is_fooled(model(once), y)).sum()
        held = ~is_fooled(model(often), y)
        assert (cross_entropy(model(often), y) >= cross_entropy(model(once), y))[held].all()


def test_larger_radii_can_be_left_out_and_taken_in_every_norm():
    model, x, y = tanh_problem()
    for threat in (Linf(0.05), L2(0.2), L1(0.6), Linf(0.9), L1(40.0)):
        counts = []
        for larger_radii in (None, False, True):
            watched, seen = batch_sizes(model)
            settings = {"steps": 10, "larger_radii": larger_radii, "stop_when_fooled": False}
            x_adv = apgd(watched, x, y, threat=threat, **settings)
            assert threat.allows(x_adv, x).all()
            counts.append(len(seen))
        assert counts == [13 if isinstance(threat, L1) else 11, 11, 13]


def test_what_fools_only_in_a_larger_ball_is_no_answer():
    model, x, y = linear_problem(2, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=torch.inf)
    eps = distance.min().item() / 1.5  # nothing falls within eps, much within 3 eps
    x_adv = apgd(model, x, y, threat=L1(eps), steps=20)
    assert L1(eps).allows(x_adv, x).all()
    assert not is_fooled(model(x_adv), y).any()


def test_steps_of_one_are_enough_for_every_norm():
    model, x, y = linear_problem(3)
    for threat in (Linf(0.05), L2(0.2), L1(0.5)):
        assert threat.allows(apgd(model, x, y, threat=threat, steps=1), x).all()


@pytest.mark.parametrize("scale", [40, 110])
def test_a_cross_entropy_that_is_flat_in_float32_is_climbed(scale):
    model, x, y = linear_problem(2)
    steep = lambda images: scale * model(images)  # noqa: E731
    x = x + 0.3 * (model.layer.weight[y] - model.layer.weight[1 - y]).sign().view_as(x)
    clean = x.clone().requires_grad_()
    flat = torch.autograd.grad(cross_entropy(steep(clean), y).sum(), clean)[0]
    x_adv = apgd(steep, x, y, threat=Linf(0.5))
    assert (flat == 0).all()
    assert is_fooled(steep(x_adv), y).all()


def test_logits_that_are_not_finite_fool_and_spoil_no_neighbour():
    model, x, y = linear_problem(3, dtype=torch.float64)
    x[5] = 0.9

    def broken(images):
        return torch.where(images.flatten(1).mean(1, keepdim=True) > 0.8, torch.nan, 1.0) * model(images)

    for threat in (Linf(0.01), L2(0.05), L1(0.1)):
        for stop_when_fooled in (True, False):
            settings = {"threat": threat, "steps": 15, "stop_when_fooled": stop_when_fooled}
            x_adv, healthy = apgd(broken, x, y, **settings), apgd(model, x, y, **settings)
            assert threat.allows(x_adv, x).all()
            others = torch.arange(40) != 5
            torch.testing.assert_close(x_adv[others], healthy[others])


def test_logits_in_half_precision_serve():
    model, x, y = linear_problem(3)
    assert (
        is_fooled(model(apgd(lambda images: model(images).bfloat16(), x, y, threat=Linf(0.3))), y).float().mean() > 0.9
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"threat": L0(3)}, r"apgd has no form for L0\(eps=3\): choose Linf, L2 or L1"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"rho": 1.5}, r"rho must lie in \[0, 1\], got 1.5"),
        ({"targets": torch.zeros(3, dtype=torch.int64)}, "targets must be 40 integers"),
        ({"seeds": torch.zeros(40)}, "seeds must be 40 integers"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        apgd(model, x, y, **({"threat": Linf(0.1)} | settings))
