"""The paper's protocol stands beside an honest one only on the same images at nearly the same budget."""

import pytest
from made import make_cascade, make_row, make_rows
from test_page import Outline
from test_tables import run_of

from max_mahalanobis.evaluation import make_suite
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.tables import protocol_tables
from max_mahalanobis.reports.tables.protocols import NOT_ROBUSTNESS, PAPER
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


def test_the_honest_side_is_the_worst_case_of_all_suites_at_the_nearest_budget():
    rows = [*papers(), *make_cascade("m", (150, 90, 80, 70)), *make_rows("m", (150, 175, 60, 120, 110))]
    assert texts(rows)[0][4:] == ["8/255", "30.0", "+50.0"]
    assert texts([*rows, *make_cascade("m", (150, 90, 80, 75), eps=8 / 256)])[0][4:] == ["0.03125", "37.5", "+42.5"]


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


def test_the_page_has_the_section_where_both_were_run():
    text = page([run_of([*papers(), *make_cascade("m", (150, 90, 80, 70))])])
    assert "What differs: the paper" in text
    assert "protocols" in Outline(text).ids
    assert "protocols" not in Outline(page([run_of(papers())])).ids
