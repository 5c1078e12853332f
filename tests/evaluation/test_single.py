import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import (
    ATTACKS,
    OBJECTIVES,
    TARGETED_ONLY,
    UNTARGETED_ONLY,
    every_target,
    find_objective,
    most_passes,
)
from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import evaluate, single_attack
from max_mahalanobis.threats import L0, L1, L2, Linf

THREATS = {"ddn": L2(0.3), "cw_l2": L2(0.3), "lbfgs": L2(0.3), "ead": L1(0.8), "jsma": L0(3)}


def only(suite):
    ((name, attack),) = suite.attacks.items()
    return name, attack


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_can_be_named_and_evaluated(name):
    model, x, y = linear_problem(3, count=2)
    threat = THREATS.get(name, Linf(0.05))
    suite = single_attack(name, threat, steps=2 if name in ("cw_l2", "ead", "lbfgs", "spsa") else None)
    (row,) = evaluate(model, (x, y), threat=threat, suite=suite)
    assert row.attack.startswith(name)
    assert only(suite)[1].func is ATTACKS[name]


@pytest.mark.parametrize("name", OBJECTIVES | UNTARGETED_ONLY | TARGETED_ONLY)
def test_every_objective_runs_and_those_that_need_a_target_aim_at_every_one(name):
    model, x, y = linear_problem(4, count=6)
    suite = single_attack("apgd", Linf(0.4), objective=name, steps=5)
    label, attack = only(suite)
    aimed = name in TARGETED_ONLY
    assert label == f"apgd-5 {name}, 9 targets" if aimed else label == f"apgd-5 {name}"
    assert (attack.func is every_target) == aimed
    assert (attack.args[0] if aimed else attack).keywords["objective"] is find_objective(name)
    (row,) = evaluate(model, (x, y), threat=Linf(0.4), suite=suite)
    assert row.num_robust < len(y)


def test_every_target_can_be_asked_for():
    label, attack = only(single_attack("fab", L2(0.5), aim_at_every_target=True))
    assert label == "fab-100, 9 targets"
    assert attack.func is every_target


@pytest.mark.parametrize(
    ("name", "settings", "label"),
    [
        ("apgd", {}, "apgd-100"),
        ("apgd", {"passes": 100}, "apgd-49"),
        ("pgd", {"passes": 100, "objective": "margin"}, "pgd-50 margin"),
        ("square", {}, "square-5000"),
        ("square", {"passes": 100}, "square-99"),
        ("uniform_noise", {"passes": 11}, "uniform_noise-10"),
        ("cw_l2", {"passes": 1000}, "cw_l2-55"),
        ("rotation", {}, "rotation"),
        ("fgsm", {}, "fgsm"),
    ],
)
def test_a_row_is_named_after_what_the_attack_was_given(name, settings, label):
    made, attack = only(single_attack(name, THREATS.get(name, Linf(0.05)), **settings))
    assert made == label
    if "passes" in settings:
        assert most_passes(attack) <= settings["passes"]


def test_passes_pay_for_all_targets_together_and_are_not_exceeded():
    model, x, y = linear_problem(10, count=5)
    suite = single_attack("apgd", Linf(1e-6), passes=200, aim_at_every_target=True)
    (row,) = evaluate(model, (x, y), threat=Linf(1e-6), suite=suite)
    assert row.num_robust == 5
    assert 180 < (row.forwards + row.backwards) / 5 <= 200


def test_untargeted_fab_gets_fewer_steps_where_there_are_more_classes():
    few, many = (single_attack("fab", Linf(0.1), passes=2000, num_classes=n) for n in (10, 100))
    assert (only(few)[0], only(many)[0]) == ("fab-181", "fab-19")


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("pdg", {}, "unknown attack 'pdg': choose from fgsm, bim, pgd"),
        ("pgd", {"objective": "cw"}, "unknown objective 'cw': choose from cross_entropy"),
        ("pgd", {"steps": 3, "passes": 9}, "steps 3 and passes 9 exclude each other: give one"),
        ("fgsm", {"steps": 3}, "attack fgsm has no steps: leave it out, or choose another attack"),
        ("square", {"steps": 3}, "attack square has no steps"),
        ("fab", {"objective": "margin"}, "attack fab has no objective"),
        ("corrupt", {"objective": "margin"}, "attack corrupt has no objective"),
        ("fgsm", {"passes": 9}, "attack fgsm has no steps, queries or draws"),
        ("lbfgs", {"passes": 900}, "the cost of lbfgs cannot be known before it runs: give steps instead of passes"),
        ("apgd", {"passes": 3}, "3 passes are too few: with 1 of its steps the attack costs 4"),
        ("pgd", {"objective": "un_1", "aim_at_every_target": True}, "objective un_1 is untargeted"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, settings, says):
    with pytest.raises(UserError, match=says) as caught:
        single_attack(name, Linf(0.1), **settings)
    assert "\n" not in str(caught.value)


def test_a_threat_the_attack_has_no_form_for_is_refused_when_it_runs():
    model, x, y = linear_problem(3, count=2)
    with pytest.raises(UserError, match="Linf"):
        evaluate(model, (x, y), threat=Linf(0.1), suite=single_attack("ddn", Linf(0.1)))
    assert torch.isfinite(x).all()


def test_settings_of_one_attack_alone_are_bound_named_and_counted_in_its_passes():
    name, attack = only(single_attack("spsa", Linf(0.1), passes=100, samples=4, delta=0.02))
    assert name == "spsa-11, samples 4, delta 0.02"
    assert most_passes(attack) == 99
    with pytest.raises(UserError, match="attack fgsm has no samples"):
        single_attack("fgsm", Linf(0.1), samples=4)
