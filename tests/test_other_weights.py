"""Weights of a run other than its own are attacked, recorded and reported beside them, never mixed."""

import json

import pytest
from commands import drive

from max_mahalanobis import Recipe, train
from max_mahalanobis.results import read_results
from max_mahalanobis.runs import create_run, facts_of, save_tensors

ATTACK = ["--images", "60", "--attack", "pgd", "--steps", "3", "--eps", "0.1", "--quiet"]
WEIGHTS = ("", "best", "2")


@pytest.fixture(scope="module")
def told(tmp_path_factory, digits):
    """The folder, and what `evaluate` of each of the weights printed; then `report`."""
    folder = tmp_path_factory.mktemp("weights")
    run = create_run(folder / "run", recipe := Recipe(epochs=8), facts_of(recipe, digits))
    train(recipe, digits, run=run, device="cpu")
    for which, epochs in (("best", 3), (2, 1)):
        model = train(Recipe(epochs=epochs), digits, device="cpu")
        save_tensors(run.checkpoint_file(which), model.state_dict(), {"recipe": run.recipe.fingerprint})
    asked = [["evaluate", "run", *ATTACK, *(["--weights", which] if which else [])] for which in WEIGHTS]
    done = drive(folder, [*asked, ["report", "run", "--format", "json", "--quiet"]])
    assert [result["code"] for result in done] == [0] * 4, done
    return folder, done


def test_rows_of_other_weights_carry_their_name_and_their_hash(told):
    rows = read_results(told[0] / "run" / "results.jsonl")
    assert [row.run for row in rows] == ["run", "run@best", "run@epoch-2"]
    assert len({row.weights_hash for row in rows}) == 3
    assert len({tuple(row.fooled) for row in rows}) == 3


def test_each_evaluation_prints_its_own_weights_alone(told):
    for which, result in zip(("run", "run@best", "run@epoch-2"), told[1], strict=False):
        assert which in result["out"]
        assert "@" not in result["out"].replace(which, "")


def test_the_pictures_stay_those_of_the_runs_own_weights(told):
    assert "run/pictures.npz" in told[1][0]["changed"]
    assert [result["changed"] for result in told[1][1:3]] == [["run/results.jsonl"]] * 2


def test_the_report_has_a_line_for_each_and_calls_none_stale(told):
    report = json.loads(told[1][-1]["out"])
    assert [run["name"] for run in report["runs"]] == ["run", "run@best", "run@epoch-2"]
    (table,) = report["tables"]["accuracy"]
    assert [row[0]["text"] for row in table["rows"]] == ["run", "run@best", "run@epoch-2"]
    assert "older weights" not in (told[0] / "report.html").read_text()
