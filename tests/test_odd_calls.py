"""Attacks that are called in a way that cannot work say so in one line, and do not pretend to have worked."""

from functools import partial

import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import (
    cross_entropy,
    cw_l2,
    ead,
    every_target,
    fgsm,
    margin,
    nearest_targets,
    own_distance,
    pgd,
    random_search,
    spsa,
    square,
)
from max_mahalanobis.attacks.manners import slope
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L1, L2, Linf

SEARCHES = ((cw_l2, L2(1.0)), (ead, L1(5.0)))
FEW = {"steps": 3, "search_steps": 1}


@pytest.mark.parametrize(("attack", "threat"), SEARCHES)
def test_an_objective_without_a_sign_is_refused_also_where_float32_makes_it_zero(attack, threat):
    model, x, y = linear_problem(3)

    def saturated(images):
        return 1e6 * model(images)

    assert (cross_entropy(saturated(x), y) == 0).all()
    with pytest.raises(UserError, match="take one that changes sign where the model errs, as margin"):
        attack(saturated, x, y, threat=threat, objective=cross_entropy, **FEW)


@pytest.mark.parametrize(("attack", "threat"), SEARCHES)
def test_an_objective_whose_sign_depends_on_the_level_of_the_logits_is_refused(attack, threat):
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match="changes sign"):
        attack(lambda images: model(images) + 100, x, y, threat=threat, objective=own_distance, **FEW)


@pytest.mark.parametrize(("attack", "threat"), SEARCHES)
def test_equal_logits_are_no_fault_of_the_margin(attack, threat):
    _, x, _ = linear_problem(3)
    zeros = torch.zeros(len(x), dtype=torch.long)
    x_adv = attack(lambda images: 0 * images.flatten(1)[:, :3], x, zeros, threat=threat, objective=margin, **FEW)
    assert torch.equal(x_adv, x)


@pytest.mark.parametrize("objective", [cross_entropy, margin])
@pytest.mark.parametrize("attack", [pgd, fgsm, square, spsa, random_search])
def test_targets_that_are_no_classes_are_named(attack, objective):
    model, x, y = linear_problem(3)
    for targets, says in (
        (torch.full_like(y, 7), "classes of the model, 0 to 2"),
        (-torch.ones_like(y), "there is -1"),
    ):
        with pytest.raises(UserError, match=says):
            attack(model, x, y, threat=Linf(0.1), targets=targets, objective=objective)


def test_an_objective_by_name_is_refused_with_the_remedy():
    model, x, y = linear_problem(3)
    named = "margin"
    says = "objective=margin, from max_mahalanobis.attacks"
    with pytest.raises(UserError, match=says):
        slope(model, x, lambda logits: named(logits, y, None))  # an attack's own door has the tests' type checks
    for attack, threat in [*SEARCHES, (square, Linf(0.1)), (spsa, Linf(0.1)), (random_search, Linf(0.1))]:
        with pytest.raises(UserError, match=says):
            attack(model, x, y, threat=threat, objective=lambda *call: named(*call))


@pytest.mark.parametrize(("attack", "threat"), SEARCHES)
@pytest.mark.parametrize("of", ["labels", "targets"])
def test_classes_that_a_search_cannot_be_about_are_named(attack, threat, of):
    model, x, y = linear_problem(3)
    wrong = torch.full_like(y, 7)
    call = {"y": wrong} if of == "labels" else {"y": y, "targets": wrong}
    with pytest.raises(UserError, match="classes of the model, 0 to 2"):
        attack(model, x, threat=threat, **call, **FEW)


@pytest.mark.parametrize("made", [every_target, partial(nearest_targets, scout=partial(pgd, threat=Linf(0.1)))])
def test_labels_that_leave_no_other_class_to_aim_at_are_named(made):
    model, x, y = linear_problem(3)
    for wrong in (7, -1):
        with pytest.raises(UserError, match="classes of the model, 0 to 2"):
            made(partial(pgd, threat=Linf(0.1)), model, x, torch.full_like(y, wrong))


def test_what_an_objective_of_the_users_raises_stays_as_it_is():
    model, x, y = linear_problem(3)

    def mistaken(logits, labels, targets):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="^mine$"):
        pgd(model, x, y, threat=Linf(0.1), objective=mistaken)
