"""The paper's protocol stands beside an honest one only on the same images at nearly the same budget."""

from dataclasses import replace

import pytest
from made import make_cascade, make_row, make_rows
from test_page import Outline
from test_tables import run_of

from max_mahalanobis.evaluation import make_suite
from max_mahalanobis.evaluation.identity import describe
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.protocols import PAPER
from max_mahalanobis.reports.tables import ladder_tables, protocol_tables, switch_tables
from max_mahalanobis.reports.tables.protocols import NOT_ROBUSTNESS
from max_mahalanobis.reports.tables.switches import SWITCHES
from max_mahalanobis.threats import Linf


def papers(run="m", eps=8 / 256, robust=(170, 160), **changes):
    attacks = ("pgd-10 cross_entropy", "pgd-50 cross_entropy targeted")
    changes = {"suite": PAPER, "eps": eps} | changes
    return [make_row(run, attack, left, **changes) for attack, left in zip(attacks, robust, strict=True)]


def texts(rows):
    return [[cell.text for cell in line] for table in protocol_tables([run_of(rows)]) for line in table.rows]


def test_both_numbers_stand_beside_each_other_with_their_difference():
    rows = [*papers(), *make_cascade("m", (150, 90, 80, 70))]
    assert texts(rows) == [["m", "8/256", "95.0", "80.0", "8/255", "35.0", "+45.0"]]
    (table,) = protocol_tables([run_of(rows)])
    assert table.rows[0][3].detail.endswith("of 2 attacks")
    assert table.rows[0][4].detail == "adaptive"
    assert [cell.suspect for cell in table.rows[0]] == [False, False, False, True, False, False, False]
    assert NOT_ROBUSTNESS in table.notes


def test_where_both_agree_the_paper_s_number_carries_no_dagger():
    (table,) = protocol_tables([run_of([*papers(), *make_cascade("m", (160, 159, 158, 157))])])
    assert not any(cell.suspect for cell in table.rows[0])
    assert NOT_ROBUSTNESS not in table.notes


def test_the_honest_side_is_the_worst_case_of_all_suites_at_nearly_the_same_budget():
    rows = [*papers(), *make_cascade("m", (150, 90, 80, 70)), *make_rows("m", (150, 175, 60, 120, 110))]
    assert texts(rows)[0][4:] == ["8/255", "30.0", "+50.0"]
    assert texts([*rows, *make_cascade("m", (150, 90, 80, 50), eps=8 / 256)])[0][4:] == ["8/255", "25.0", "+55.0"]
    alone = [*papers(), *make_cascade("m", (150, 90, 80, 75), eps=8 / 256)]
    assert texts(alone)[0][4:] == ["8/256", "37.5", "+42.5"]
    assert "+ steps that grow with the budget" in [line[1] for line in ladder(alone)]


@pytest.mark.parametrize(
    "changes", [{"eps": 16 / 255}, {"data_hash": "e" * 16}, {"threat": "L2"}, {"num": 100}, {"weights": "other"}]
)
def test_other_images_norms_or_budgets_are_not_beside_it(changes):
    run = "m" if "weights" not in changes else "other"
    changes = {name: value for name, value in changes.items() if name != "weights"}
    honest = run_of(make_rows(run, (150, 175, 101, 120, 110), **changes))
    assert protocol_tables([run_of(papers()), honest]) == []


def test_cross_entropy_alone_is_no_honest_suite():
    assert texts([*papers(), make_row("m", "pgd-20 cross_entropy", 90, suite="custom")]) == []


def test_what_is_said_of_the_paper_s_suite_is_true_of_it():
    attacks = make_suite(PAPER, Linf(16 / 256), image_shape=(3, 32, 32)).attacks
    settings = [(attack.args[0] if attack.args else attack).keywords for attack in attacks.values()]
    assert {each["step_size"] for each in settings if "steps" in each} == {2 / 256}
    assert {each.get("objective") for each in settings} == {None}  # cross-entropy, the default
    assert {attack.func.__name__ for attack in attacks.values() if attack.args} == {"toward_random_class"}


def test_the_honest_side_counts_what_the_paper_s_own_attacks_fooled():
    last = make_row("m", "pgd-50 cross_entropy targeted", 160, suite=PAPER, eps=8 / 256)
    alone = replace(last, fooled=[i < 10 or i >= 160 for i in range(last.num_images)])  # ten that nothing else fools
    rows = [*papers(), alone, *make_cascade("m", (150, 90, 80, 70))]
    assert texts(rows)[0][5:] == ["30.0", "+45.0"]


def test_a_smaller_budget_is_not_beside_it_for_what_falls_within_the_larger_may_hold_there():
    assert texts([*papers(), *make_cascade("m", (150, 90, 80, 70), eps=7.9 / 256)]) == []
    assert len(texts([*papers(), *make_cascade("m", (150, 90, 80, 70), eps=8.1 / 256)])) == 1


def ladder(rows):
    tables = ladder_tables([run_of(rows)])
    return [[cell.text for cell in line] for table in tables for line in table.rows]


