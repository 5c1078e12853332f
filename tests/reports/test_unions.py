from itertools import accumulate

import pytest
from made import make_cascade, make_row, make_rows
from test_tables import run_of

from max_mahalanobis.reports.tables import union_tables
from max_mahalanobis.reports.unions import union
from max_mahalanobis.reports.verdicts import robust_accuracy


def fooling(attack, *places, num=10, **changes):
    """An attack on ten images, all right when clean, that fools those in these places."""
    return make_row("m", attack, clean=num, num=num, fooled=[i in places for i in range(num)], **changes)


def test_where_every_attack_met_every_image_the_one_that_adds_most_goes_first():
    rows = [fooling("a", 0, 1), fooling("b", 2, 3, 4, 5), fooling("c", 1, 5, 6, 7)]
    assert [(s.attack, s.fell, s.left) for s in union(rows)] == [("b", 4, 6), ("c", 3, 3), ("a", 1, 2)]


def test_of_attacks_that_add_as_much_the_earlier_goes_first():
    assert [(s.attack, s.fell) for s in union([fooling("b", 3, 4), fooling("a", 3, 4)])] == [("b", 2), ("a", 0)]


def test_a_cascade_keeps_its_order_and_says_how_many_each_attack_met():
    shares = union(make_cascade("m", (150, 149, 60, 60)))
    assert [(s.met, s.fell, s.left) for s in shares] == [(190, 40, 150), (150, 1, 149), (149, 89, 60), (60, 0, 60)]


def test_images_wrong_when_clean_are_no_attack_s_and_several_seeds_are_one_attack():
    rows = [make_row("m", "fgsm", 150, clean=190), make_row("m", "fgsm", 140, clean=190, seed=1)]
    assert [tuple(share) for share in union(rows)] == [("fgsm", 190, 50, 140)]


@pytest.mark.parametrize("rows", [make_rows("m", (150, 175, 101, 120, 110)), make_cascade("m", (150, 90, 80, 70))])
def test_what_the_attacks_broke_adds_up_to_the_worst_case(rows):
    shares = union(rows)
    left = [190 - fell for fell in accumulate(share.fell for share in shares)]
    assert left == [share.left for share in shares]
    assert left[-1] == robust_accuracy(rows).count


def test_the_table_tells_of_each_run_the_attacks_that_broke_any_and_counts_the_idle_ones():
    rows = [fooling("a", 0, 1), fooling("b", 0, 1, 2, 3), fooling("c", 3), fooling("d")]
    (table,) = union_tables([run_of(rows)])
    said = [[cell.text for cell in line] for line in table.rows]
    assert said == [
        ["m", "wrong when clean", "10", "0.0", "100.0"],
        ["m", "b", "10", "40.0", "60.0"],
        ["m", "3 others", "10", "0.0", "60.0"],
    ]
    assert any("greedy" in note for note in table.notes)
    assert not any("cascade" in note for note in table.notes)


def test_one_attack_alone_has_no_union():
    assert union_tables([run_of([make_row("m")])]) == []
