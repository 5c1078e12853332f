"""The binarization test: where examples are planted, and what is said of them."""

from functools import partial

import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import apgd, margin
from max_mahalanobis.evaluation.binarization import _farthest, _within, binarization_test
from max_mahalanobis.evaluation.checks import Evidence, findings_in
from max_mahalanobis.threats import L1, L2, Linf


def outcome(features, x, threat, **settings):
    attack = partial(apgd, threat=threat, objective=margin, steps=20)
    return binarization_test(features, x, threat=threat, attack=attack, inner=60, **settings)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("threat", [Linf(0.1), Linf(0.5), L2(0.3), L2(1.7), L1(2.0), L1(7.0)], ids=str)
def test_the_planted_point_is_a_budget_away_wherever_the_box_lets_it(threat, level):
    image = torch.full((1, 4, 4), level)
    for seed in range(10):
        point = _farthest(image, torch.tensor([seed]), threat)
        assert 0 <= point.min() <= point.max() <= 1
        assert threat.size(point - image).item() == pytest.approx(threat.eps, rel=1e-5)


def test_in_a_box_too_tight_for_the_budget_the_planted_point_stands_in_a_far_corner():
    image = torch.full((1, 4, 4), 0.25)
    torch.testing.assert_close(_farthest(image, torch.tensor([0]), L2(5.0)), torch.ones(1, 1, 4, 4))
    almost = _farthest(image, torch.tensor([0]), L2(2.9))
    assert L2(2.9).size(almost - image).item() == pytest.approx(2.9, rel=1e-5)  # the corner is 3 away


def test_points_within_stay_inside_and_are_the_same_in_any_batches():
    image, seeds = torch.full((1, 4, 4), 0.1), torch.tensor([3])
    whole = torch.cat(list(_within(image, seeds, L2(0.8), 50, 50)))
    assert (L2(0.8).size(whole - image) <= 0.95 * 0.8 + 1e-6).all()
    torch.testing.assert_close(torch.cat(list(_within(image, seeds, L2(0.8), 50, 7))), whole)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(1.7), L1(2.0)], ids=str)
def test_on_a_linear_model_all_that_was_planted_is_found_at_the_balls_length(threat):
    model, x, _ = linear_problem(16, count=4)
    found = outcome(model, x, threat)
    assert (found["images"], found["planted"], found["found"]) == (4, 4, 4)
    assert found["shortest"] == pytest.approx(1, rel=1e-4)


def test_where_the_box_leaves_no_room_nothing_is_planted_and_that_is_said():
    model, x, _ = linear_problem(16, count=3)
    found = outcome(model, x, L2(5.0))
    assert found == {"images": 3, "planted": 0, "found": 0, "found_by_chance": 0, "shortest": None}


def test_features_are_asked_for_no_more_than_a_batch_and_the_counts_are_the_same():
    model, x, _ = linear_problem(16, count=3)
    asked = []

    def watching(images):
        asked.append(len(images))
        return model(images)

    assert outcome(watching, x, Linf(0.1), batch_size=8) == outcome(model, x, Linf(0.1))
    assert max(asked) == 8


def test_a_finding_says_how_far_away_the_examples_were_planted():
    test = {"images": 12, "planted": 10, "found": 5, "found_by_chance": 1, "shortest": 0.97}
    (finding,) = findings_in(Evidence([], facts={"binarization": test}))
    assert "of 10 adversarial examples planted" in finding.seen
    assert "(0.97 to 1 budgets away, in 12 images tried), the attack found 5" in finding.seen
    (finding,) = findings_in(Evidence([], facts={"binarization": test | {"shortest": 0.9999999}}))
    assert "(a budget away, in 12 images tried)" in finding.seen
    (finding,) = findings_in(Evidence([], facts={"binarization": test | {"shortest": None}}))
    assert "budgets away" not in finding.seen
