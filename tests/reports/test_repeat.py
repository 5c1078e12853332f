"""What the page gives for a repetition is what was recorded, and mmc understands it."""

import shlex
from dataclasses import replace
from typing import get_args

import pytest
from made import VERDICT, make_curve, make_recipe, make_row, make_rows, make_run, make_smallest
from test_page import Outline
from test_tables import run_of

from max_mahalanobis.evaluation import SUITES, UNLIMITED
from max_mahalanobis.options import Audit, Evaluate, Work
from max_mahalanobis.parser import parse
from max_mahalanobis.reports.commands import commands, eps_argument
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.tables import repeat_table
from max_mahalanobis.results import BudgetSuiteName, SuiteName


def asked(run):
    """The commands as mmc understands them; what is none is left out."""
    return [
        parse(shlex.split(line)[1:]) for line in commands(run) if not line.startswith("#") and " train " not in line
    ]


def texts(*runs):
    return [[cell.text for cell in line] for line in repeat_table(runs).rows]


def test_hashes_seeds_and_versions_are_told_for_each_set_of_images():
    rows = [make_row(seed=3), make_row(num=1000, data_hash="e" * 16), make_row("mmc", "fgsm", seed=3)]
    assert texts(make_run(results=rows)) == [
        ["mmc", "200 of digits (test)", "d" * 16, "w-mmc", "3", "max_mahalanobis 0.1.0", "–", "0"],
        ["mmc", "1,000 of digits (test)", "e" * 16, "w-mmc", "0", "max_mahalanobis 0.1.0", "–", "0"],
    ]


def test_the_versions_a_training_recorded_are_told_and_none_are_made_up():
    recipe = make_recipe(seed=7)
    recipe["trained_on"] |= {"versions": {"max_mahalanobis": "0.1.0", "torch": "2.6.0", "python": "3.12.3"}}
    assert texts(make_run(recipe=recipe))[0][-2:] == ["max_mahalanobis 0.1.0, torch 2.6.0, python 3.12.3", "7"]
    assert texts(make_run(recipe=None))[0][-2:] == ["–", "–"]


def test_a_training_starts_from_the_recipe_and_other_weights_of_it_do_not_train_again():
    assert commands(make_run())[0] == "mmc train --recipe-file mmc.toml --out mmc"
    best = replace(run_of([make_row("mmc@best")]), recipe=make_recipe(), shares_training=True)
    (evaluation,) = asked(best)
    assert (str(evaluation.run), evaluation.work.weights) == ("mmc", "best")
    epoch = run_of([make_row("mmc@epoch-3")])
    assert asked(epoch)[0].work.weights == "3"


def test_a_suite_is_asked_for_once_with_all_its_budgets():
    rows = [*make_rows("m", (150, 175, 101, 120, 110)), *make_rows("m", (50, 75, 1, 20, 10), eps=0.3, seed=0)]
    assert asked(run_of(rows)) == [
        Evaluate(run=asked(run_of(rows))[0].run, suite=("quick",), eps=(8 / 255, 0.3), work=Work(images=200))
    ]


@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"num": 100}, {"split": "validation"}, {"threat": "L2"}, {"suite": "adaptive"}]
)
def test_what_was_asked_for_otherwise_is_asked_for_by_itself(changes):
    first, second = asked(run_of([make_row("m"), make_row("m", **changes)]))
    found = {
        "seed": second.work.seed,
        "num": second.work.images,
        "split": second.work.split,
        "threat": second.threat.title(),
    }
    assert found | {"suite": second.suite[0]} | changes == found | {"suite": second.suite[0]}
    assert (first.work.seed, first.work.images, first.work.split, first.threat, first.suite) == (
        0,
        200,
        "test",
        "linf",
        ("quick",),
    )


def test_a_curve_is_drawn_by_the_command_whose_budget_it_is_of():
    curve = [make_row("m", suite="curve", eps=share * 8 / 255) for share in (0.125, 0.5, 2.0)]
    (found,) = asked(run_of([make_row("m"), *curve]))
    assert found.curve
    quick, alone = asked(run_of([make_row("m", eps=0.2), *make_curve("m", (185, 175), (160, 101))]))
    assert (quick.curve, alone.curve, alone.eps) == (False, True, (32 / 255,))


def test_a_suite_without_a_budget_names_none():
    (found,) = asked(run_of(make_smallest("m", (0.6, 0.5, 0.5), threat="L2")))
    assert (found.suite, found.threat, found.eps) == (("minimum_norm",), "l2", ())


def test_one_attack_is_asked_for_by_its_name_and_one_of_the_user_s_is_left_to_python():
    aimed = {"attack": "apgd", "objective": "dlr", "steps": 50, "composed": ["every_target"]}
    rows = [make_row("m", "apgd-50 dlr", suite="custom", settings=aimed), make_row("m", "own", suite="custom")]
    (found,) = asked(run_of(rows))
    assert (found.attack, found.objective, found.steps, found.every_target) == ("apgd", "dlr", 50, True)
    assert commands(run_of(rows))[-1].startswith("# own: from Python")


