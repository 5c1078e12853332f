"""Checks are pure functions: each speaks of the evidence made for it, and is silent where there is none."""

from dataclasses import replace

import pytest

from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation.checks import CHECKS, Evidence, findings_in
from max_mahalanobis.evaluation.verdict import Thresholds, judge
from max_mahalanobis.results import AttackResult
from max_mahalanobis.statistics import proportion


def row(fooled, *, attack="apgd-20 margin", attempted=None, eps=0.1, threat="Linf", correct=None, **settings):
    """One attack on as many images as there are flags."""
    count = len(fooled)
    return AttackResult(
        run="r", data="d", split="test", data_hash="1", weights_hash="2", suite="s", attack=attack,
        settings={"objective": "margin"} | settings, threat=threat, eps=eps, seed=0, version="0", index=range(count),
        correct=correct or [True] * count, fooled=fooled, size=[0.1] * count, forwards=1, backwards=1, seconds=0.0,
        attempted=attempted or [True] * count,
    )  # fmt: skip


def falls(count, total=100):
    return [True] * count + [False] * (total - count)


def names(evidence):
    return [finding.check for finding in findings_in(evidence)]


CASES = {
    "crashes": Evidence([], crashes={"0": "images 0 to 9: RuntimeError"}),
    "broken_rules": Evidence([], broken_rules={"mine": "mine left the ball"}),
    "attack_raised": Evidence([], raised={"mine": "mine raised KeyError: 3"}),
    "no_gradient": Evidence([], facts={"signs": ["no gradient"]}),
    "zero_gradients": Evidence([], facts={"zero_gradient": {"margin": 0.2}, "images": 100}),
    "downhill": Evidence([], facts={"downhill": 0.5}),
    "probabilities": Evidence([], facts={"signs": ["probabilities"]}),
    "constant": Evidence([], facts={"signs": ["constant logits"]}),
    "random_answers": Evidence([], facts={"signs": ["different answers"]}),
    "training_mode": Evidence([], facts={"training_layers": ["drop"]}),
    "batch_dependence": Evidence([], facts={"batch_dependence": 0.01}),
    "refusals": Evidence([], facts={"refused": (6, 10)}),
    "silent_success": Evidence([], facts={"lost": {"mine": (4, 10)}}),
    "planted": Evidence([], facts={"binarization": {"planted": 10, "found": 5, "found_by_chance": 0}}),
    "more_steps": Evidence([], {"longer": row(falls(3))}),
    "larger_budget": Evidence([], {"white box": row(falls(40)), "four budgets": row(falls(40), eps=0.4)}),
    "unbounded": Evidence([], {"no limit": row(falls(90), eps=1.0)}),
    "one_step": Evidence([], {"white box": row(falls(10)), "one step": row(falls(16))}),
    "black_box": Evidence([], {"white box": row(falls(10)), "black box": row(falls(16))}),
    "transfer": Evidence([], {"white box": row(falls(10)), "transfer": row(falls(16))}),
    "noise": Evidence([], {"white box": row(falls(10)), "noise": row(falls(16))}),
    "chosen_on_test": Evidence([], facts={"selected_on": "test"}),
    "saturated_softmax": Evidence(
        [],
        facts={
            "zero_gradient": {"cross_entropy": 0.9, "margin": 0.0},
            "images": 100,
            "logit_gap": {"median": 200.0, "most": 222.0},
        },
    ),
    "objectives_disagree": Evidence([row(falls(10), attack="pgd", objective="cross_entropy"), row(falls(60))]),
    "targeted_wins": Evidence([row(falls(10)), row(falls(30), targeted="every wrong class")]),
    "non_finite": Evidence([replace(row(falls(10, 1000)), non_finite=3)]),
    "budget_in_256": Evidence([row(falls(10, 1000), eps=8 / 256)]),
    "guessed_labels": Evidence([row(falls(10))]),
    "stopped_early": Evidence([], facts={"attacked": [100, 1000]}),
    "few_images": Evidence([row(falls(10))]),
}


def test_every_check_has_a_case():
    assert set(CASES) == set(CHECKS)


@pytest.mark.parametrize("name", CASES)
def test_a_check_speaks_where_it_should(name):
    finding = CHECKS[name](CASES[name])
    assert finding is not None
    assert finding.check == name
    assert finding.seen
    assert finding.why
    assert finding.remedy
    assert finding.weight in ("doubt", "note")


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_is_silent_without_evidence(name):
    assert CHECKS[name](Evidence([])) is None


