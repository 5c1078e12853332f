import json

import numpy as np
import pytest
import tomli_w
from made import VERDICT, make_metrics, make_pictures, make_recipe, make_row, make_rows

from max_mahalanobis.errors import UserError
from max_mahalanobis.reports.reading import read_run, read_runs
from max_mahalanobis.reports.tables import accuracy_tables
from max_mahalanobis.results import append_results


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mmc"
    folder.mkdir()
    (folder / "recipe.toml").write_text(tomli_w.dumps(make_recipe()))
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, make_metrics())) + "\n")
    np.savez(folder / "pictures.npz", **make_pictures())
    append_results(folder / "results.jsonl", make_rows("mmc", (150, 175, 101, 120, 110)))
    return folder


def test_a_run_folder_is_read_whole(folder):
    run = read_run(folder)
    assert (run.name, len(run.results), run.recipe["head"], len(run.metrics)) == ("mmc", 5, "mmc", 22)
    assert run.pictures["features"].shape == (150, 16)
    assert run.class_name(3) == "3"
    assert run.notes == ()


def test_a_folder_without_metrics_and_pictures_is_still_a_run(folder):
    (folder / "metrics.jsonl").unlink()
    (folder / "pictures.npz").unlink()
    run = read_run(folder)
    assert run.metrics == []
    assert run.pictures is None


def test_the_last_of_repeated_evaluations_wins_whatever_its_batch_size(folder):
    again = make_row(robust=160)
    again.settings["batch_size"] = 7
    append_results(folder / "results.jsonl", [again])
    rows = [row for row in read_run(folder).results if row.attack == again.attack]
    assert [row.num_robust for row in rows] == [160]


def test_other_seeds_settings_and_budgets_do_not_supersede(folder):
    append_results(folder / "results.jsonl", [make_row(seed=1), make_row(eps=16 / 255), make_row(suite="paper")])
    assert len(read_run(folder).results) == 8


def test_rows_of_older_weights_are_ignored_and_counted_in_a_note(folder):
    append_results(folder / "results.jsonl", [make_row(weights_hash="newer")])
    run = read_run(folder)
    assert [row.weights_hash for row in run.results] == ["newer"]
    assert "5 rows of older weights are ignored" in run.notes[0]


def test_other_weights_of_a_run_are_a_line_of_their_own_and_make_no_row_stale(folder):
    about = {"run": "mmc", "weights_hash": "w-mmc", "threat": "Linf", "eps": 0.1, "split": "test"}
    audit = {"schema": 1} | about | {"verdict": VERDICT | {"images": 9}}
    (folder / "audit").mkdir()
    (folder / "audit" / "Linf-0.1-9.json").write_text(json.dumps(audit))
    append_results(folder / "results.jsonl", [make_row("mmc@best", robust=120), make_row("mmc@epoch-3", robust=70)])
    runs = read_runs([folder])
    assert [(run.name, len(run.results), run.notes) for run in runs] == [
        *(("mmc", 5, ()), ("mmc@best", 1, ()), ("mmc@epoch-3", 1, ()))
    ]
    assert [run.shares_training for run in runs] == [False, True, True]
    assert [(len(run.metrics), run.pictures is None, len(run.audits)) for run in runs] == [
        *((22, False, 1), (0, True, 0), (0, True, 0))
    ]
    assert read_run(folder).results == runs[0].results
    (table,) = accuracy_tables(runs)
    assert [(row[0].text, row[-1].text) for row in table.rows] == [
        *(("mmc", "50.5"), ("mmc@best", "60.0"), ("mmc@epoch-3", "35.0"))
    ]


def test_each_of_a_runs_weights_has_older_ones_of_its_own(folder):
    rows = [
        make_row("mmc@best"),
        make_row("mmc@best", weights_hash="newer"),
        make_row("mmc@best", weights_hash="newer"),
    ]
    append_results(folder / "results.jsonl", rows)
    own, best = read_runs([folder])
    assert (own.notes, len(own.results)) == ((), 5)
    assert best.notes == ("mmc@best: 1 rows of older weights are ignored (newest weights: newer).",)
    assert len(best.results) == 1


def test_the_name_of_a_folder_may_end_as_other_weights_do_and_change(folder):
    renamed = folder.rename(folder.with_name("ours@best"))
    append_results(renamed / "results.jsonl", [make_row("ours@best"), make_row("mmc@last"), make_row("ours@best@last")])
    runs = read_runs([renamed])
    assert [(run.name, [row.run for row in run.results]) for run in runs] == [
        ("ours@best", ["ours@best"]),
        ("ours@best@last", ["ours@best@last"]),
    ]


def test_where_only_other_weights_were_evaluated_they_tell_of_the_training(folder):
    (folder / "results.jsonl").unlink()
    append_results(folder / "results.jsonl", [make_row("mmc@best")])
    run = read_run(folder)
    assert (run.name, len(run.metrics), run.recipe["head"]) == ("mmc@best", 22, "mmc")


def test_a_bare_file_gives_one_record_per_run(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_results(path, [make_row("a"), make_row("b"), make_row("a", "pgd-20 margin")])
    runs = read_runs([path])
    assert [(run.name, len(run.results), run.recipe) for run in runs] == [("a", 2, None), ("b", 1, None)]
    with pytest.raises(UserError, match=r"holds 2 runs \(a, b\)"):
        read_run(path)


def test_two_runs_of_one_name_are_told_apart_and_one_path_given_twice_is_one_run(folder, tmp_path):
    other = tmp_path / "rows.jsonl"
    append_results(other, [make_row("mmc")])
    names = [run.name for run in read_runs([folder, other, folder])]
    assert names == [f"mmc ({folder})", f"mmc ({other})"]


def test_what_is_no_run_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        read_run(tmp_path)
    with pytest.raises(UserError, match="there is no"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="mmc evaluate"):
        read_run(tmp_path / "empty.jsonl")
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not text"):
        read_run(tmp_path / "weights.bin")


def test_a_folder_without_rows_says_evaluate_first(folder):
    (folder / "results.jsonl").unlink()
    with pytest.raises(UserError, match="run `mmc evaluate` on it first"):
        read_run(folder)


@pytest.mark.parametrize("line", ['{"run": "mm', "[]", "null", "{}", '{"correct": "1", "fooled": "0"}'])
def test_a_damaged_row_is_named_by_its_line_in_one_line(folder, line):
    with open(folder / "results.jsonl", "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"results.jsonl line 6 is damaged") as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


def test_a_row_with_fewer_verdicts_than_images_is_damaged(folder):
    append_results(folder / "results.jsonl", [make_row(index=[1, 2, 3])])
    with pytest.raises(UserError, match="one entry per image"):
        read_run(folder)


def test_damaged_metrics_and_pictures_are_refused(folder):
    (folder / "pictures.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(UserError, match=r"pictures.npz is damaged"):
        read_run(folder)
    (folder / "metrics.jsonl").write_text("3\n")
    with pytest.raises(UserError, match=r"metrics.jsonl line 1 is damaged"):
        read_run(folder)
