"""Laws that the four minimum-norm attacks with a search over one weight, or over pairs, all keep."""

from functools import partial

import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.box_lbfgs import lbfgs
from max_mahalanobis.attacks.minimum_norm.carlini_wagner import cw_l2
from max_mahalanobis.attacks.minimum_norm.elastic_net import ead
from max_mahalanobis.attacks.minimum_norm.saliency_map import jsma
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L0, L1, L2, Linf

pytestmark = pytest.mark.slow  # test_family_laws.py and test_known_geometry.py hold the like for every attack

NUM_FEATURES = 16
CASES = {  # the attack at a short length, its threat, and a budget that only some images need
    "cw_l2": (partial(cw_l2, steps=20, search_steps=4, learning_rate=0.01), L2, 0.02),
    "ead": (partial(ead, steps=20, search_steps=5), L1, 0.05),
    "ead_l1": (partial(ead, steps=20, search_steps=5, decision_rule="l1", fista=False), L1, 0.05),
    "jsma": (jsma, L0, 2),
    "lbfgs": (partial(lbfgs, steps=10, search_steps=3), L2, 0.02),
}
EVERY = pytest.mark.parametrize(
    ("attack", "threat", "eps"), [pytest.param(*case, id=name) for name, case in CASES.items()]
)


def unlimited(threat):
    return threat.unlimited(NUM_FEATURES)


@EVERY
@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("count", [1, 4])
def test_the_result_is_allowed_new_and_fools_or_is_the_image(attack, threat, eps, num_classes, count):
    model, x, y = linear_problem(num_classes, count=count, dtype=torch.float64)
    kept = x.clone()
    for budget in (threat(eps), unlimited(threat), threat(0)):
        x_adv = attack(model, x, y, threat=budget)
        assert budget.allows(x_adv, x).all()
        assert x_adv.shape == x.shape
        assert x_adv.dtype == x.dtype
        assert not x_adv.requires_grad
        same = (x_adv == x).flatten(1).all(dim=1)
        assert (is_fooled(model(x_adv), y) | same).all()
    torch.testing.assert_close(x, kept, rtol=0, atol=0)


@EVERY
def test_within_a_small_budget_some_images_come_back_unchanged_and_others_fool(attack, threat, eps):
    model, x, y = linear_problem(10, count=20, dtype=torch.float64)
    if threat is L0:
        x = torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
        y = model(x).argmax(dim=1)
    x_adv = attack(model, x, y, threat=threat(eps))
    same = (x_adv == x).flatten(1).all(dim=1)
    assert 0 < same.sum() < 20
    torch.testing.assert_close(is_fooled(model(x_adv), y), ~same)


@EVERY
def test_an_image_gets_the_same_whatever_its_batch(attack, threat, eps):
    model, x, y = linear_problem(3, count=8, dtype=torch.float64)
    together = attack(model, x, y, threat=unlimited(threat))
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    torch.testing.assert_close(attack(model, x[order], y[order], threat=unlimited(threat)), together[order])
    alone = [attack(model, x[i : i + 1], y[i : i + 1], threat=unlimited(threat)) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), together[:3])


@EVERY
def test_clean_images_already_fooled_come_back_unchanged(attack, threat, eps):
    model, x, y = linear_problem(3, count=6)
    wrong = (y + 1) % 3
    torch.testing.assert_close(attack(model, x, wrong, threat=unlimited(threat)), x, rtol=0, atol=0)


@EVERY
def test_images_aimed_at_a_class_cross_into_it(attack, threat, eps):
    model, x, y = linear_problem(3, count=8, dtype=torch.float64)
    targets = model(x).topk(3, dim=1).indices[:, 2]
    aimed = attack(model, x, y, threat=unlimited(threat), targets=targets)
    fooled = is_fooled(model(aimed), y)
    assert fooled.all()
    assert not torch.equal(aimed, attack(model, x, y, threat=unlimited(threat)))


