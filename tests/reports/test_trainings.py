"""What a report says of how training went: best and last, clean and robust."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from made import make_fight, make_recipe, make_run

from max_mahalanobis.reports.figures import training_drawing
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.tables import training_table
from max_mahalanobis.reports.trainings import ends, epochs


@pytest.fixture
def fought():
    """A run whose robust accuracy is best in epoch 12 of 20."""
    return make_run("at", metrics=make_fight(), recipe=make_recipe(checkpoint="best"))


def words(drawing):
    return "".join(ET.fromstring(drawing.svg).itertext())


def cells(table, line=0):
    return {name: cell.text for name, cell in zip(table.header, table.rows[line], strict=True)}


def test_an_epoch_trained_twice_counts_once():
    lines = [{"event": "start"}, {"epoch": 2, "loss": 3.0}, {"epoch": 1, "loss": 4.0}, {"epoch": 2, "loss": 1.0}]
    assert [(line["epoch"], line["loss"]) for line in epochs(lines)] == [(1, 4.0), (2, 1.0)]


def test_an_event_that_names_an_epoch_is_no_epoch(fought):
    stopped = {"event": "stopped", "epoch": 25, "loss": 1.0, "reason": "no better validation for 8 epochs"}
    assert len(epochs([*fought.metrics, stopped])) == 20
    table = training_table([replace(fought, metrics=[*fought.metrics, stopped])])
    assert table.notes[-1] == "at stopped early: no better validation for 8 epochs."


def test_epochs_are_compared_by_robust_accuracy_where_there_is_one_and_the_first_best_wins(fought):
    by, best, last = ends(fought.metrics)
    assert (by, best["epoch"], last["epoch"]) == ("robust_validation_accuracy", 11, 19)
    clean = [{key: value for key, value in line.items() if "robust" not in key} for line in fought.metrics]
    assert ends([*clean, clean[-1] | {"epoch": 20}])[1]["epoch"] == 19
    assert ends([{"epoch": 0, "loss": 1.0, "validation_accuracy": None}]) is None


def test_the_gap_between_best_and_last_is_marked_and_said(fought):
    drawing = training_drawing([fought])
    assert "at, robust: best epoch 12: 71.3 %, last: 68.0 %, a gap of 3.3 points." in drawing.caption
    assert "Rice et al. 2020" in drawing.caption
    assert "best epoch 12" in drawing.alt
    for part in ("validation accuracy, %", "clean", "best, robust", "last, robust"):
        assert part in words(drawing)


def test_a_last_epoch_that_is_the_best_has_no_gap():
    rising = make_run("at", metrics=make_fight(best=20))
    caption = training_drawing([rising]).caption
    assert "at, robust: best epoch 20, the last: 71.3 %." in caption
    assert "gap of 0" not in caption


def test_metrics_without_robust_figures_say_nothing_of_robustness(mmc):
    drawing = training_drawing([mmc])
    assert "clean validation accuracy, %" in words(drawing)
    assert drawing.caption == (
        "Losses of different heads are different quantities: compare their shapes, not their heights."
    )
    assert "robust" not in drawing.alt + words(drawing)
    assert cells(training_table([mmc])).keys() == {
        *("run", "best epoch", "clean, best", "clean, last", "weights are", "seconds")
    }


def test_the_table_says_best_and_last_clean_and_robust_and_which_the_weights_are(fought, mmc):
    table = training_table([fought, mmc])
    assert cells(table) == {
        "run": "at", "best epoch": "12", "clean, best": "88.8", "clean, last": "95.2", "robust, best": "71.3",
        "robust, last": "68.0", "weights are": "best", "images/s": "1,010", "seconds": "30", "adversary fools": "31.0",
    }  # fmt: skip
    without = cells(table, 1)
    assert (without["robust, best"], without["adversary fools"], without["weights are"]) == ("–", "–", "last")


def test_without_metrics_there_is_no_table(mmc):
    assert training_table([replace(mmc, metrics=[{"event": "start"}])]) is None


def test_the_page_has_the_table_and_the_gap(fought):
    text = page([fought])
    assert "<span>Trainings</span>" in text
    assert "a gap of 3.3 points" in text
    assert "adversary fools" in text


def test_a_loss_that_stays_within_one_power_of_ten_still_has_numbers_on_its_axis(fought):
    ticks = {"1.2", "1.4", "1.6", "1.8"}  # of a loss that falls from 2 to 1.05
    assert ticks <= {part.text for part in ET.fromstring(training_drawing([fought]).svg).iter() if part.text}
