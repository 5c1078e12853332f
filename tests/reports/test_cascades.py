from dataclasses import replace

import pytest
from made import CASCADE, make_cascade, make_recipe, make_row, make_rows

from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.reports.sentences import SATURATED, UNEXPLAINED_IN_CASCADE, findings, take_away
from max_mahalanobis.reports.tables import accuracy_tables, cost_tables
from max_mahalanobis.reports.verdicts import adaptive_rows, comparisons, met
from max_mahalanobis.results import cross_entropy_rows, is_cascade

LEFT = (175, 120, 101, 98)


def run_of(rows, recipe=None):
    return RunRecord(rows[0].run, recipe, [], rows, None)


def test_a_cascade_is_told_by_images_that_were_right_and_not_attempted():
    rows = make_cascade("m", LEFT)
    assert is_cascade(rows)
    assert not is_cascade(rows[:1])
    assert not is_cascade(make_rows("m", (9, 8, 7, 6, 5)))
    assert (met(rows[2:]), met(rows)) == (120, 190)


def test_the_table_says_what_is_left_and_how_many_images_an_attack_met():
    (table,) = accuracy_tables([run_of(make_cascade("m", LEFT))])
    assert table.header == ("run", "clean", *CASCADE, "worst case")
    assert [cell.text for cell in table.rows[0]] == ["m", "95.0", "87.5", "60.0", "50.5", "49.0", "49.0"]
    assert [cell.detail.partition(" met ")[2] for cell in table.rows[0]] == ["", "", "", "175", "120", "101", ""]
    assert any(note.startswith("In a cascade") and "those before it" in note for note in table.notes)


def test_only_the_cross_entropy_row_that_met_every_image_carries_the_dagger():
    late = make_row("m", "apgd-100 cross_entropy", 98, suite="adaptive", attempted=[i < 98 for i in range(200)])
    (table,) = accuracy_tables([run_of([*make_cascade("m", LEFT), late])])
    assert [cell.suspect for cell in table.rows[0]] == [False, False, True, *[False] * 5]
    assert "† not robustness: the attacks that followed take at least 5 points more (p < 0.01)." in table.notes


def test_tables_without_a_cascade_do_not_speak_of_one(mmc):
    for table in accuracy_tables([mmc]) + cost_tables([mmc]):
        assert not any("cascade" in note for note in table.notes)
        assert not any("met" in cell.detail for row in table.rows for cell in row)


def test_the_finding_compares_cross_entropy_with_the_end_of_the_cascade():
    (found,) = findings([run_of(make_cascade("m", LEFT))])
    assert found.warns
    assert "cross-entropy PGD reports 87.5 %, the whole cascade leaves 49.0 %" in found.text
    assert UNEXPLAINED_IN_CASCADE in found.text
    (found,) = findings([run_of(make_cascade("m", LEFT), make_recipe())])
    assert SATURATED in found.text


def test_what_only_square_breaks_is_overstated_too():
    (found,) = findings([run_of(make_cascade("m", (175, 174, 173, 120)))])
    assert found.warns
    assert "the whole cascade leaves 60.0 %" in found.text


@pytest.mark.parametrize("left", [(100, 100, 100, 100), (100, 98, 97, 95)])
def test_cross_entropy_is_never_called_the_stronger_attack_in_a_cascade(left):
    (found,) = findings([run_of(make_cascade("m", left))])
    assert not found.warns
    assert f"only {(100 - left[-1]) / 2:.1f} points less" in found.text
    assert "stronger" not in found.text
    assert "agree" not in found.text


def test_too_few_images_are_counted_and_given_no_p_value():
    rows = [make_row("m", "pgd-20 cross_entropy", 10, 20, 20, suite="adaptive")]
    rows.append(make_row("m", "apgd-20 margin", 8, 20, 20, suite="adaptive", attempted=[i < 10 for i in range(20)]))
    (found,) = findings([run_of(rows)])
    assert not found.warns
    assert "10.0 points less, but 2 of 20 images are too few to tell." in found.text


def test_seven_images_that_fall_later_are_chance_and_eight_are_not():
    for fell, differs in ((7, False), (8, True)):
        rows = [make_row("m", "pgd-20 cross_entropy", 50, 100, 100, suite="adaptive")]
        tried = [i < 50 for i in range(100)]
        rows.append(make_row("m", "apgd-20 margin", 50 - fell, 100, 100, suite="adaptive", attempted=tried))
        assert comparisons(rows)[0].overstated == differs


def test_a_cascade_in_which_no_cross_entropy_attack_met_every_image_is_compared_with_none():
    margin, plain = make_cascade("m", LEFT)[1:3]
    rows = [
        replace(margin, attempted=margin.correct),
        replace(plain, attack="apgd-ce", settings={"attack": "apgd", "objective": "cross_entropy", "steps": 100}),
    ]
    (found,) = findings([run_of(rows)])
    assert not found.warns
    assert "the whole cascade leaves at most 50.5 %; no iterative cross-entropy attack met every image" in found.text


def test_attacks_that_follow_no_gradient_are_neither_adaptive_nor_cross_entropy():
    square = make_cascade("m", LEFT)[-1]
    fab = make_row("m", "fab", settings={"attack": "fab", "steps": 100})
    assert adaptive_rows([square, fab]) == []
    assert cross_entropy_rows([square, fab]) == []
    alone = replace(square, attempted=square.correct)
    (found,) = findings([run_of([make_row("m", robust=180, suite="adaptive"), alone])])
    assert "no adaptive objective was tried" in found.text


def test_where_cross_entropy_left_nothing_robustness_is_known():
    rows = make_cascade("m", (0, 0, 0, 0))
    assert all(row.backwards == 0 for row in rows[1:])
    (found,) = findings([run_of(rows)])
    assert "unknown" not in found.text
    assert "the whole cascade leaves 0.0 %" in found.text


@pytest.mark.parametrize("objective", ["rescaled_cross_entropy", "un_1", "un_2", "tar_1", "tar_2", "chosen_center"])
def test_every_other_objective_is_adaptive(objective):
    row = make_row("m", f"apgd-20 {objective}")
    assert adaptive_rows([row]) == [row]
    assert cross_entropy_rows([row]) == []


def test_first_order_attacks_on_cross_entropy_alone_leave_robustness_unknown():
    names = ("fgsm cross_entropy targeted", "bim-10 cross_entropy", "mim-10 cross_entropy", "pgd-50 cross_entropy")
    (found,) = findings([run_of([make_row("m", name, 150, suite="paper_faithful") for name in names])])
    assert found.warns
    assert "robustness is unknown" in found.text


def test_costs_of_a_cascade_are_per_image_met():
    (table,) = cost_tables([run_of(make_cascade("m", LEFT))])
    assert [cell.text for cell in table.rows[0]] == ["m", "41.0", "41.0", "41.0", "21.0", "115.8"]
    assert [cell.detail for cell in table.rows[0]][3:] == ["1.25 s, met 120", "1.25 s, met 101", "5.00 s, met 190"]
    assert "In a cascade passes are per image that met the attack" in table.notes[-1]


def test_the_take_away_counts_every_attack_of_the_cascade():
    assert "on at most 49.0 % [42.2, 55.9] in the worst case of 4 attacks" in take_away(
        [run_of(make_cascade("m", LEFT))]
    )