def test_settings_of_one_attack_are_asked_for_where_they_stand_in_its_name():
    spsa = {"attack": "spsa", "objective": "margin", "steps": 2, "samples": 4, "delta": 0.01}
    blur = {"attack": "corrupt", "kind": "gaussian_blur", "severity": 5}
    rows = [
        replace(make_row("m", suite="custom", settings=spsa), attack="spsa-2, samples 4"),
        make_row("m", "corrupt, kind gaussian_blur, severity 5", suite="custom", settings=blur, eps=1.0),
    ]
    first, second = asked(run_of(rows))
    assert (first.attack, first.steps, first.samples, first.delta) == ("spsa", 2, 4, None)
    assert (second.attack, second.kind, second.severity, second.steps) == ("corrupt", "gaussian_blur", 5, None)


def test_what_was_made_against_another_run_names_it_and_a_suite_from_python_is_no_command():
    aimed = {"attack": "apgd", "objective": "dlr", "steps": 5, "composed": ["every_target", "transferred_from"]}
    rows = [
        make_row("m", "fgsm from other", suite="quick from other"),
        make_row("m", "apgd-5 dlr, 9 targets from other", suite="custom from other", settings=aimed),
        make_row("m", suite="my suite"),
    ]
    suite, attack = asked(run_of(rows))
    assert (suite.suite, str(suite.work.source)) == (("quick",), "other")
    assert (attack.attack, attack.every_target, str(attack.work.source)) == ("apgd", True, "other")
    assert commands(run_of(rows))[-1].startswith("# suite my suite: from Python")


def test_the_suites_that_can_be_asked_for_are_those_there_are():
    assert set(get_args(BudgetSuiteName)) == SUITES.keys() - {"curve"}
    assert set(get_args(SuiteName)) == {*get_args(BudgetSuiteName), *UNLIMITED}


def audit_of(**changes):
    attacks = [{"suite": "audit", "eps": 8 / 255, "num_images": 200}]
    about = {"run": "mmc", "data": "digits", "split": "test", "seed": 4, "threat": "Linf", "eps": 8 / 255}
    return about | {"attacks": attacks, "facts": {"images": 100}, "verdict": VERDICT} | changes


def test_an_audit_is_asked_for_whole_and_its_suites_not_again():
    run = make_run(results=[make_row(suite="audit", seed=4)], audits=(audit_of(),))
    (found,) = asked(run)
    expected = Audit(run=found.run, suite=("audit",), eps=8 / 255, trial_images=100, work=Work(images=200, seed=4))
    assert found == expected
    decided = asked(replace(run, audits=(audit_of(facts={"attacked": [200, 1000]}),)))[0]
    assert (decided.work.images, decided.until_decided) == (1000, True)


@pytest.mark.parametrize("changes", [{"threat": "L2"}, {"split": "validation"}, {"seed": 5}, {"num": 100}])
def test_an_evaluation_that_no_audit_covers_is_asked_for_beside_it(changes):
    rows = [make_row(suite="audit", seed=4), make_row(suite="audit", **({"seed": 4} | changes))]
    evaluation, audit = asked(make_run(results=rows, audits=(audit_of(),)))
    assert isinstance(evaluation, Evaluate)
    assert isinstance(audit, Audit)


def test_an_audit_names_its_weights_its_source_and_of_its_suites_those_that_have_a_name():
    attacks = [{"suite": suite, "eps": 8 / 255, "num_images": 200} for suite in ("plain", "auto_fast", "custom")]
    told = audit_of(run="mmc@best", attacks=attacks, facts={"source": "other"})
    best = replace(run_of([make_row("mmc@best", suite=s, seed=4) for s in ("plain", "auto_fast")]), audits=(told,))
    (found,) = asked(best)
    assert (str(found.run), found.work.weights, str(found.work.source)) == ("mmc", "best", "other")
    assert found.suite == ("auto_fast",)


def test_an_audit_of_anybody_s_model_names_the_model():
    run = run_of([make_row("nets:big", suite="audit", seed=4, split="")])
    (found,) = asked(replace(run, recipe=None, audits=(audit_of(run="nets:big", data="my.npz", split=""),)))
    assert (found.run, found.model, str(found.data)) == (None, "nets:big", "my.npz")


@pytest.mark.parametrize("eps", [8 / 255, 8 / 256, 0.1, 0.2, 1 / 3, 1.0, 0.0])
@pytest.mark.parametrize("threat", ["Linf", "L2"])
def test_a_budget_is_written_exactly(eps, threat):
    (found,) = parse(["evaluate", "run", "--eps", eps_argument(eps, threat)]).eps
    assert found == eps


def test_imported_weights_name_their_file():
    recipe = make_recipe()
    recipe["trained_on"]["imported"] = {"file": "model.h5", "sha256": "ab"}
    assert commands(make_run(recipe=recipe))[0].startswith("# imported by mmc import-keras from model.h5")


def test_the_page_has_the_section_with_commands_and_recipe():
    text = page([make_run()])
    assert {"repeat"} <= set(Outline(text).ids)
    assert "mmc evaluate mmc --suite quick --threat linf --eps 8/255 --images 200 --split test --seed 0" in text
    assert text.index("To repeat it") < text.index("Recipe of mmc")
