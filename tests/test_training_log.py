"""`mmc train --log` writes every epoch once, whatever came before; the terminal's line stays short."""

import csv
import importlib.util
import json

import pytest
from commands import drive

from max_mahalanobis.commands.logs import epoch_log
from max_mahalanobis.runs import Run, write_metrics
from max_mahalanobis.terminal import training_progress

EPOCH = {"loss": 0.5, "validation_accuracy": 0.9, "images_per_second": 1234.5, "seconds": 2.0}
HAS_TENSORBOARD = any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX"))
COMMANDS = (
    "train --out first --epochs 2 --quiet --log csv",
    "train --out run --epochs 2 --quiet --log csv",
    "train --out run --epochs 1 --quiet --log csv --overwrite",
    "train --out run --epochs 1 --quiet --overwrite",
    "train --out board --epochs 2 --quiet --log tensorboard",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    return folder, dict(zip(COMMANDS, drive(folder, [words.split() for words in COMMANDS]), strict=True))


def done_epoch(number, **values):
    return EPOCH | {"epoch": number, "epochs": 9, "epoch_done": True} | values


def rows(run):
    with open(run.path / "logs" / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_epoch_is_a_row_whose_step_counts_from_one(done):
    assert done[1][COMMANDS[0]]["code"] == 0
    metrics = map(json.loads, (done[0] / "first" / "metrics.jsonl").read_text().splitlines())
    logged = rows(Run(done[0] / "first"))
    assert [row["step"] for row in logged] == ["1", "2"]
    assert [float(row["validation_accuracy"]) for row in logged] == [line["validation_accuracy"] for line in metrics]


def test_a_log_leaves_with_its_run(done):
    replaced, without = (done[1][words] for words in COMMANDS[2:4])
    assert (replaced["code"], replaced["err"]) == (0, "")  # no warning about what was there
    assert "run/logs/metrics.csv" in replaced["changed"]
    assert "run/logs/metrics.csv" in without["changed"]
    assert not (done[0] / "run" / "logs" / "metrics.csv").exists()


def test_numbers_are_logged_and_steps_within_an_epoch_and_absent_values_are_not(tmp_path):
    log = epoch_log("csv", run := Run(tmp_path))
    log({"epoch_done": False, "epoch": 0, "loss": 9.0})
    assert list(tmp_path.iterdir()) == []
    log(done_epoch(0, adversary_success=None))
    log(done_epoch(1, adversary_success=0.25, loss=0.25))
    assert [(row["step"], row["loss"], row["adversary_success"]) for row in rows(run)] == [
        *(("1", "0.5", ""), ("2", "0.25", "0.25"))
    ]
    assert not {"epoch", "epochs", "epoch_done"} & rows(run)[0].keys()


def test_a_resumed_training_has_the_epochs_before_once_and_no_events(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "metrics.csv").write_text("step\n1\n2\n3\n")  # a third epoch that was not saved
    write_metrics(run, [EPOCH | {"epoch": 0}, {"event": "start", "epoch": 1}, EPOCH | {"epoch": 1}])
    log = epoch_log("csv", run)
    log(done_epoch(2))
    log(done_epoch(3))
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4"]


def test_without_a_log_nothing_is_written(tmp_path):
    epoch_log("none", Run(tmp_path))(done_epoch(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(HAS_TENSORBOARD, reason="tensorboard is installed")
def test_an_absent_tensorboard_is_named_before_anything_is_written(done):
    result = done[1][COMMANDS[4]]
    remedy = "pip install 'max-mahalanobis[tensorboard]'"
    assert (result["code"], result["err"]) == (2, f"mmc: --log tensorboard needs tensorboard: {remedy}\n")
    assert result["changed"] == []


@pytest.mark.skipif(not HAS_TENSORBOARD, reason="needs tensorboard")
def test_tensorboard_finds_every_epoch(done):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(done[0] / "board" / "logs"))
    found.Reload()
    lines = (done[0] / "board" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert [event.step for event in found.Scalars("loss")] == [1, 2]
    assert [event.value for event in found.Scalars("loss")] == pytest.approx(losses)


def test_progress_tells_robust_accuracy_and_the_adversary_where_there_is_one(capsys):
    for values, said in (
        ({}, "validation 90.0 %, 1,234 images/s"),
        ({"robust_validation_accuracy": 0.4567}, "validation 90.0 % (45.7 robust), 1,234 images/s"),
        (
            {"robust_validation_accuracy": 0.4567, "adversary_success": 0.3},
            "validation 90.0 % (45.7 robust), fooled 30 %, 1,234 images/s",
        ),
        ({"robust_validation_accuracy": None, "adversary_success": None}, "validation 90.0 %, 1,234 images/s"),
    ):
        with training_progress("run", 1, quiet=False) as show:
            show(done_epoch(0, epochs=1, **values))
        line = capsys.readouterr().err
        assert line == f"mmc: run: epoch 1/1, loss 0.5, {said}, 0 s left\n"
        assert len(line) < 120