def test_a_sound_evaluation_raises_nothing():
    trials = {
        "white box": row(falls(40)),
        "one step": row(falls(20)),
        "noise": row(falls(2)),
        "black box": row(falls(30)),
        "four budgets": row(falls(95), eps=0.4),
        "no limit": row(falls(100), eps=1.0),
        "longer": row(falls(0)),
    }
    correct = [False] * 10 + [True] * 990
    once = row(falls(400, 1000), attack="pgd", objective="cross_entropy", correct=correct, attempted=correct)
    rows = [once, row(falls(410, 1000), correct=correct, attempted=correct)]
    facts = {"zero_gradient": {"cross_entropy": 0.0, "margin": 0.0}, "downhill": 0.0, "batch_dependence": 1e-7}
    facts |= {"images": 100, "binarization": {"planted": 12, "found": 12, "found_by_chance": 0}}
    assert names(Evidence(rows, trials, facts)) == []


def at(*places):
    return [place in places for place in range(100)]


def test_cross_entropy_is_its_strongest_attack_of_many_steps_beside_what_any_attack_fells():
    fgsm = row(falls(10), attack="fgsm", objective="cross_entropy")
    short = row(falls(20), attack="bim-10", objective="cross_entropy", steps=10)
    strong = row(falls(50), attack="pgd-50", objective="cross_entropy", steps=50)
    aimed = row(falls(55), attack="aimed", objective="cross_entropy", steps=50, targeted="one random wrong class")
    others = [row(at(*range(40, 60)), attack="two thirds"), row(at(*range(54, 60)), attack="a third")]
    finding = CHECKS["objectives_disagree"](Evidence([fgsm, short, aimed, strong, *others]))
    assert finding.seen.startswith("under pgd-50 50 of 100 (50 %) hold; 10 of these fall")
    assert finding.seen.endswith("fall to others, 10 of them to two thirds")
    before = CHECKS["objectives_disagree"](Evidence([*others[::-1], strong]))
    assert before.seen == finding.seen
    assert CHECKS["objectives_disagree"](Evidence([fgsm, row(falls(60))])) is None
    assert CHECKS["objectives_disagree"](Evidence([strong, row(falls(52))])) is None


def test_a_cascade_credits_each_image_to_the_attack_that_fooled_it():
    first = row(falls(10), attack="pgd", objective="cross_entropy")
    second = row(falls(30), attack="second", attempted=[False] * 10 + [True] * 90)
    last = row(falls(35), attack="last", attempted=[False] * 30 + [True] * 70)
    assert "20 of them to second" in CHECKS["objectives_disagree"](Evidence([first, second, last])).seen


def test_targeted_attacks_win_only_what_every_untargeted_one_of_their_suite_gave_up():
    strong, weak = row(falls(60), attack="pgd-50"), row(falls(10), attack="mim-50")
    aimed = row(falls(50), attack="aimed", targeted="one random wrong class")
    assert CHECKS["targeted_wins"](Evidence([strong, weak, aimed])) is None
    assert "aimed fooled 40 of 100" in CHECKS["targeted_wins"](Evidence([weak, aimed])).seen
    assert CHECKS["targeted_wins"](Evidence([weak, replace(aimed, suite="another")])) is None
    behind = replace(aimed, attempted=[False] * 45 + [True] * 55)
    assert "aimed fooled 5 of 100" in CHECKS["targeted_wins"](Evidence([weak, behind])).seen


def test_what_fell_to_the_untargeted_beginning_of_a_mixed_attack_is_not_credited_to_its_targets():
    weak, aimed = row(falls(10), attack="mim-50"), row(falls(50), attack="aimed", targeted="every wrong class")
    mixed = row(falls(50), attack="mixed", targeted="the 3 nearest", first={}, composed=["every_target", "where_close"])
    assert CHECKS["targeted_wins"](Evidence([weak, mixed])) is None
    assert CHECKS["targeted_wins"](Evidence([weak, mixed, aimed])) is None
    assert CHECKS["targeted_wins"](Evidence([mixed, replace(aimed, fooled=falls(90))])) is None
    assert "aimed fooled 40 of 100" in CHECKS["targeted_wins"](Evidence([weak, aimed, mixed])).seen


def test_doubts_come_first():
    evidence = Evidence([row(falls(10, 90))], facts={"selected_on": "test"})
    assert names(evidence) == ["chosen_on_test", "few_images"]


@pytest.mark.parametrize(
    ("held", "total", "word"),
    [(600, 1000, "robust"), (300, 1000, "weak"), (0, 1000, "broken"), (50, 100, "undecided"), (70, 1000, "broken")],
)
def test_robustness_is_told_by_the_interval_beside_clean_accuracy(held, total, word):
    assert judge(Evidence([row(falls(total - held, total))])).robustness == word


