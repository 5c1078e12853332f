import io
import re
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from made import make_curve, make_row, make_rows, make_smallest
from rich.console import Console

from max_mahalanobis.reports.conditions import MINIMUM_NORM, conditions, size_text
from max_mahalanobis.reports.figures import budget_drawings
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.reports.sentences import alarms, findings, take_away
from max_mahalanobis.reports.sizes import MOST, accuracy_by_budget, smallest_sizes, summary
from max_mahalanobis.reports.tables import accuracy_tables, as_rich, cost_tables
from max_mahalanobis.statistics import quantile


def run_of(rows):
    return RunRecord(rows[0].run, None, [], rows, None)


def row_of(attack, sizes, fooled=None, clean=4, **changes):
    """Four images under one attack without limit."""
    fooled = [True] * 4 if fooled is None else fooled
    changes = {"size": sizes, "fooled": fooled, "suite": "minimum_norm", "eps": 1.0} | changes
    return make_row("m", attack, clean=clean, num=4, **changes)


def test_the_smallest_size_is_per_image_over_what_fooled():
    first = row_of("fmn", [0.1, 0.5, 0.1, 0.3], [True, True, False, False])
    second = row_of("fab", [0.2, 0.2, 0.4, 0.2], [True, True, True, False])
    assert smallest_sizes([first, second]) == [0.1, 0.2, 0.4, inf]
    assert smallest_sizes([replace(first, correct=[False, True, True, True])])[0] == 0


def test_quantiles_are_sizes_of_images_and_survive_infinity():
    assert quantile([3.0, 1.0, 2.0, inf], 0.5) == 2
    assert [quantile(range(1, 11), share) for share in (0, 0.1, 0.7, 0.71, 1)] == [1, 1, 7, 8, 10]
    found = summary([0.0, 0.1, inf, inf, inf])
    assert (found.low, found.median, found.high, found.fell, found.held) == (0.1, inf, inf, 2, 3)


def test_accuracy_at_every_budget_is_the_share_of_larger_sizes():
    sizes = [0.0, 0.2, 0.1, 0.2, inf]
    points = accuracy_by_budget(sizes)
    assert [(budget, share.count) for budget, share in points] == [(0.0, 4), (0.1, 3), (0.2, 1)]
    assert all(share.total == 5 and share.low < share.value < share.high for _, share in points)


def test_a_long_curve_is_thinned_and_every_point_stays_exact():
    sizes = np.random.default_rng(0).random(2000).tolist()
    points = accuracy_by_budget(sizes)
    assert len(points) == MOST
    assert (points[0][0], points[-1][0]) == (0.0, max(sizes))
    assert all(share.count == sum(size > budget for size in sizes) for budget, share in points)


def test_the_table_shows_medians_quartiles_and_how_many_fell_instead_of_accuracies():
    first = row_of("fmn", [4 / 255, 2 / 255, 6 / 255, 0.9], [True, True, True, False])
    second = row_of("fab", [3 / 255, 9 / 255, 6 / 255, 0.9], [True, True, True, False])
    (table,) = accuracy_tables([run_of([first, second])])
    assert table.title == "4 images of digits (test), Linf without limit, suite minimum_norm"
    assert table.header == ("run", "clean", "fmn", "fab", "smallest of all")
    assert [cell.text for cell in table.rows[0]] == ["m", "100.0", "4/255", "6/255", "3/255"]
    assert [cell.detail for cell in table.rows[0]][2:] == [
        "(2 to 6/255) 3 fell",
        "(3 to 9/255) 3 fell",
        "(2 to 6/255) 3 fell",
    ]
    assert any("infinite (∞)" in note for note in table.notes)


@pytest.mark.parametrize(
    ("size", "threat", "text"),
    [
        (3.14159 / 255, "Linf", "3.14/255"), (0.0, "Linf", "0"), (inf, "Linf", "∞"), (1.0, "linf", "255/255"),
        (0.51234, "L2", "0.512"), (1234.5, "L1", "1,234"), (12.0, "L0", "12"), (999.9, "L1", "1,000"),
    ],
)  # fmt: skip
def test_sizes_are_written_in_the_unit_of_their_norm(size, threat, text):
    assert size_text(size, threat) == text


def test_an_attack_a_run_did_not_meet_is_a_dash_here_too():
    runs = [run_of(make_smallest("a", (0.02, 0.03, 0.02))), run_of(make_smallest("b", (0.02, 0.03)))]
    (table,) = accuracy_tables(runs)
    assert table.rows[1][4].text == "–"
    assert "over fewer attacks" in table.notes[-1]
    console = Console(file=io.StringIO(), width=200)
    console.print(as_rich(table))
    assert "fell" in console.file.getvalue()


