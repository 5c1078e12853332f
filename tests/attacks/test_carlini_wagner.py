import pytest
import torch
from linear import exact_distance, linear_problem
from torch import nn

from max_mahalanobis.attacks import cross_entropy, is_fooled, margin
from max_mahalanobis.attacks.minimum_norm.carlini_wagner import cw_l2
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L2

ALL = L2.unlimited(16)


def nearest_class(model, x, y):
    """The class whose pairwise boundary is nearest in L2."""
    logits, weight = model(x), model.layer.weight
    gaps = logits.gather(1, y[:, None]) - logits
    distances = gaps / (weight[y][:, None] - weight[None]).norm(dim=2)
    return distances.scatter(1, y[:, None], torch.inf).argmin(dim=1)


@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
def test_aimed_at_the_nearest_class_every_image_is_within_five_percent_of_the_exact_distance(num_classes):
    model, x, y = linear_problem(num_classes, count=20, dtype=torch.float64)
    settings = {"steps": 300, "learning_rate": 0.001, "initial_constant": 0.001}
    x_adv = cw_l2(model, x, y, threat=ALL, targets=nearest_class(model, x, y), **settings)
    assert is_fooled(model(x_adv), y).all()
    ratio = ALL.size(x_adv - x) / exact_distance(model, x, y, dual=2)
    assert ratio.max() < 1.05
    assert ratio.min() > 1 / 1.001


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [3, 10])
def test_untargeted_nearly_all_are_and_the_rest_went_for_the_class_of_the_largest_logit(num_classes):
    model, x, y = linear_problem(num_classes, count=20, dtype=torch.float64)
    x_adv = cw_l2(model, x, y, threat=ALL, steps=300, learning_rate=0.001)
    assert is_fooled(model(x_adv), y).all()
    ratio = ALL.size(x_adv - x) / exact_distance(model, x, y, dual=2)
    assert (ratio < 1.05).double().mean() >= 0.9
    assert ratio.max() < 1.4
    assert ratio.min() > 1 / 1.001


def slow_cw(model, x, y, *, steps, search_steps, learning_rate, initial_constant, confidence):
    """Carlini and Wagner's loops image by image: torch's Adam, autograd through tanh."""
    found = []
    for image, label in zip(x.split(1), y.split(1), strict=True):
        best, nearest = image, torch.inf
        constant, lower, upper = initial_constant, 0.0, torch.inf
        for _ in range(search_steps):
            w = torch.atanh(0.999999 * (2 * image - 1)).requires_grad_()
            optimizer, fooled_once = torch.optim.Adam([w], lr=learning_rate), False
            lowest = checked = checked_lowest = torch.inf
            for step in range(steps):
                x_adv = (torch.tanh(w) + 1) / 2
                lead = margin(model(x_adv), label)
                distance = (x_adv - image).square().sum()
                loss = distance + constant * (confidence - lead).clamp_min(0).sum()
                if (lead > 0 if confidence == 0 else lead >= confidence).item():
                    fooled_once = True
                    if distance.item() < nearest:
                        best, nearest = x_adv.detach(), distance.item()
                lowest = min(lowest, loss.item())
                if step % max(1, steps // 10) == 0:
                    if lowest > 0.9999 * checked_lowest and loss.item() > 0.9999 * checked:
                        break
                    checked, checked_lowest = loss.item(), lowest
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            lower, upper = (lower, constant) if fooled_once else (constant, upper)
            constant = 10 * constant if upper == torch.inf else (lower + upper) / 2
        found.append(best)
    return torch.cat(found)


@pytest.mark.parametrize("confidence", [0.0, 0.02])
@pytest.mark.parametrize("steps", [25, 7])
def test_it_equals_the_loops_of_the_paper_run_image_by_image(confidence, steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.Tanh(), nn.Linear(30, 5)).double().requires_grad_(False)
    x = 0.4 + 0.2 * torch.rand(6, 1, 4, 4, dtype=torch.float64)
    y = model(x).argmax(dim=1)
    settings = {"steps": steps, "search_steps": 5, "learning_rate": 0.02, "initial_constant": 1.0}
    slow = slow_cw(model, x, y, confidence=confidence, **settings)
    torch.testing.assert_close(cw_l2(model, x, y, threat=ALL, confidence=confidence, **settings), slow)
    assert (slow != x).any()


@pytest.mark.slow
def test_with_confidence_every_success_leads_by_that_much():
    model, x, y = linear_problem(3, dtype=torch.float64)
    settings = {"steps": 100, "search_steps": 6, "learning_rate": 0.02}
    x_adv = cw_l2(model, x, y, threat=ALL, confidence=0.3, **settings)
    moved = (x_adv != x).flatten(1).any(dim=1)
    assert moved.all()
    assert margin(model(x_adv), y).min() >= 0.3
    assert (ALL.size(x_adv - x) > ALL.size(cw_l2(model, x, y, threat=ALL, **settings) - x)).all()


def test_stalled_images_spend_fewer_passes():
    model, x, y = linear_problem(3, count=10)
    spent = []
    for abort_early in (True, False):
        seen = []

        def watched(images, seen=seen):
            seen.append(len(images))
            return model(images)

        cw_l2(watched, x, y, threat=ALL, steps=50, search_steps=4, learning_rate=0.05, abort_early=abort_early)
        spent.append(sum(seen))
    assert spent[0] < spent[1] == 10 * (1 + 4 * 50)


def test_an_objective_that_is_positive_where_the_model_is_right_is_refused():
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match="take one that changes sign where the model errs, as margin"):
        cw_l2(model, x, y, threat=ALL, objective=cross_entropy)
