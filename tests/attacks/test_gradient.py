import pytest
import torch
from linear import exact_distance, linear_problem
from torch import nn

from max_mahalanobis.attacks import (
    OBJECTIVES,
    bim,
    fgsm,
    is_fooled,
    margin,
    mim,
    pgd,
    random_wrong_targets,
    toward_random_class,
)
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L2, Linf


@pytest.mark.parametrize("objective", OBJECTIVES.values())
def test_every_objective_fools_a_linear_model_given_room(objective):
    model, x, y = linear_problem(10)
    x_adv = pgd(model, x, y, threat=Linf(0.4), objective=objective, steps=40)
    assert is_fooled(model(x_adv), y).all()


@pytest.mark.parametrize("objective", OBJECTIVES.values())
def test_targeted_every_objective_puts_the_target_above_the_true_class_given_room(objective):
    model, x, y = linear_problem(10)
    targets = (y + 1) % 10
    settings = {"threat": Linf(0.4), "objective": objective, "targets": targets, "steps": 40}
    x_adv = pgd(model, x, y, stop_when_fooled=False, **settings)
    logits = model(x_adv)
    assert (logits.gather(1, targets[:, None]) > logits.gather(1, y[:, None])).all()


@pytest.mark.parametrize(("threat", "dual"), [(Linf, 1), (L2, 2)])
def test_two_classes_fall_just_beyond_the_exact_distance_and_never_within(threat, dual):
    model, x, y = linear_problem(2, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=dual)
    for eps in distance.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)).tolist():
        fooled = is_fooled(model(pgd(model, x, y, threat=threat(eps), objective=margin, steps=20)), y)
        assert fooled[distance < eps / 1.02].all()
        assert not fooled[distance > eps * 1.001].any()


def test_three_classes_fall_within_five_percent_of_the_exact_distance():
    model, x, y = linear_problem(3, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=1)
    eps = distance.median().item()
    fooled = is_fooled(model(pgd(model, x, y, threat=Linf(eps), objective=margin, steps=50, restarts=3)), y)
    assert fooled[distance < eps / 1.05].all()
    assert not fooled[distance > eps * 1.001].any()


def test_fgsm_is_one_step_of_pgd_without_random_start():
    model, x, y = linear_problem(10)
    one_step = pgd(model, x, y, threat=Linf(0.03), steps=1, step_size=0.03, random_start=False)
    torch.testing.assert_close(fgsm(model, x, y, threat=Linf(0.03)), one_step, rtol=0, atol=0)


def test_mim_without_momentum_is_bim():
    model, x, y = linear_problem(10)
    threat = Linf(0.03)
    torch.testing.assert_close(mim(model, x, y, threat=threat, momentum=0.0), bim(model, x, y, threat=threat))


def slow_mim(model, x, y, eps: float, steps: int, step_size: float, decay: float):
    """Dong et al. 2018, algorithm 1, image by image."""
    found = []
    for image, label in zip(x.split(1), y.split(1), strict=True):
        x_adv, g = image.clone(), torch.zeros_like(image)
        for _ in range(steps):
            x_adv.requires_grad_()
            gradient = torch.autograd.grad(nn.functional.cross_entropy(model(x_adv), label), x_adv)[0]
            g = decay * g + gradient / gradient.abs().sum()
            x_adv = image + (x_adv.detach() + step_size * g.sign() - image).clamp(-eps, eps)
            x_adv = x_adv.clamp(0, 1)
        found.append(x_adv)
    return torch.cat(found)


def test_mim_equals_the_published_algorithm():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.Tanh(), nn.Linear(30, 5)).double()
    x, y = torch.rand(8, 1, 4, 4, dtype=torch.float64), torch.arange(8) % 5
    fast = mim(model, x, y, threat=Linf(0.1), steps=6, step_size=0.04, momentum=0.9, stop_when_fooled=False)
    torch.testing.assert_close(fast, slow_mim(model, x, y, 0.1, 6, 0.04, 0.9))


def test_images_already_fooled_leave_the_batch():
    model, x, y = linear_problem(10, count=30)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    pgd(watched, x, y, threat=Linf(0.3), steps=10)
    assert seen[0] == 30
    assert seen[-1] < 30
    assert seen == sorted(seen, reverse=True)


def test_training_keeps_every_image_to_the_last_step_at_one_pass_a_step():
    model, x, y = linear_problem(10, count=30)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    pgd(watched, x, y, threat=Linf(0.3), steps=10, stop_when_fooled=False)
    assert seen == [30] * 10


def test_restarts_never_lose_a_fooled_image():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.ReLU(), nn.Linear(30, 5))
    x = torch.rand(60, 1, 4, 4)
    y = model(x).argmax(dim=1)
    fooled = [is_fooled(model(pgd(model, x, y, threat=Linf(0.06), steps=3, restarts=n)), y) for n in (1, 5)]
    assert (fooled[1] | ~fooled[0]).all()
    assert fooled[1].sum() > fooled[0].sum()


def test_a_random_start_depends_on_the_image_seed_and_not_on_its_neighbours():
    model, x, y = linear_problem(10, count=20)
    seeds = torch.arange(20) + 100
    settings = {"threat": Linf(0.01), "steps": 3}
    whole = pgd(model, x, y, seeds=seeds, **settings)
    torch.testing.assert_close(pgd(model, x[5:9], y[5:9], seeds=seeds[5:9], **settings), whole[5:9])
    assert not torch.equal(pgd(model, x, y, seeds=seeds + 1, **settings), whole)


def test_random_targets_are_wrong_classes_drawn_evenly():
    y = torch.arange(9000) % 3
    targets = random_wrong_targets(y, 3, torch.arange(9000))
    assert (targets != y).all()
    counts = torch.bincount(3 * y + targets, minlength=9).view(3, 3)
    off_diagonal = counts[~torch.eye(3, dtype=torch.bool)]
    assert off_diagonal.min() > 1350
    assert random_wrong_targets(torch.tensor([0, 1]), 2, torch.arange(2)).tolist() == [1, 0]


def test_the_true_label_decides_also_when_aimed_elsewhere():
    model, x, y = linear_problem(3)
    x_adv = toward_random_class(lambda *a, **k: pgd(*a, threat=Linf(0.4), steps=30, **k), model, x, y)
    assert is_fooled(model(x_adv), y).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"restarts": 2, "random_start": False}, "2 restarts without a random start repeat one attack"),
        ({"step_size": -0.1}, "step_size must not be negative, got -0.1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        pgd(model, x, y, threat=Linf(0.1), **settings)


def test_logits_that_are_not_finite_count_as_a_mistake():
    assert is_fooled(torch.tensor([[1.0, torch.nan], [1.0, 0.0]]), torch.tensor([0, 0])).tolist() == [True, False]


def test_a_gradient_that_is_not_a_number_moves_nothing():
    x, y = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64)

    def kinked(images):  # the square root's slope at 0 is infinite, times 0
        return torch.stack([1 + (0 * images.flatten(1).sum(1)).sqrt(), 0 * images.flatten(1).sum(1)], dim=1)

    for threat in (Linf(0.1), L2(0.1)):
        assert threat.allows(pgd(kinked, x, y, threat=threat), x).all()