@EVERY
def test_logits_of_one_image_that_are_no_numbers_spoil_no_other(attack, threat, eps):
    model, x, y = linear_problem(3, count=4, dtype=torch.float64)
    marked = x[2].flatten()[:1]

    def broken(images):
        logits = model(images)
        moved = (images.flatten(1)[:, 0] - marked).abs() < 0.02  # the third image, and what is made of it at first
        return torch.where((moved & (images.flatten(1)[:, 1] == x[2, 0, 0, 1]))[:, None], torch.nan, logits)

    x_adv = attack(broken, x, y, threat=unlimited(threat))
    others = torch.tensor([0, 1, 3])
    torch.testing.assert_close(x_adv[others], attack(model, x[others], y[others], threat=unlimited(threat)))
    assert torch.isfinite(x_adv).all()


@EVERY
def test_a_model_that_turns_to_nan_once_moved_is_survived(attack, threat, eps):
    model, x, y = linear_problem(3, count=3, dtype=torch.float64)

    def fragile(images):
        far = (images - x[:1].mean()).flatten(1).abs().amax(dim=1) > 0.3
        return torch.where(far[:, None], torch.inf, model(images))

    x_adv = attack(fragile, x, y, threat=unlimited(threat))
    assert unlimited(threat).allows(x_adv, x).all()


@EVERY
def test_fooled_images_leave_when_the_first_success_is_enough(attack, threat, eps):
    model, x, y = linear_problem(10, count=12, dtype=torch.float64)
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    x_adv = attack(watched, x, y, threat=unlimited(threat), stop_when_fooled=True)
    early = sum(seen)
    assert is_fooled(model(x_adv), y).all()
    seen.clear()
    attack(watched, x, y, threat=unlimited(threat), stop_when_fooled=False)
    assert early < sum(seen) or attack is jsma


@EVERY
def test_an_empty_batch_comes_back_empty(attack, threat, eps):
    model, x, y = linear_problem(3)
    assert attack(model, x[:0], y[:0], threat=unlimited(threat)).shape == (0, 1, 4, 4)


@EVERY
def test_pixels_on_the_faces_of_the_box_do_no_harm(attack, threat, eps):
    model, x, y = linear_problem(3, count=8, dtype=torch.float64)
    x = (x > 0.5).to(x.dtype)
    y = model(x).argmax(dim=1)
    x_adv = attack(model, x, y, threat=unlimited(threat))
    assert unlimited(threat).allows(x_adv, x).all()
    assert torch.isfinite(x_adv).all()


@pytest.mark.parametrize("attack", [cw_l2, ead, jsma, lbfgs])
def test_norms_an_attack_has_no_form_for_are_refused(attack):
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match=f"unknown threat for {attack.__name__} 'Linf'"):
        attack(model, x, y, threat=Linf(0.1))


@pytest.mark.parametrize(
    ("attack", "threat", "settings", "says"),
    [
        (cw_l2, L2, {"steps": 0}, "^steps must be at least 1, got 0"),
        (cw_l2, L2, {"search_steps": 0}, "search_steps must be at least 1, got 0"),
        (cw_l2, L2, {"initial_constant": 0}, "initial_constant must be positive and finite, got 0"),
        (cw_l2, L2, {"confidence": -1}, "confidence must be finite and not negative, got -1"),
        (cw_l2, L2, {"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        (ead, L1, {"learning_rate": 0.0}, "learning_rate must be positive and beta not negative, got 0.0 and 0.01"),
        (ead, L1, {"beta": -1.0}, "learning_rate must be positive and beta not negative"),
        (ead, L1, {"steps": 0}, "^steps must be at least 1"),
        (jsma, L0, {"theta": -1.0}, "theta must lie in .0, 1., got -1.0: the direction is another setting"),
        (lbfgs, L2, {"steps": 0}, "^steps must be at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(attack, threat, settings, says):
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match=says):
        attack(model, x, y, threat=threat(1.0), **settings)
