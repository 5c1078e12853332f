"""RobustBench's record counts rows, claims AutoAttack only where its set was run, leaves the unknown empty."""

from dataclasses import replace

import pytest
from made import make_curve, make_recipe, make_row, make_rows, make_smallest
from test_tables import run_of

from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import SUITES, make_suite
from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.reports.robustbench import GRADED, STANDARD, robustbench_entry
from max_mahalanobis.threats import Linf

QUICK = make_rows("m", (150, 175, 101, 120, 110))
FIELDS = [
    *("link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture", "eps"),
    *("clean_acc", "reported", "autoattack_acc", "footnote", "unreliable"),
]


def standard(robust=90, suite="auto", **changes):
    """Four rows under the names of AutoAttack's standard set."""
    rows = [make_row("m", "apgd", robust + left, suite=suite, **changes) for left in range(4)]
    return [replace(row, attack=attack) for row, attack in zip(rows, sorted(STANDARD), strict=True)]


def record(rows, **changes):
    return robustbench_entry([replace(run_of(rows), **({"recipe": make_recipe()} | changes))]).record


def test_every_field_is_there_in_order_and_accuracies_are_percent_with_two_digits():
    told = record([*QUICK, *standard()])
    assert list(told) == FIELDS
    assert (told["clean_acc"], told["reported"], told["autoattack_acc"]) == ("95.00", "45.00", "45.00")
    assert (told["dataset"], told["eps"], told["name"]) == ("digits", "8/255", "m")
    assert (told["additional_data"], told["unreliable"], told["number_forward_passes"]) == (False, False, 1)
    assert {told[name] for name in ("link", "authors", "venue")} == {""}


def test_what_is_reported_may_be_less_than_autoattack_leaves_and_never_more():
    told = record([*QUICK, *standard(robust=130)])
    assert (told["reported"], told["autoattack_acc"]) == ("50.50", "65.00")


@pytest.mark.parametrize("rows", [QUICK, standard(suite="custom"), standard()[1:], standard(suite="auto_fast")])
def test_without_all_of_the_standard_set_no_autoattack_is_claimed(rows):
    told = record(rows)
    assert "autoattack_acc" not in told
    assert told["footnote"].startswith("Not AutoAttack: ")
    assert f"suite {rows[0].suite} ({len(rows)} attacks), on 200 test images" in told["footnote"]


@pytest.mark.parametrize("name", SUITES)
def test_the_suites_that_count_as_autoattack_are_those_that_hold_its_standard_set(name):
    attacks = make_suite(name, Linf(8 / 255), image_shape=(3, 32, 32)).attacks
    assert (set(attacks) >= STANDARD) == (name in GRADED)


def test_of_several_budgets_the_one_that_met_autoattack_is_told_and_the_others_named():
    rows = [*standard(eps=4 / 255), *QUICK, *make_curve("m", (185,), (160,)), *make_smallest("m", (0.03,))]
    record, remarks = robustbench_entry([run_of(rows)])
    assert record["eps"] == "4/255"
    assert any("left out: Linf eps 8/255 on 200 images" in remark for remark in remarks)
    assert record["additional_data"] is None
    assert any("additional_data, architecture" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("recipe", "field", "said"),
    [
        ({"extra_data": "more.npz"}, "additional_data", True),
        ({"pretrained": "weights.safetensors"}, "additional_data", True),
        ({"model": "wide_resnet34_10"}, "architecture", "WideResNet-34-10"),
        ({"model": "resnet_v1", "blocks": 5}, "architecture", "ResNet-32"),
        ({"model": "timm:vit_tiny"}, "architecture", "vit_tiny"),
    ],
)
def test_the_recipe_tells_data_and_architecture(recipe, field, said):
    assert record(QUICK, recipe=make_recipe(**recipe))[field] == said


@pytest.mark.parametrize("change", [{"signs": ["no gradient"]}, {"non_finite": 1}])
def test_a_sign_against_the_model_s_output_makes_the_record_unreliable(change):
    assert record([replace(row, **change) for row in QUICK])["unreliable"]


@pytest.mark.parametrize(
    ("reliability", "eps", "split", "unreliable"),
    [
        ("doubtful", 8 / 255, "test", True),
        ("reliable", 8 / 255, "test", False),
        ("doubtful", 4 / 255, "test", False),
        ("doubtful", 8 / 255, "validation", False),
    ],
)
def test_an_audit_s_doubt_at_this_budget_makes_the_record_unreliable(reliability, eps, split, unreliable):
    audit = {"threat": "Linf", "eps": eps, "split": split, "verdict": {"reliability": reliability}}
    told, remarks = robustbench_entry([replace(run_of(QUICK), audits=(audit,))])
    assert told["unreliable"] == unreliable
    assert any("mmc audit" in remark for remark in remarks) == ((eps, split) != (8 / 255, "test"))


def test_several_runs_or_none_at_a_budget_are_refused_and_other_weights_left_out():
    run, best = run_of(QUICK), RunRecord("m@best", None, [], QUICK, None, shares_training=True)
    with pytest.raises(UserError, match="a file per model, got 2 runs: report on one of them"):
        robustbench_entry([run, run])
    with pytest.raises(UserError, match="m has no rows at a fixed budget"):
        robustbench_entry([run_of(make_smallest("m", (0.03,)))])
    assert robustbench_entry([run, best]).record["name"] == "m"
