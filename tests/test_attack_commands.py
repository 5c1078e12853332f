"""What `mmc evaluate` and `mmc audit` attack with, what they leave behind, and that nothing is left behind twice."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import drive
from jsonschema import Draft202012Validator
from test_audit_command import MODEL

from max_mahalanobis import Recipe, train
from max_mahalanobis.commands.attacking import evaluate
from max_mahalanobis.commands.auditing import name_of_verdict
from max_mahalanobis.parser import parse
from max_mahalanobis.reports.commands import commands
from max_mahalanobis.reports.reading import read_run
from max_mahalanobis.results import SCHEMA, read_results
from max_mahalanobis.runs import create_run, facts_of, save_tensors

FEW = "--images 20 --quiet"
AUDIT = f"audit run --suite quick --trial-images 5 {FEW}"
EVALUATIONS = {
    "own budget": f"evaluate run --attack apgd --objective own_distance --steps 100 {FEW}",
    "corruption": f"evaluate run --attack corrupt --kind gaussian_blur --severity 5 {FEW}",
    "spsa": f"evaluate run --attack spsa --steps 2 --samples 4 --delta 0.02 --precision bf16 {FEW}",
    "again": f"evaluate run --attack spsa --steps 2 --samples 4 --delta 0.02 --precision bf16 {FEW}",
    "transfer": f"evaluate run --suite quick --source other {FEW}",
    "targeted transfer": f"evaluate run --attack apgd --steps 5 --every-target --source other {FEW}",
}
AUDITS = {
    "small": f"{AUDIT} --eps 0.05 --format json",
    "large": f"{AUDIT} --eps 0.3 --source other",
    "small again": f"{AUDIT} --eps 0.05 --format json",
    "best": f"{AUDIT} --eps 0.05 --weights best --precision bf16-mixed",
    "validation": f"{AUDIT} --eps 0.05 --split validation",
    "net": f"audit --model mine:net --data images.npz --eps 2/255 --suite quick --trial-images 5 {FEW}",
    "neighbor": f"audit --model mine:neighbor --data images.npz --eps 2/255 --suite quick --trial-images 5 {FEW}",
    "function": f"audit --model mine:function --data images.npz --eps 2/255 --suite quick --trial-images 5 {FEW}",
    "report": "report run --format json --quiet",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("attacks")
    for name, head in (("other", "softmax"), ("run", "mmc")):
        run = create_run(folder / name, recipe := Recipe(epochs=3, head=head), facts_of(recipe, digits))
        train(recipe, digits, run=run, device="cpu")
    best = train(Recipe(epochs=2), digits, device="cpu")
    save_tensors(run.checkpoint_file("best"), best.state_dict(), {"recipe": run.recipe.fingerprint})
    (folder / "mine.py").write_text(
        f"{MODEL}\n\nneighbor = net\n\ndef function():\n    model = net()\n    answer = lambda x: model(x)\n"
        "    answer.state_dict = model.state_dict  # it is no module for that\n    return answer\n"
    )
    images = np.random.default_rng(0).random((40, 4, 4), dtype=np.float32)
    np.savez(folder / "images.npz", x=images, y=np.arange(40) % 3)
    return folder


@pytest.fixture(scope="module")
def evaluated(folder):
    done = drive(folder, [words.split() for words in EVALUATIONS.values()])
    assert [result["code"] for result in done] == [0] * len(done), done
    return dict(zip(EVALUATIONS, done, strict=True)), read_results(folder / "run" / "results.jsonl")


@pytest.fixture(scope="module")
def audited(folder, evaluated):
    done = drive(folder, [words.split() for words in AUDITS.values()])
    assert [result["code"] for result in done] == [0] * len(done), done
    return dict(zip(AUDITS, done, strict=True))


def test_one_attack_without_a_budget_takes_the_usual_one_and_says_so(evaluated):
    assert evaluated[0]["own budget"]["out"].startswith("threat: Linf eps 0.1, the usual one here\n")
    assert (evaluated[1][0].attack, evaluated[1][0].eps) == ("apgd-100 own_distance", 0.1)


def test_the_usual_budget_is_told_as_people_write_it(folder, evaluated, monkeypatch, capsys):
    monkeypatch.setattr("max_mahalanobis.data.default_eps", lambda data, threat: 8 / 255)
    evaluate(parse(["evaluate", str(folder / "other"), "--attack", "fgsm", "--images", "5", "--quiet"]))
    assert capsys.readouterr().out.startswith("threat: Linf eps 8/255, the usual one here\n")


def test_a_corruption_knows_no_budget_and_has_its_kind_and_severity(evaluated):
    assert "usual one" not in evaluated[0]["corruption"]["out"]
    row = evaluated[1][1]
    assert (row.attack, row.eps) == ("corrupt, kind gaussian_blur, severity 5", 1.0)
    assert (row.settings["kind"], row.settings["severity"]) == ("gaussian_blur", 5)


def test_settings_of_one_attack_reach_it_and_a_repetition_leaves_no_row(evaluated):
    (row,) = (row for row in evaluated[1] if row.attack.startswith("spsa"))
    assert row.attack == "spsa-2, samples 4, delta 0.02"
    assert [row.settings[name] for name in ("steps", "samples", "delta")] == [2, 4, 0.02]
    assert "run/results.jsonl" not in evaluated[0]["again"]["changed"]


def test_transfers_say_where_they_come_from_go_on_when_fooled_and_never_ask_the_run(evaluated):
    rows = [row for row in evaluated[1] if row.attack.endswith(" from other")]
    assert [row.attack for row in rows][:2] == ["fgsm from other", "pgd-20 cross_entropy from other"]
    assert rows[-1].attack == "apgd-5, 9 targets from other"
    assert all(row.settings["composed"][-1] == "transferred_from" for row in rows)
    assert not any(row.settings.get("stop_when_fooled", False) for row in rows)
    assert {(row.forwards, row.backwards) for row in rows} == {(0, 0)}
    assert any(sum(row.fooled) > row.num_images - row.num_correct for row in rows)


def test_what_repeats_them_asks_for_the_same(folder, evaluated):
    told = "\n".join(commands(read_run(folder / "run")))
    for words in (
        "--attack corrupt --kind gaussian_blur --severity 5",
        "--samples 4 --delta 0.02",
        "--suite quick --source other",
        "--steps 5 --every-target --source other",
    ):
        assert words in told
    assert "from Python" not in told


def test_every_condition_has_a_verdict_of_its_own_and_a_repetition_replaces_it(folder, audited):
    names = {path.name for path in (folder / "run" / "audit").glob("*.json")}
    assert names == {
        *("Linf-0.05-20.json", "Linf-0.3-20.json", "Linf-0.05-20@best.json", "Linf-0.05-20-validation.json")
    }
    assert not (folder / "run" / "audit.json").exists()
    assert json.loads(audited["small"]["out"]) == json.loads(audited["small again"]["out"])
    assert json.loads(audited["small"]["out"])["eps"] == 0.05


@pytest.mark.parametrize(
    ("run", "folder", "ends"),
    [("a@b", "a@b", "20"), ("a@best", "a@best", "20"), ("a@b@best", "a@b", "20@best"), ("a@b", "elsewhere", "20")],
)
def test_a_verdict_is_named_by_the_weights_it_is_about_not_by_the_run_s_name(run, folder, ends):
    verdict = SimpleNamespace(threat="Linf", eps=0.3, number=SimpleNamespace(total=20))
    found = SimpleNamespace(verdict=verdict, evidence=SimpleNamespace(rows=[SimpleNamespace(run=run, split="test")]))
    assert name_of_verdict(found, Path(folder)) == f"Linf-0.3-{ends}.json"


def test_a_second_audit_appends_no_row_and_audits_leave_one_journal(folder, audited):
    assert "run/results.jsonl" not in audited["small again"]["changed"]
    assert "run/results.jsonl" in audited["small"]["changed"]
    assert len(list((folder / "run" / "audit").glob("*.jsonl"))) == 1


def test_an_earlier_process_s_journal_is_taken_over(folder, audited):
    (journal,) = (folder / "run" / "audit").glob("*.jsonl")
    lines = journal.read_text()
    journal.rename(journal.with_name("1.jsonl"))
    (result,) = drive(folder, [AUDITS["small again"].split()])
    assert result["code"] == 0
    assert "run/results.jsonl" not in result["changed"]
    assert [path.read_text() for path in journal.parent.glob("*.jsonl")] == [lines]


def test_two_models_do_not_mix(folder, audited):
    for name in ("net", "neighbor", "function"):
        (verdict,) = (folder / f"audit-mine.{name}" / "audit").glob("*.json")
        assert verdict.name == "Linf-0.00784314-20.json"
        assert json.loads(verdict.read_text())["run"] == f"mine:{name}"


def test_a_source_gives_the_audit_its_transfer_trial(folder, audited):
    found = json.loads((folder / "run" / "audit" / "Linf-0.3-20.json").read_text())
    assert found["facts"]["source"] == "other"
    assert found["trials"]["transfer"]["settings"]["composed"] == ["transferred_from"]
    assert "transfer" not in json.loads((folder / "run" / "audit" / "Linf-0.05-20.json").read_text())["trials"]


def test_the_report_has_the_verdicts_of_all_audits(audited):
    runs = {run["name"]: run["verdicts"] for run in json.loads(audited["report"]["out"])["runs"]}
    assert [verdict["eps"] for verdict in runs["run"]] == [0.05, 0.05, 0.3]
    assert [verdict["eps"] for verdict in runs["run@best"]] == [0.05]


def test_the_verdict_of_other_weights_is_another_models(folder, audited):
    own, best = (json.loads((folder / "run" / "audit" / f"Linf-0.05-20{at}.json").read_text()) for at in ("", "@best"))
    assert (own["run"], best["run"]) == ("run", "run@best")
    assert own["weights_hash"] != best["weights_hash"]


def schema(name):
    return json.loads((Path(__file__).parents[1] / "docs" / f"{name}.schema.json").read_text(encoding="utf-8"))


def violations(value, name):
    return list(Draft202012Validator(schema(name)).iter_errors(value))


@pytest.mark.parametrize("name", ["audit", "result"])
def test_the_published_schemas_are_schemas(name):
    Draft202012Validator.check_schema(schema(name))


def test_every_verdict_keeps_the_published_schema(folder, audited):
    files = list(folder.glob("*/audit/*.json"))
    assert len(files) == 7
    for file in files:
        assert violations(json.loads(file.read_text()), "audit") == []
    described = schema("audit")["$defs"]["verdict"]["properties"].keys()
    assert json.loads(audited["small"]["out"])["verdict"].keys() == described


def test_every_row_keeps_the_published_schema(folder, audited):
    lines = [line for file in folder.glob("*/results.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) > 20
    for line in lines:
        assert violations(json.loads(line), "result") == []
    assert schema("result")["properties"]["schema"]["const"] == SCHEMA


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("number", 1.5), ("interval", [0.1]), ("robustness", "strong"), ("findings", [{"check": "x"}])),
        *(("images", True), ("illusion", {})),
    ],
)
def test_the_schema_refuses_what_is_no_verdict(audited, place, value):
    told = json.loads(audited["small"]["out"])
    assert violations(told | {"verdict": told["verdict"] | {place: value}}, "audit")
    assert violations({name: told[name] for name in told if name != "verdict"}, "audit")
