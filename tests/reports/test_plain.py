"""What an audit adds to its suites, 20 steps of PGD on cross-entropy, counts with them and is no suite of its own."""

from dataclasses import replace

import pytest
from made import VERDICT, make_cascade, make_row, make_rows
from test_tables import run_of

from max_mahalanobis.reports.conditions import PLAIN, conditions, main_condition
from max_mahalanobis.reports.sentences import alarms, findings
from max_mahalanobis.reports.tables import accuracy_tables, budget_tables, union_tables

ADDED = make_row("m", robust=150, suite=PLAIN)
CASCADE = [row for row in make_cascade("m", (160, 90, 80, 70), suite="auto_fast") if "cross_entropy" not in row.attack]


def audited(rows, suites=("auto_fast",), **changes):
    attacks = [{"suite": suite, "eps": 8 / 255, "num_images": 200} for suite in (PLAIN, *suites)]
    about = {"run": "m", "threat": "Linf", "eps": 8 / 255, "split": "test", "seed": 0, "verdict": VERDICT}
    return replace(run_of(rows), audits=(about | {"attacks": attacks} | changes,))


@pytest.fixture
def run():
    return audited([*CASCADE, ADDED])  # the suite was evaluated before it was audited


def test_it_stands_first_in_the_table_of_the_audit_s_suite(run):
    (table,) = accuracy_tables([run])
    assert "suite auto_fast" in table.title
    assert table.header[2:4] == ("pgd-20 cross_entropy", "apgd-20 margin")
    assert table.rows[0][2].text == "75.0"
    assert table.rows[0][2].suspect
    (broke,) = union_tables([run])
    assert broke.rows[1][1].text == "pgd-20 cross_entropy"


def test_it_is_compared_and_no_alarm_says_that_nothing_adaptive_was_tried(run):
    (alarm,) = alarms([run])
    assert "cross-entropy PGD reports 75.0 %, the whole cascade leaves 35.0 %" in alarm.text
    assert main_condition([run]).suite == "auto_fast"


def test_of_several_suites_it_counts_with_each_and_their_own_worst_cases_are_left_as_they_are():
    run = audited(
        [ADDED, *CASCADE, *(replace(row, suite="adaptive") for row in CASCADE[:1])], ("auto_fast", "adaptive")
    )
    assert [table.header.count("pgd-20 cross_entropy") for table in accuracy_tables([run])] == [1, 1]
    (table,) = budget_tables([run])
    assert table.header[3:] == ("cross-entropy PGD", "auto_fast", "adaptive")
    assert [cell.text for cell in table.rows[0][3:]] == ["75.0", "35.0", "45.0"]


@pytest.mark.parametrize("changes", [{"seed": 1}, {"split": "validation"}, {"threat": "L2"}, {"attacks": []}])
def test_without_its_audit_it_stands_alone_and_alarms_nobody(changes):
    run = audited([ADDED, *CASCADE], **changes)
    assert [condition.suite for condition in conditions([run], "fixed")] == ["auto_fast", PLAIN]
    assert alarms([run]) == []
    assert len(findings([run])) == 1


def test_it_does_not_join_suites_that_the_audit_did_not_run():
    run = audited([ADDED, *CASCADE, *make_rows("m", (150, 175, 101, 120, 110))])
    quick = next(table for table in accuracy_tables([run]) if "suite quick" in table.title)
    assert not any("worst of" in cell.detail for cell in quick.rows[0])
