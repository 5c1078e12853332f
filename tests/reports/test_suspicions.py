from dataclasses import replace

import pytest
from made import make_row, make_rows, make_smallest

from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.reports.sentences import alarms, findings
from max_mahalanobis.results import SIGNS


def run_of(rows):
    return RunRecord(rows[0].run, None, [], rows, None)


def rows_with(*signs, **changes):
    return [replace(row, signs=signs, **changes) for row in make_rows("m", (160, 155, 152, 158, 156))]


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_is_a_warning_once_in_findings_and_alarms(sign):
    runs = [run_of(rows_with(sign))]
    for said in (findings(runs), alarms(runs)):
        assert [found.text for found in said if found.warns] == [f"m: {SIGNS[sign]}."]
    assert page(runs).count('class="warns"') == 2


def test_a_sign_of_a_newer_version_is_shown_by_its_name():
    (found,) = alarms([run_of(rows_with("something new"))])
    assert found.text == "m: something new."


def test_several_signs_and_runs_are_each_told():
    runs = [run_of(rows_with("probabilities", "no gradient")), run_of([replace(make_row("b"), signs=["no gradient"])])]
    texts = [found.text for found in alarms(runs)]
    assert [text.partition(":")[0] for text in texts[:3]] == ["m", "m", "b"]


def test_signs_are_told_where_there_is_no_table_at_all():
    for rows in ([make_row("m", suite="curve")], make_smallest("m", (0.02,))):
        (found,) = alarms([run_of([replace(row, signs=["probabilities"]) for row in rows])])
        assert "probabilities" in found.text


def test_logits_that_are_not_finite_are_counted_where_they_were_most():
    rows = rows_with("non-finite logits")
    rows[0], rows[3] = replace(rows[0], non_finite=2), replace(rows[3], non_finite=5)
    (found,) = alarms([run_of(rows)])
    assert found.text.startswith("m: NaN or infinite logits on 5 of 200 images (pgd-20 own_distance, Linf eps 8/255")
    assert "they count as fooled, never as robust" in found.text
    (found,) = alarms([run_of([replace(rows[0], signs=[], non_finite=1), *make_rows("m", (160,) * 5)[1:]])])
    assert "on 1 of 200 images" in found.text
    assert "it counts as fooled" in found.text


def test_a_model_without_signs_gets_no_warning():
    assert alarms([run_of(rows_with())]) == []
