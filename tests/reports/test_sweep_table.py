import csv
from dataclasses import replace

import pytest
from reports.made import make_metrics, make_rows, make_run

from max_mahalanobis.recipe import Recipe
from max_mahalanobis.reports.sweeps import sweep_lines
from max_mahalanobis.reports.tables import as_csv, as_latex, as_markdown, sweep_table
from max_mahalanobis.statistics import over_seeds


def line(head="MMC", seed=0, clean=190, cross_entropy=150, worst=100, eps=0.1, **changes):
    values = {
        "cell": f"{head}-{seed}", "axes": {"head": head, "training": "AT"}, "seed": seed, "data": "digits",
        "threat": "Linf", "eps": eps, "images": 200, "clean": clean, "cross_entropy": cross_entropy, "worst": worst,
        "suites": {"quick": worst}, "seconds": 10.0 + seed, "recipe": "r", "epochs": 3, "robust_validation": None,
    }  # fmt: skip
    return values | changes


def test_a_combination_is_a_line_with_means_and_t_intervals_over_its_seeds():
    table = sweep_table([line(worst=100), line("SCE", worst=60), line(seed=1, worst=110), line(seed=2, worst=108)])
    assert table.header == ("head", "training", "clean", "PGD on cross-entropy", "worst case", "seconds of training",
                            "seeds")  # fmt: skip
    assert [row[0].text for row in table.rows] == ["MMC", "SCE"]
    mmc, sce = table.rows
    expected = over_seeds([0.5, 0.55, 0.54])
    assert mmc[4].number == expected
    assert (mmc[4].text, mmc[4].detail) == ("53.0", f"[{100 * expected.low:.1f}, {100 * expected.high:.1f}]")
    assert [cell.text for cell in mmc[5:]] == ["11.0", "3"]
    assert (sce[4].text, sce[4].detail, sce[6].text) == ("30.0", "", "1")
    assert table.title == "Sweep: 200 test images of digits, Linf eps 0.1, suite quick"
    assert "other images are not in it" in table.notes[0]
    assert table.notes[1].startswith("One seed: ")


def test_what_cross_entropy_overstates_carries_a_dagger():
    assert sweep_table([line()]).rows[0][3].suspect
    assert not sweep_table([line(cross_entropy=108)]).rows[0][3].suspect  # 4 points
    assert not sweep_table([line(images=20, clean=19, cross_entropy=12, worst=9)]).rows[0][3].suspect  # 3 images
    assert sweep_table([line(cross_entropy=None)]).rows[0][3].text == "–"


def test_budgets_are_a_column_where_there_are_several():
    table = sweep_table([line(), line(eps=8 / 255), line(seed=1), line(seed=1, eps=8 / 255)])
    assert [[cell.text for cell in row[:3]] for row in table.rows] == [
        ["MMC", "AT", "Linf eps 0.1"],
        ["MMC", "AT", "Linf eps 8/255"],
    ]
    assert table.keys == 3


def test_every_form_names_the_failures_and_machines_get_the_unrounded_means():
    table = sweep_table([line(), line(seed=1, worst=101)], ["SCE-0 failed (exit 2): no data"])
    assert "SCE-0 failed (exit 2): no data." in as_markdown(table)
    assert "SCE-0 failed" in as_latex(table)
    cells = list(csv.DictReader(as_csv({"sweep": [table]}).splitlines()))
    worst = next(cell for cell in cells if cell["column"] == "worst case")
    assert (worst["run"], worst["line"], float(worst["value"]), worst["count"]) == ("MMC", "AT", 0.5025, "2")


def test_where_nothing_is_finished_the_table_says_so():
    table = sweep_table([], ["SCE-0 failed (exit 2): no data"])
    assert (table.title, table.rows) == ("Sweep: no cell is finished", ())
    assert "SCE-0 failed" in as_markdown(table)


def test_a_line_counts_rows_of_its_suites_budget_and_images_alone():
    about = {"choices": {"head": "MMC"}, "recipe": Recipe(seed=4), "suites": ("quick",), "images": 200, "seed": 0}
    run = make_run("mmc", (150, 175, 101, 120, 110), curve=False)
    other = [
        *make_rows("mmc", [5] * 5, suite="auto"),
        *make_rows("mmc", [6] * 5, seed=1),
        *make_rows("mmc", [7] * 5, num=190),
    ]
    (found,) = sweep_lines(replace(run, results=run.results + other), threats=[("Linf", 8 / 255)], **about)
    assert (found["clean"], found["cross_entropy"], found["worst"]) == (190, 175, 101)
    assert (found["cell"], found["seed"], found["suites"]) == ("mmc", 4, {"quick": 101})
    assert (found["epochs"], found["seconds"]) == (20, 20.0)


@pytest.mark.parametrize(("seen", "told"), [((None, 0.5, 0.4), {"last": 0.4, "best": 0.5}), ((None, None, None), None)])
def test_robust_validation_is_told_where_training_measured_it(seen, told):
    metrics = [
        each | {"robust_validation_accuracy": value} for each, value in zip(make_metrics()[1:4], seen, strict=True)
    ]
    about = {"choices": {}, "recipe": Recipe(), "suites": ("quick",), "images": 200, "seed": 0}
    (found,) = sweep_lines(make_run(curve=False, metrics=metrics), threats=[("Linf", 8 / 255)], **about)
    assert found["robust_validation"] == told
