"""Tables as LaTeX, JSON and CSV say the same numbers, and are whole whatever a run is called."""

import csv
import io
import json
from dataclasses import replace

import pytest
from made import make_cascade, make_rows, make_run, make_smallest
from test_audited import audit
from test_tables import run_of

from max_mahalanobis.reports.document import as_json
from max_mahalanobis.reports.tables import accuracy_tables, as_csv, as_latex, every_table

EVIL = 'a_b & 50 % \\ {c} "d", $e$\n[f] ~^#'


def read_csv(sections):
    return list(csv.DictReader(io.StringIO(as_csv(sections))))


@pytest.fixture(scope="module")
def runs():
    extra = [*make_cascade("mmc", (150, 90, 80, 70)), *make_smallest("mmc", (0.03, 0.02, 0.02))]
    mmc = make_run()
    return [replace(mmc, results=[*mmc.results, *extra]), make_run("sce", (99, 98, 97, 96, 95))]


def test_json_holds_the_words_the_verdict_and_the_unrounded_numbers(runs):
    told = json.loads(as_json([replace(runs[0], audits=(audit(),)), runs[1]]))
    sections = [
        "trainings",
        "accuracy",
        "budgets",
        "protocols",
        "classes",
        "pairs",
        "unions",
        "steps",
        "costs",
        "repeat",
    ]
    assert (told["schema"], list(told["tables"])) == (2, sections)
    assert "best worst case" in told["take_away"]
    assert any("not robustness" in alarm for alarm in told["alarms"])
    verdicts = [[(each["eps"], each["split"], each["robustness"]) for each in r["verdicts"]] for r in told["runs"]]
    assert verdicts == [[(0.2, "test", "broken")], []]
    number = told["tables"]["accuracy"][0]["rows"][0][-1]["number"]
    assert (number["count"], number["total"]) == (70, 200)
    assert number["low"] < number["value"] == 0.35 < number["high"]
    (pair,) = told["tables"]["pairs"][0]["rows"]
    assert pair[3]["number"]["p_value"] < 0.05
    assert pair[3]["number"]["value"] == pytest.approx(0.03)


def test_csv_holds_every_cell_of_every_table_once(runs):
    sections = every_table(runs)
    lines = read_csv(sections)
    cells = sum(len(row) - table.keys for tables in sections.values() for table in tables for row in table.rows)
    assert len(lines) == cells
    (worst,) = [
        line for line in lines if line["column"] == "worst case" and line["section"] == "accuracy"
        and "suite adaptive" in line["table"]
    ]  # fmt: skip
    assert [worst[name] for name in ("run", "line", "text", "value", "count", "total")] == [
        *("mmc", "", "35.0", "0.35", "70", "200")
    ]
    assert {line["line"] for line in lines if line["section"] == "unions"} >= {"pgd-20 margin", "wrong when clean"}


def test_a_cell_without_a_number_is_empty_in_csv_and_null_in_json(runs):
    costs = [line for line in read_csv(every_table(runs)) if line["section"] == "costs"]
    assert {line["value"] for line in costs} == {""}
    told = json.loads(as_json(runs))["tables"]["costs"]
    assert {cell["number"] is None for table in told for row in table["rows"] for cell in row} == {True}


@pytest.mark.parametrize("name", [EVIL, "", "[x]", "Zoë∞"])
def test_any_name_survives_csv_and_json(name):
    sections = every_table([run_of(make_rows(name, (9, 8, 7, 6, 5)))])
    assert {line["run"] for line in read_csv(sections)} == {name}
    assert json.loads(as_json([run_of(make_rows(name, (9, 8, 7, 6, 5)))]))["runs"][0]["name"] == name


def test_latex_says_what_the_table_says(runs):
    text = as_latex(accuracy_tables(runs[1:])[0])
    assert text.startswith("\\begin{table}\n\\centering\n\\caption{200 images of digits (test), Linf eps 8/255")
    assert "\\begin{tabular}{lr}\n & sce \\\\\n\\hline\n" in text
    assert r"pgd-20 own\_distance & 48.0 {\scriptsize [41.2, 54.9]} \\" in text
    assert text.count(" \\\\\n") == 1 + 7


def test_latex_marks_a_suspect_number_and_keeps_its_columns_whatever_a_run_is_called(mmc):
    assert r"87.5$^\dagger$" in as_latex(accuracy_tables([mmc])[0])
    text = as_latex(accuracy_tables([run_of(make_rows(EVIL, (9, 8, 7, 6, 5)))])[0])
    assert (
        r"a\_b \& 50 \% \textbackslash{} \{c\} ''d'', \$e\$ [f] \textasciitilde{}\textasciicircum{}\#"
        in text.replace('"', "''")
    )
    assert {line.replace(r"\&", "").count("&") for line in text.splitlines() if line.endswith(r"\\")} == {1}


def test_a_latex_line_never_begins_with_a_bracket():
    runs = [run_of(make_rows(f"[{n}]", (9, 8, 7, 6, 5))) for n in range(9)]
    assert "\n{}[3] & " in as_latex(accuracy_tables(runs)[0])
