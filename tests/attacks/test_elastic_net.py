import pytest
import torch
from linear import exact_distance, linear_problem

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.elastic_net import ead
from max_mahalanobis.threats import L1

ALL = L1.unlimited(16)


def elastic_net(delta, beta):
    delta = delta.flatten(1)
    return beta * delta.abs().sum(dim=1) + delta.square().sum(dim=1)


def optima(model, x, y, beta):
    """Least beta |d|_1 + |d|^2 with w d >= gap, per class: |d| = max(t |w| - beta / 2, 0), t by bisection."""
    logits, weight = model(x).detach(), model.layer.weight.detach()
    w, gap = (weight[None] - weight[y][:, None]).abs(), logits.gather(1, y[:, None]) - logits
    low, high = torch.zeros_like(gap), torch.full_like(gap, 1e3)
    for _ in range(100):
        middle = (low + high) / 2
        enough = (w * (middle[..., None] * w - beta / 2).clamp_min(0)).sum(dim=2) >= gap
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    d = (high[..., None] * w - beta / 2).clamp_min(0)
    return (beta * d.sum(dim=2) + d.square().sum(dim=2)).scatter(1, y[:, None], torch.inf)


@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
@pytest.mark.parametrize("beta", [0.01, pytest.param(0.5, marks=pytest.mark.slow)])
def test_proximal_steps_bring_every_image_within_ten_percent_of_the_least_elastic_net(num_classes, beta):
    model, x, y = linear_problem(num_classes, count=12, dtype=torch.float64)
    least, targets = optima(model, x, y, beta).min(dim=1)
    settings = {"beta": beta, "shrinkage": "proximal", "steps": 100, "search_steps": 9}
    x_adv = ead(model, x, y, threat=ALL, targets=targets, **settings)
    ratio = elastic_net(x_adv - x, beta) / least
    assert is_fooled(model(x_adv), y).all()
    assert ratio.max() < 1.1
    assert ratio.min() > 1 / 1.001


@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
@pytest.mark.parametrize("fista", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_published_shrinkage_under_the_l1_rule_is_near_the_exact_l1_distance(num_classes, fista):
    model, x, y = linear_problem(num_classes, count=12, dtype=torch.float64)
    x_adv = ead(model, x, y, threat=ALL, decision_rule="l1", steps=100, fista=fista)
    ratio = ALL.size(x_adv - x) / exact_distance(model, x, y, dual=torch.inf)
    assert is_fooled(model(x_adv), y).all()
    assert ratio.median() < 1.03
    assert ratio.max() < 1.8  # those that went for the class of the largest logit
    assert ratio.min() > 1 / 1.001


@pytest.mark.slow
def test_each_decision_rule_is_the_better_one_by_its_own_measure():
    model, x, y = linear_problem(10, count=12, dtype=torch.float64)
    by_net, by_l1 = (  # with ISTA both see the same points
        ead(model, x, y, threat=ALL, steps=50, fista=False, decision_rule=rule) for rule in ("elastic_net", "l1")
    )
    assert (elastic_net(by_net - x, 0.01) <= elastic_net(by_l1 - x, 0.01)).all()
    assert (ALL.size(by_l1 - x) <= ALL.size(by_net - x)).all()
    assert (ALL.size(by_l1 - x) < ALL.size(by_net - x)).any()


def test_most_components_of_a_sparse_result_are_untouched():
    model, x, y = linear_problem(10, count=12, dtype=torch.float64)
    x_adv = ead(model, x, y, threat=ALL, decision_rule="l1", steps=50)
    assert (x_adv == x).double().mean() > 0.5


def test_a_step_costs_one_pass():
    model, x, y = linear_problem(3, count=10)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    ead(watched, x, y, threat=ALL, steps=20, search_steps=3)
    assert seen == [10] * (1 + 20 * 3)
