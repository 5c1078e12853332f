"""The page tells an audit's verdict first, in words; what is stale, damaged or newer is not told as true."""

import json
import re
from dataclasses import replace

import pytest
from made import make_row, make_rows, make_run

from max_mahalanobis.errors import UserError
from max_mahalanobis.reports.conditions import main_condition
from max_mahalanobis.reports.page import page
from max_mahalanobis.reports.reading import read_run, read_runs
from max_mahalanobis.reports.sentences import verdicts_on
from max_mahalanobis.results import append_results

DOUBT = {
    "check": "black_box", "weight": "doubt", "seen": "square fools 20 of 100", "why": "gradients mislead",
    "remedy": "adapt the attack", "reference": "Athalye et al. 2018",
}  # fmt: skip
NOTE = DOUBT | {"check": "few_images", "weight": "note", "seen": "100 images", "reference": ""}


def audit(**changes):
    """What mmc audit writes."""
    verdict = {
        "number": 0.0, "interval": [0.0, 0.037], "images": 100, "clean": {"number": 0.99, "interval": [0.95, 1.0]},
        "reliability": "reliable", "robustness": "broken", "findings": [], "complete": True,
        "thresholds": {"robust": 0.5, "broken": 0.1, "illusion": 10.0},
        "illusion": [{"source": "pgd-20 cross_entropy alone", "reports": 0.73, "points": 73.0}],
    }  # fmt: skip
    return {
        "schema": 1,
        "threat": "Linf",
        "eps": 0.2,
        "split": "test",
        "run": "run",
        "weights_hash": "w",
        "verdict": verdict | changes,
    }


def test_the_page_begins_with_the_verdict_its_meaning_and_the_illusion():
    text = page([replace(make_run(), audits=(audit(),))])
    assert text.index("Verdict on") < text.index("What was trained")
    assert "0.0 % [0.0, 3.7] of 100 images hold under Linf eps 0.2; clean 99.0 %" in text
    assert "The model is broken: less than 0.1" in text
    assert "The number is reliable" in text
    assert "pgd-20 cross_entropy alone reports 73.0 %, 73.0 points too much: an illusion." in text


def test_a_verdict_on_validation_images_says_so():
    run = replace(make_run(), audits=(audit(), audit() | {"split": "validation"}, audit() | {"split": ""}))
    test, validation, given = verdicts_on(run)
    assert validation.number == test.number.replace("images", "validation images")
    assert given.number == test.number


def test_doubts_warn_and_notes_do_not():
    (told,) = verdicts_on(
        replace(make_run(), audits=(audit(reliability="doubtful", findings=[DOUBT, NOTE], complete=False),))
    )
    assert told.reliability.warns
    assert told.reliability.text.startswith("doubtful: 1 reason why")
    assert [finding.warns for finding in told.findings] == [True, False]
    assert told.findings[0].text == (
        "Square fools 20 of 100. Why it matters: gradients mislead. Next: adapt the attack. (Athalye et al. 2018)"
    )
    assert "incomplete" in told.illusions[0].text
    assert told.number.startswith("Incomplete: 0.0 %")


def test_many_images_are_counted_with_a_comma():
    text = page([replace(make_run(results=[make_row(num=1200)]), audits=(audit(images=1200),))])
    assert "of 1,200 images hold" in text
    assert "1,200 images of digits" in text


def test_what_a_detector_would_do_is_told_with_its_meaning_where_it_was_measured():
    facts = {"images": 1100, "detection": {"largest logit": 0.634, "largest probability": 0.21}}
    text = page([replace(make_run(), audits=(audit() | {"facts": facts},))])
    assert "area under the ROC curve of 0.63 by the largest logit and 0.21 by the largest probability" in text
    assert "0.5: no better than chance" in text
    assert "on 1,100 images right when clean" in text
    assert "does not try to escape the detector" in text
    assert "ROC" not in page([replace(make_run(), audits=(audit(),))])


def test_a_run_without_an_audit_has_no_verdict():
    assert "Verdict on" not in page([make_run()])


@pytest.fixture
def folder(tmp_path):
    row = make_row("run")
    append_results(tmp_path / "results.jsonl", [row])
    write(tmp_path, "Linf-0.2-100", audit() | {"weights_hash": row.weights_hash})
    return tmp_path


def write(folder, name, contents):
    (folder / "audit").mkdir(exist_ok=True)
    (folder / "audit" / f"{name}.json").write_text(contents if isinstance(contents, str) else json.dumps(contents))


def test_the_audit_of_the_newest_weights_is_read(folder):
    (found,) = read_run(folder).audits
    assert found["verdict"]["robustness"] == "broken"


def test_every_budget_has_its_verdict_the_smallest_first(folder):
    (first,) = read_run(folder).audits
    for threat, eps in (("Linf", 0.05), ("L2", 3.0), ("Linf", 0.1)):
        write(folder, f"{threat}-{eps}-100", first | {"threat": threat, "eps": eps})
    run = read_run(folder)
    assert [(audit["threat"], audit["eps"]) for audit in run.audits] == [
        *(("L2", 3.0), ("Linf", 0.05), ("Linf", 0.1), ("Linf", 0.2))
    ]
    text = page([run])
    assert text.count("Verdict on") == 1
    told = re.findall(r"hold under (\S+) eps ([^;]+);", text)
    assert [threat for threat, _ in told] == ["L2", "Linf", "Linf", "Linf"]
    assert told[-1][1] == "0.2"


def test_verdicts_on_other_weights_of_a_run_stand_with_those(folder):
    best = make_row("run@best", weights_hash="best")
    append_results(folder / "results.jsonl", [best])
    write(folder, "Linf-0.2-100@best", audit() | {"run": "run@best", "weights_hash": "best"})
    runs = read_runs([folder])
    assert [(run.name, len(run.audits), run.notes) for run in runs] == [
        (folder.name, 1, ()),
        (f"{folder.name}@best", 1, ()),
    ]


def test_the_audit_of_other_weights_is_named_and_left_out(folder):
    write(folder, "Linf-0.2-100", audit() | {"weights_hash": "other"})
    run = read_run(folder)
    assert run.audits == ()
    assert "1 audit of older weights is ignored" in run.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is damaged"),
        ("{}", "is damaged"),
        (json.dumps(audit() | {"schema": 2}), "has schema 2"),
        (json.dumps(audit() | {"schema": "1"}), "is damaged"),
        (json.dumps(audit() | {"verdict": {}}), "is damaged .it has no clean, complete, findings"),
        (json.dumps(audit() | {"verdict": []}), "is damaged"),
        (json.dumps(audit() | {"eps": "0.2"}), "is damaged"),
        (json.dumps(audit() | {"threat": None}), "is damaged"),
        (json.dumps(audit(images=0)), "is damaged .it names no threat, no budget or no images"),
    ],
)
def test_an_audit_that_cannot_be_read_is_refused(folder, text, says):
    write(folder, "Linf-0.2-100", text)
    with pytest.raises(UserError, match=says):
        read_run(folder)


def test_the_take_away_is_about_the_audited_budget():
    rows = [*make_rows("mmc", (180, 150, 140, 130, 120)), *make_rows("mmc", (80, 50, 40, 30, 20), eps=0.2)]
    run = make_run(results=rows)
    assert main_condition([run]).eps == 8 / 255
    assert main_condition([replace(run, audits=(audit(),))]).eps == 0.2