def test_tables_of_one_budget_stand_before_those_without_limit(mmc):
    run = replace(mmc, results=[*make_smallest("mmc", (0.02, 0.03)), *mmc.results])
    assert ["limit" in table.title for table in accuracy_tables([run])] == [False, True]
    assert len(cost_tables([run])) == 2


def test_rows_without_limit_change_no_sentence_about_a_budget(mmc, sce_at):
    runs = [
        replace(run, results=[*run.results, *make_smallest(run.name, (0.02, 0.03), clean, threat="L2")])
        for run, clean in ((mmc, 190), (sce_at, 184))
    ]
    assert take_away(runs) == take_away([mmc, sce_at])
    assert alarms(runs) == alarms([mmc, sce_at])
    assert findings(runs)[:2] == findings([mmc, sce_at])
    assert all("L2 without limit" in found.text and not found.warns for found in findings(runs)[2:])


def test_alone_they_are_taken_away_as_medians_the_largest_first():
    runs = [run_of(make_smallest("weak", (0.01,))), run_of(make_smallest("strong", (0.05,)))]
    text = take_away(runs)
    assert re.search(r"by one attack \(deepfool\) is: strong [\d.]+/255, weak [\d.]+/255\.", text)
    assert "Linf without limit" in text
    assert "%" not in text
    more = [*runs, run_of(make_smallest("other", (0.03, 0.02)))]
    assert "attacks that were not the same for all" in take_away(more)


def test_images_that_hold_although_nothing_limits_the_adversary_are_an_alarm():
    (few,) = findings([run_of(make_smallest("m", (0.02, 0.03), held=9))])
    (many,) = findings([run_of(make_smallest("m", (0.02, 0.03), held=10))])
    assert (few.warns, many.warns) == (False, True)
    assert "on 10 of 200 images every attack failed although nothing limited it" in many.text
    assert alarms([run_of(make_smallest("m", (0.02, 0.03), held=10))]) == [many]
    (most,) = findings([run_of(make_smallest("m", (0.02, 0.03), held=150))])
    assert "fewer than half of the images fall" in most.text
    assert "∞" not in most.text


def test_one_step_curve_is_drawn_for_all_budgets_beside_the_fixed_ones(mmc):
    run = replace(mmc, results=[*make_curve("mmc", (185, 175), (160, 101)), *make_smallest("mmc", (0.02, 0.03))])
    (drawing,) = budget_drawings([run])
    assert "95 % clean; at budget 8, 88 % under cross-entropy PGD and 50 % in the worst" in drawing.alt
    assert "by the smallest perturbations found, half fall within" in drawing.alt
    assert "hold for every budget" in drawing.caption
    for label in ("smallest perturbations found", "cross-entropy PGD", "worst of the adaptive objectives"):
        assert label in drawing.svg
    (old,) = budget_drawings([mmc])
    assert "smallest" not in old.svg + old.alt + old.caption


def test_a_curve_of_sizes_alone_is_drawn_and_one_of_images_that_never_fall():
    for held in (0, 150, 190):
        (drawing,) = budget_drawings([run_of(make_smallest("m", (0.02,), held=held, clean=190))])
        assert "m: 95 % clean" in drawing.alt
        assert "cross-entropy" not in drawing.svg + drawing.alt
    assert "fewer than half fall" in drawing.alt


def test_other_images_or_threats_get_a_panel_of_their_own(mmc):
    rows = [*mmc.results, *make_smallest("mmc", (0.02,)), *make_smallest("mmc", (0.5,), threat="L2")]
    assert len(budget_drawings([replace(mmc, results=rows)])) == 2


def test_a_page_of_rows_without_limit_says_no_accuracy_at_a_budget_and_lacks_no_curve():
    run = run_of(make_smallest("m", (0.02, 0.03)))
    text = page([run])
    assert "Linf without limit" in text
    assert "eps 255/255" not in text
    assert "No budget curve of m" not in text
    assert page([run]) == text


def test_seeds_of_one_attack_become_the_smaller_size():
    rows = [row_of("fmn", [0.4, 0.4, 0.4, 0.4]), row_of("fmn", [0.2, 0.6, 0.2, 0.2], seed=1)]
    (table,) = accuracy_tables([run_of(rows)])
    assert table.rows[0][2].text == "51/255"
    assert [c.suite for c in conditions([run_of(rows)], MINIMUM_NORM)] == ["minimum_norm"]
    assert conditions([run_of(make_rows("m", (1, 2, 3, 4, 5)))], MINIMUM_NORM) == []
