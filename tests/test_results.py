import dataclasses
import json

import pytest
from drive import disk
from hypothesis import given
from hypothesis import strategies as st

from max_mahalanobis.errors import UserError
from max_mahalanobis.results import SCHEMA, AttackResult, append_results, read_results, worst_case


def row(index=(0, 1, 2), fooled=(True, False, False), **changes):
    return AttackResult(**{
        "run": "mmc", "data": "digits", "split": "test", "data_hash": "d", "weights_hash": "w", "suite": "quick",
        "attack": "pgd", "settings": {"steps": 10}, "threat": "Linf", "eps": 8 / 255, "seed": 0, "version": "0",
        "index": list(index), "correct": [True] * len(index), "fooled": list(fooled), "size": [0.03] * len(index),
        "forwards": 30, "backwards": 30, "seconds": 0.5, "signs": ["no gradient"],
    } | changes)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2**40), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_every_row_survives_its_line(images):
    index, correct, fooled = ([image[part] for image in images] for part in range(3))
    made = row(index, fooled, correct=correct, size=[0.5] * len(images))
    line = made.to_json()
    assert "\n" not in line
    assert AttackResult.from_json(line) == made


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_what_was_attempted_survives_its_line(attempted):
    made = row(range(len(attempted)), attempted, attempted=attempted, non_finite=3, signs=["probabilities"])
    assert AttackResult.from_json(made.to_json()) == made


@given(st.lists(st.integers(0, 12), min_size=1, max_size=20))
def test_labels_survive_their_line_as_digits_where_each_is_one(labels):
    made = row(range(len(labels)), [False] * len(labels), labels=labels)
    assert AttackResult.from_json(made.to_json()) == made
    written = json.loads(made.to_json())["labels"]
    assert written == ("".join(map(str, labels)) if max(labels) < 10 else labels)


def test_a_line_of_schema_2_has_no_labels_and_is_written_without():
    old = row(schema=2).to_json()
    assert "labels" not in old
    assert (AttackResult.from_json(old).labels, AttackResult.from_json(old).to_json()) == ((), old)


@pytest.mark.parametrize("labels", ["01", "01x", [0, 1], "0123"])
def test_labels_that_do_not_name_every_image_are_refused(labels):
    line = json.dumps(json.loads(row().to_json()) | {"labels": labels})
    with pytest.raises(ValueError, match="one entry per image|invalid literal"):
        AttackResult.from_json(line)


def test_a_line_of_schema_1_attempted_every_rightly_classified_image():
    old = json.loads(row(correct=[False, True, True], fooled=[True, False, False]).to_json()) | {"schema": 1}
    for name in ("attempted", "non_finite", "signs"):
        del old[name]
    read = AttackResult.from_json(json.dumps(old))
    assert (list(read.attempted), read.non_finite, list(read.signs)) == ([False, True, True], 0, [])
    assert read.passes_per_image == 30
    assert AttackResult.from_json(read.to_json()).to_json() == read.to_json()


def test_passes_are_per_image_attempted_and_none_for_none():
    assert row(attempted=[False, False, True]).passes_per_image == 60
    assert row(attempted=[False] * 3, forwards=0, backwards=0).passes_per_image == 0


def test_a_line_with_fewer_attempts_than_images_is_refused():
    line = json.dumps(json.loads(row().to_json()) | {"attempted": "10"})
    with pytest.raises(ValueError, match="one entry per image"):
        AttackResult.from_json(line)


def test_counts_are_of_all_images_and_wrong_ones_are_not_robust():
    made = row(correct=[False, True, True])
    assert (made.num_images, made.num_correct, made.num_robust) == (3, 2, 2)


def test_the_worst_case_is_fooled_by_any():
    assert worst_case([row(), row(fooled=(False, False, True))]) == [True, False, True]


@pytest.mark.parametrize(
    "changes", [{"index": [0, 1, 3]}, {"weights_hash": "other"}, {"data_hash": "other"}, {"eps": 0.2}, {"threat": "L2"}]
)
def test_rows_of_other_images_or_weights_have_no_worst_case(changes):
    with pytest.raises(UserError, match="different images, weights or budgets"):
        worst_case([row(), row(**changes)])


def test_rows_are_appended_in_order(tmp_path):
    path = tmp_path / "results.jsonl"
    assert read_results(path) == []
    append_results(path, [row(), row(seed=1)])
    append_results(path, [row(seed=2)])
    assert [made.seed for made in read_results(path)] == [0, 1, 2]


def test_a_row_that_tells_nothing_new_is_not_appended_again(tmp_path):
    path = tmp_path / "results.jsonl"
    for made in (row(), row(seed=1), row(seconds=9.0), row(seed=1), row()):
        append_results(path, [made])
    assert [made.seed for made in read_results(path)] == [0, 1]
    append_results(path, [row(version="1")])
    assert len(read_results(path)) == 3


def test_what_was_found_before_something_else_is_new_again(tmp_path):
    path = tmp_path / "results.jsonl"
    for changes in ({}, {"fooled": (True, True, False)}, {}, {"weights_hash": "other"}, {}):
        append_results(path, [row(**changes)])
    assert len(read_results(path)) == 5
    best = [row(run="mmc@best", weights_hash="best"), row()]
    for _ in range(2):
        append_results(path, best)
    assert [made.run for made in read_results(path)[5:]] == ["mmc@best"]


def test_a_full_disk_leaves_the_rows_that_were_there_and_no_torn_line(tmp_path):
    path = tmp_path / "results.jsonl"
    append_results(path, [row()])
    before = path.read_bytes()
    with disk(len(before) + 100), pytest.raises(UserError, match="cannot write"):
        append_results(path, [row(seed=1), row(seed=2)])
    assert path.read_bytes() == before


def test_a_row_after_a_torn_line_stands_on_its_own_line(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"run": "mm')
    append_results(path, [row()])
    assert AttackResult.from_json(path.read_text().splitlines()[-1]) == row()


def test_a_newer_schema_is_refused():
    newer = json.dumps(dataclasses.asdict(row()) | {"schema": SCHEMA + 1})
    with pytest.raises(UserError, match=f"schema {SCHEMA + 1}, this version reads up to {SCHEMA}: update mmc"):
        AttackResult.from_json(newer)


@pytest.mark.parametrize("line", ["{", "3", "{}", '{"schema": 1, "surprise": 2}', "\udcff"])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_bytes(row().to_json().encode() + b"\n" + line.encode(errors="surrogateescape") + b"\n")
    with pytest.raises(UserError, match=r"results\.jsonl (line 2|is not text)"):
        read_results(path)


def test_versions_survive_their_line_and_rows_without_are_written_without():
    made = row(versions={"torch": "2.13.0", "python": "3.11.7", "commit": "0bf072f05a"})
    assert AttackResult.from_json(made.to_json()) == made
    assert "versions" not in row().to_json()
