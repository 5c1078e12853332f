from made import make_row
from test_tables import run_of

from max_mahalanobis.reports.tables import steps_tables


def texts(table):
    return [[cell.text for cell in line] for line in table.rows]


def steps(count, robust, objective="margin", **changes):
    return make_row("m", f"pgd-{count} {objective}", robust, **changes)


def test_an_attack_with_several_numbers_of_steps_becomes_a_line_fewest_first():
    (table,) = steps_tables([run_of([steps(50, 98), steps(10, 120), steps(20, 100), make_row("m", "fgsm")])])
    assert table.header == ("run", "attack", "10 steps", "20 steps", "50 steps", "most less fewest")
    assert texts(table) == [["m", "pgd margin", "60.0", "50.0", "49.0", "-11.0"]]
    assert table.rows[0][-1].number.only_second == 22


def test_suites_of_the_same_images_and_budget_share_a_line_and_others_do_not():
    rows = [steps(10, 120), steps(40, 100, suite="paper"), steps(80, 90, eps=0.5), steps(80, 90, num=190)]
    (table,) = steps_tables([run_of(rows)])
    assert texts(table) == [["m", "pgd margin", "60.0", "50.0", "-10.0"]]


def test_other_objectives_targets_and_restarts_are_other_attacks():
    other = steps(40, 90)
    other.settings["restarts"] = 5
    rows = [steps(10, 120), other, steps(40, 90, "cross_entropy"), steps(50, 90, "margin targeted")]
    assert steps_tables([run_of(rows)]) == []


def test_a_later_row_of_a_cascade_is_no_number_of_its_attack():
    spared = [i < 150 for i in range(200)]
    assert steps_tables([run_of([steps(10, 120), steps(40, 100, attempted=spared)])]) == []


def test_a_number_of_steps_that_a_run_lacks_is_a_dash():
    rows = [steps(10, 120), steps(40, 100), steps(10, 130, "cross_entropy"), steps(20, 130, "cross_entropy")]
    (table,) = steps_tables([run_of(rows)])
    assert texts(table)[0] == ["m", "pgd margin", "60.0", "–", "50.0", "-10.0"]
    assert texts(table)[1] == ["m", "pgd cross_entropy", "65.0", "65.0", "–", "+0.0"]
