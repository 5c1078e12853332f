from made import make_row, make_rows, make_run
from test_tables import run_of

from max_mahalanobis.reports.tables import pair_table
from max_mahalanobis.statistics import difference


def test_every_pair_of_runs_has_a_line_with_the_difference_image_by_image():
    runs = [
        run_of(make_rows(name, (r,) * 5, clean=c)) for name, r, c in (("a", 100, 190), ("b", 90, 190), ("c", 95, 180))
    ]
    table = pair_table(runs)
    assert [(line[0].text, line[1].text) for line in table.rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [line[3].text for line in table.rows] == ["+5.0", "+2.5", "-2.5"]
    assert [line[2].text for line in table.rows] == ["+0.0", "+5.0", "+5.0"]
    assert [line[4].text for line in table.rows] == ["10 : 0", "5 : 0", "0 : 5"]
    assert table.rows[0][3].number == difference(90, 10, 0, 100)
    assert table.rows[0][5].text == "0.002"


def test_runs_that_hold_as_often_on_other_images_differ_image_by_image():
    a = make_row("a", fooled=[i < 100 for i in range(200)])
    b = make_row("b", fooled=[i >= 100 for i in range(200)])
    line = pair_table([run_of([a]), run_of([b])]).rows[0]
    assert [cell.text for cell in line[3:]] == ["+0.0", "100 : 100", "1"]


def test_a_pair_that_met_other_attacks_carries_a_dagger():
    table = pair_table([run_of(make_rows("a", (9,) * 5)), run_of(make_rows("b", (9,) * 5)[:3])])
    assert table.rows[0][3].suspect
    assert any("same attacks" in note for note in table.notes)


def test_a_run_alone_or_on_other_images_is_in_no_pair(mmc):
    assert pair_table([mmc]) is None
    other = make_run("other", curve=False, results=make_rows("other", (9,) * 5, data_hash="e" * 16))
    assert pair_table([mmc, other]) is None
