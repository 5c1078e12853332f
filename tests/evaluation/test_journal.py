from functools import partial

import pytest
from linear import linear_problem

from max_mahalanobis.attacks import fgsm, pgd
from max_mahalanobis.evaluation import Journal, Suite, evaluate
from max_mahalanobis.evaluation.journal import Outcomes, key_of
from max_mahalanobis.threats import Linf

THREAT = Linf(0.02)
SUITE = Suite({"fgsm": partial(fgsm, threat=THREAT), "pgd": partial(pgd, threat=THREAT, steps=5)}, cascade=True)


class Killed(Exception):
    """Stands for a signal: nothing in the package catches it."""


def kill_after(batches):
    calls = []

    def progress(*_):
        calls.append(1)
        if len(calls) == batches:
            raise Killed

    return progress


def without_time(rows):
    return [{**vars(row), "seconds": 0} for row in rows]


@pytest.mark.parametrize("batches", [1, 3, 6])
def test_a_killed_evaluation_continues_and_ends_with_the_same_rows(tmp_path, batches):
    model, x, y = linear_problem(10, count=50)
    settings = {"threat": THREAT, "suite": SUITE, "batch_size": 9}
    whole = evaluate(model, (x, y), **settings)
    with pytest.raises(Killed):
        evaluate(model, (x, y), journal=Journal(tmp_path), progress=kill_after(batches), **settings)
    shown = []
    rows = evaluate(model, (x, y), journal=Journal(tmp_path), progress=lambda *step: shown.append(step), **settings)
    assert without_time(rows) == without_time(whole)
    assert len(shown) == count_batches(whole) - batches


def count_batches(rows):
    return sum(-(-sum(row.attempted) // 9) for row in rows)


def test_nothing_of_another_model_seed_or_budget_is_taken_from_a_journal(tmp_path):
    model, x, y = linear_problem(10, count=20)
    evaluate(model, (x, y), threat=THREAT, suite=SUITE, journal=Journal(tmp_path))
    other = linear_problem(10, count=20, seed=1)[0]
    asked = []
    for change in (
        {"model": other},
        {"seed": 1},
        {"suite": Suite({"pgd": partial(pgd, threat=THREAT, steps=6)})},
        {"split": (x.flip(0), y.flip(0))},
    ):
        call = {"model": model, "split": (x, y), "threat": THREAT, "suite": SUITE} | change
        evaluate(journal=Journal(tmp_path), progress=lambda *step: asked.append(step), **call)
        assert asked, f"{change} was answered from the journal"
        asked.clear()
    evaluate(model, (x, y), threat=THREAT, suite=SUITE, journal=Journal(tmp_path), progress=lambda *s: asked.append(s))
    assert not asked


def test_with_more_images_or_one_more_attack_only_what_is_missing_is_run(tmp_path):
    model, x, y = linear_problem(10, count=40)
    evaluate(model, (x[:18], y[:18]), threat=THREAT, suite=SUITE, batch_size=9, journal=Journal(tmp_path))
    shown, more = [], Suite(dict(SUITE.attacks) | {"fgsm again": partial(fgsm, threat=THREAT)}, cascade=True)
    settings = {"threat": THREAT, "batch_size": 9}
    rows = evaluate(
        model, (x, y), suite=more, journal=Journal(tmp_path), progress=lambda *s: shown.append(s[0]), **settings
    )
    assert without_time(rows) == without_time(evaluate(model, (x, y), suite=more, **settings))
    assert shown.count("fgsm") == count_batches(rows[:1]) - 2


def test_a_line_torn_by_a_crash_is_attacked_again(tmp_path):
    outcomes = Outcomes([3, 4], [True, False], [0.1, 0.2], 4, 2, 0.5, 0, lost=[])
    journal, key = Journal(tmp_path), key_of(name="pgd")
    journal.write(key, outcomes)
    journal.write(key, outcomes._replace(index=[5, 6]))
    file = next(tmp_path.glob("*.jsonl"))
    file.write_text(file.read_text()[:-9])
    assert Journal(tmp_path).known(key, range(10)) == [outcomes]


def test_files_of_all_processes_are_read_and_closing_removes_them(tmp_path):
    outcomes = Outcomes([3], [True], [0.1], 4, 2, 0.5, 0, lost=[])
    folder = tmp_path / "evaluation"
    for rank in ("0", "1"):
        Journal(folder, name=rank).write("key", outcomes._replace(index=[int(rank)]))
    assert [found.index for found in Journal(folder).known("key", range(5))] == [[0], [1]]
    assert Journal(folder).known("key", [1, 2]) == [outcomes._replace(index=[1])]
    Journal(folder).close()
    assert not folder.exists()


def test_without_a_journal_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, x, y = linear_problem(3, count=5)
    evaluate(model, (x, y), threat=THREAT, suite=SUITE)
    assert list(tmp_path.iterdir()) == []