def test_an_illusion_is_a_quoted_number_more_than_ten_points_too_high():
    once = row(falls(100, 1000), attack="pgd", objective="cross_entropy", steps=20, step_size=0.1)
    for fallen, count in ((205, 1), (200, 0)):
        verdict = judge(Evidence([once, row(falls(fallen, 1000))]))
        assert len(verdict.illusion) == count
    verdict = judge(Evidence([once, row(falls(300, 1000))]), quoted=[("suite quick alone", [once])])
    assert [each.source for each in verdict.illusion] == ["pgd alone", "suite quick alone"]
    assert judge(Evidence([once, row(falls(205, 1000))]), thresholds=Thresholds(illusion=20)).illusion == []


def test_what_a_trial_fools_within_the_budget_counts_and_what_lies_outside_does_not():
    rows = [row(falls(10))]
    more = replace(row(falls(2, 4)), index=[50, 51, 52, 53])
    assert judge(Evidence(rows, {"longer": more})).number.count == 88
    assert judge(Evidence(rows, {"no limit": replace(more, eps=1.0)})).number.count == 90
    assert judge(Evidence(rows, facts={"lost_images": [99]})).number.count == 89


def test_images_wrong_when_clean_never_count_as_robust():
    correct = [True] * 80 + [False] * 20
    verdict = judge(Evidence([row([False] * 80 + [True] * 20, correct=correct)]))
    assert (verdict.number.count, verdict.clean.count) == (80, 80)


def test_the_number_people_quote_is_the_strongest_of_its_kind_that_met_every_image():
    pgd = {"objective": "cross_entropy", "step_size": None}
    bim = row(falls(100, 1000), attack="bim-10", steps=10, **pgd)
    fgsm = row(falls(50, 1000), attack="fgsm", objective="cross_entropy")
    aimed = row(falls(290, 1000), attack="aimed", steps=50, targeted="one random wrong class", **pgd)
    later = row(falls(300, 1000), attack="later", steps=50, attempted=[False] * 100 + [True] * 900, **pgd)
    grown = row(falls(150, 1000), attack="apgd-ce", objective="cross_entropy", steps=100)
    weak = judge(Evidence([fgsm, bim, aimed, later, grown]))
    assert [(each.source, each.reports.count) for each in weak.illusion] == [("bim-10 alone", 900)]
    strong = row(falls(280, 1000), attack="pgd-50", steps=50, **pgd)
    assert judge(Evidence([fgsm, bim, aimed, later, grown, strong])).illusion == []


def test_an_evaluation_that_a_rule_stopped_has_the_interval_that_is_right_whenever_one_stops():
    rows = [row(falls(100))]
    stopped = judge(Evidence(rows, facts={"attacked": [100, 1000]}))
    assert (stopped.number, stopped.clean) == (proportion(0, 100, "anytime"), proportion(100, 100, "anytime"))
    assert judge(Evidence(rows, facts={"attacked": [100, 100]})).number == proportion(0, 100)
    some = [row(falls(96))]
    assert judge(Evidence(some)).robustness != judge(Evidence(some, facts={"attacked": [100, 1000]})).robustness


@pytest.mark.parametrize("wrong", [{"illusion": value} for value in (float("nan"), float("inf"), -5)] + [
    {"robust": 0.1, "broken": 0.5}, {"robust": float("nan")}
])  # fmt: skip
def test_thresholds_that_are_none_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Thresholds(**wrong)


@pytest.mark.parametrize(
    ("test", "weight", "says"),
    [
        ({"images": 12, "planted": 0, "found": 0, "found_by_chance": 0}, "note", "could be planted around 12 images"),
        ({"images": 12, "planted": 12, "found": 12, "found_by_chance": 11}, "note", "(random search 11)"),
        ({"images": 12, "planted": 12, "found": 6, "found_by_chance": 11}, "doubt", "found 6 (random search 11)"),
    ],
)
def test_planted_examples_that_try_no_attack_are_said_to_say_nothing(test, weight, says):
    finding = CHECKS["planted"](Evidence([], facts={"binarization": test}))
    assert finding.weight == weight
    assert says in finding.seen
    assert ("says nothing here" in finding.why) == (weight == "note")


def test_labels_are_asked_after_only_where_very_many_images_are_all_right():
    assert CHECKS["guessed_labels"](Evidence([row(falls(10, 99))])) is None
    assert CHECKS["guessed_labels"](Evidence([row(falls(10), correct=[False] + [True] * 99)])) is None
