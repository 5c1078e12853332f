"""Accuracy per class: counted from rows that name the true classes, and told with its doubt."""

from dataclasses import replace

import pytest
from made import make_recipe, make_row, make_rows
from test_formats import read_csv
from test_page import Outline
from test_tables import run_of

from max_mahalanobis.reports.classes import by_class, chance, labelled
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.sentences import class_sentences
from max_mahalanobis.reports.tables import class_tables, every_table
from max_mahalanobis.reports.verdicts import clean_accuracy, robust_accuracy

BLOCKS = [i // 20 for i in range(200)]  # ten classes of 20; the first 100 images hold: classes 0 to 4
MIXED = [i % 10 for i in range(200)]
ROWS = make_rows("m", (150, 175, 101, 120, 110), labels=BLOCKS)


def test_classes_add_up_to_the_whole():
    run = run_of(ROWS)
    ((condition, labels),) = labelled([run]).items()
    shares = by_class(run, condition, labels)
    for whole, parts in (
        (clean_accuracy(ROWS), [share.clean for share in shares]),
        (robust_accuracy(ROWS), [share.robust for share in shares]),
    ):
        assert (whole.count, whole.total) == (sum(p.count for p in parts), sum(p.total for p in parts))
    assert [share.robust.count for share in shares] == [20, 20, 20, 20, 20, 1, 0, 0, 0, 0]
    assert [share.clean.count for share in shares] == [20] * 9 + [10]


def test_a_line_names_run_class_images_and_both_accuracies_with_intervals():
    (table,) = class_tables([replace(run_of(ROWS), recipe=make_recipe())])
    assert table.header == ("run", "class", "images", "clean", "worst case")
    assert [cell.text for cell in table.rows[5]] == ["m", "5", "20", "100.0", "5.0"]
    assert table.rows[5][-1].detail == "[0.9, 23.6]"
    lines = [line for line in read_csv(every_table([run_of(ROWS)])) if line["section"] == "classes"]
    assert {line["line"] for line in lines} == set("0123456789")


def test_rows_without_labels_have_no_classes_unless_another_run_labelled_the_same_images():
    old, new = run_of(make_rows("old", (150, 175, 101, 120, 110))), run_of(ROWS)
    assert class_tables([old]) == []
    assert class_sentences([old]) == []
    assert {row[0].text for row in class_tables([old, new])[0].rows} == {"old", "m"}
    elsewhere = run_of(make_rows("other", (150, 175, 101, 120, 110), data_hash="e" * 16))
    assert {row[0].text for row in class_tables([elsewhere, new])[0].rows} == {"m"}


def test_classes_are_called_by_their_names_and_their_ends_are_told():
    recipe = make_recipe()
    recipe["trained_on"]["class_names"] = ["cat", "dog", *"cdefghij"]
    rows = [make_row("m", labels=BLOCKS, fooled=[i < 15 or i >= 40 for i in range(200)])]
    (told,) = class_sentences([replace(run_of(rows), recipe=recipe)])
    assert told.text.endswith(
        "8 of the classes hold worst: 0.0 % [0.0, 2.3]; class dog holds best: 100.0 % [83.9, 100.0]."
    )
    assert "suite quick" in told.text


def test_classes_that_chance_parts_are_told_with_the_doubt():
    (told,) = class_sentences([run_of([make_row("m", labels=MIXED, robust=95)])])
    assert "Chance alone would part" in told.text
    (alike,) = class_sentences([run_of([make_row("m", labels=MIXED, robust=100)])])
    assert alike.text.endswith("all 10 classes hold alike in the worst case, 50.0 % [29.9, 70.1] of their images each.")


@pytest.mark.parametrize(("robust", "p"), [(0, 1.0), (100, 1.0)])
def test_where_nothing_parts_the_classes_nothing_is_but_chance(robust, p):
    run = run_of([make_row("m", labels=MIXED, robust=robust)])
    ((condition, labels),) = labelled([run]).items()
    assert chance(by_class(run, condition, labels)) == pytest.approx(p)


def test_the_page_shows_classes_where_labels_are_and_else_has_no_such_section():
    text = page([run_of(ROWS)])
    assert 'id="classes"' in text
    assert "holds worst" in text or "hold worst" in text
    Outline(text)
    assert "classes" not in Outline(page([run_of(make_rows("m", (150, 175, 101, 120, 110)))])).ids