def test_each_line_adds_one_difference_and_says_what_it_takes():
    first = make_row("m", "pgd-10 cross_entropy", 180, suite=PAPER, eps=8 / 256)
    more = [make_row("m", "pgd-50 cross_entropy", 170, suite=PAPER, eps=8 / 256)]
    more += [make_row("m", "fgsm", 185, suite=PAPER, eps=8 / 256)]
    aimed = {"attack": "apgd", "objective": "dlr", "steps": 100, "targeted": "the 9 likeliest wrong classes"}
    asked = {"attack": "square", "objective": "margin", "queries": 5000}
    honest = [
        make_row("m", "pgd-20 cross_entropy", 165, suite="adaptive"),
        make_row("m", "apgd-20 margin", 120, suite="adaptive"),
        make_row("m", "apgd-100 margin", 110, suite="adaptive"),
        make_row("m", "apgd-100 dlr", 90, suite="adaptive", settings=aimed),
        make_row("m", "square", 88, suite="adaptive", settings=asked),
    ]
    assert ladder([first, *more, *honest]) == [
        ["m", "PGD on cross-entropy, 10 steps of 2/256", "90.0", "–", "1"],
        ["m", "+ 50 such steps", "85.0", "-5.0", "1"],
        ["m", "+ FGSM, BIM and MIM: all of the paper's attacks", "85.0", "+0.0", "1"],
        ["m", "+ a budget of 8/255, steps that grow with the budget", "82.5", "-2.5", "1"],
        ["m", "+ other objectives", "60.0", "-22.5", "1"],
        ["m", "+ more steps, restarts", "55.0", "-5.0", "1"],
        ["m", "+ every likely target", "45.0", "-10.0", "1"],
        ["m", "+ queries and noise", "44.0", "-1.0", "1"],
    ]


def test_the_ladder_ends_where_the_summary_does():
    rows = [*papers(), *make_cascade("m", (150, 90, 80, 70))]
    assert ladder(rows)[-1][2] == texts(rows)[0][5] == "35.0"


def test_what_a_cascade_carries_over_is_not_counted_for_a_line_above():
    cascade = make_cascade("m", (150, 90, 80, 70))
    cascade[2] = replace(cascade[2], attack="pgd-20 cross_entropy", settings=cascade[0].settings)  # met 90, took 10
    assert ladder([*papers(), *cascade])[-3][2] == "70.0"  # without the 60 that the margin took before it


def of_suite(suite, eps):
    """Rows of every attack of one of our suites, with the settings it has."""
    attacks = make_suite(suite, Linf(eps), image_shape=(3, 32, 32)).attacks
    row = make_row("m", suite=suite, eps=eps)
    return [replace(row, attack=name, settings=describe(attack)) for name, attack in attacks.items()]


@pytest.mark.parametrize("name", ["paper", "adaptive", "audit", "exhaustive"])
def test_every_attack_of_our_suites_has_a_line(name):
    rows = [*papers(), *of_suite(name, 8 / 255)]
    assert sum(int(line[4]) for line in ladder(rows)) == len(rows)


def switched(rows):
    return [[cell.text for cell in line[1:]] for table in switch_tables([run_of(rows)]) for line in table.rows]


def test_one_difference_alone_is_told_of_attacks_alike_in_all_else():
    theirs = [make_row("m", "pgd-50 cross_entropy", 160, suite=PAPER, eps=16 / 256) for _ in range(2)]
    theirs[1] = replace(theirs[1], eps=16 / 255, fooled=[i >= 150 for i in range(theirs[1].num_images)])
    for row in theirs:
        row.settings["step_size"] = 2 / 256
    ours = [
        make_row("m", f"pgd-50 {objective}", left, suite="paper", eps=16 / 256)
        for objective, left in (("cross_entropy", 140), ("margin", 80))
    ]
    for row in ours:
        row.settings["step_size"] = 4 / 256
    assert switched([*theirs, *ours]) == [
        ["steps of a quarter of the budget, not of 2/256", "80.0", "70.0", "-10.0"],
        ["a budget in 1/255, not in 1/256", "80.0", "75.0", "-5.0"],
        ["other objectives, not cross-entropy", "70.0", "40.0", "-30.0"],
    ]


def test_a_difference_that_no_attack_was_run_both_ways_with_has_no_line():
    assert switched([*papers(), *make_cascade("m", (150, 90, 80, 70))]) == []


def test_the_suites_that_the_note_names_switch_step_objective_and_budget():
    rows = [*of_suite(PAPER, 16 / 256), *of_suite("paper", 16 / 256), *of_suite(PAPER, 16 / 255)]
    assert [line[0] for line in switched(rows)] == [switch.words for switch in SWITCHES[:3]]


def test_the_page_has_the_section_where_both_were_run():
    text = page([run_of([*papers(), *make_cascade("m", (150, 90, 80, 70))])])
    assert "take steps of 2/256 whatever the budget" in text
    assert "protocols" in Outline(text).ids
    assert "protocols" not in Outline(page([run_of(papers())])).ids
