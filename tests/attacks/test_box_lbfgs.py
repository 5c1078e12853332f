import pytest
import torch
from linear import exact_distance, linear_problem

from max_mahalanobis.attacks import is_fooled, margin
from max_mahalanobis.attacks.minimum_norm.box_lbfgs import lbfgs
from max_mahalanobis.threats import L2

ALL = L2.unlimited(16)


@pytest.mark.parametrize(
    ("num_classes", "median"),
    [(2, 1.05), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((3, 1.3), (10, 1.8)))],
)
def test_every_image_falls_and_none_below_the_exact_distance(num_classes, median):
    model, x, y = linear_problem(num_classes, count=12, dtype=torch.float64)
    x_adv = lbfgs(model, x, y, threat=ALL)
    assert is_fooled(model(x_adv), y).all()
    ratio = ALL.size(x_adv - x) / exact_distance(model, x, y, dual=2)
    assert ratio.min() > 1 / 1.001
    assert ratio.median() < median


@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
def test_on_the_margin_the_median_is_within_two_percent_of_the_exact_distance(num_classes):
    model, x, y = linear_problem(num_classes, count=12, dtype=torch.float64)
    x_adv = lbfgs(model, x, y, threat=ALL, objective=margin)
    assert is_fooled(model(x_adv), y).all()
    ratio = ALL.size(x_adv - x) / exact_distance(model, x, y, dual=2)
    assert ratio.median() < 1.02
    assert ratio.min() > 1 / 1.001


def test_the_budget_of_evaluations_is_kept_up_to_one_line_search():
    model, x, y = linear_problem(3, count=2, dtype=torch.float64)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    lbfgs(watched, x, y, threat=ALL, steps=10, search_steps=4)
    assert set(seen[1:]) == {1}
    assert len(seen) <= 1 + 2 * 4 * (10 + 20 + 1)
