"""Processes that share every batch reach the weights of one."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ENVIRONMENT, python
from safetensors.torch import load_file

MMC = str(Path(sys.executable).parent / "mmc")
TRAIN = "train --data few.npz --epochs 4 --batch-size 33 --augmentation shift --threads 1 --quiet --keep 2"
RECIPES = {
    "standard": "--model small_cnn",
    "adversarial": "--adversary pgd --adversary-steps 3 --weight-perturbation 0.01 --averaging ema --clip-norm 5",
    "trades": "--head softmax --optimizer sgd --adversary pgd --adversary-steps 2 --robust-loss trades --accumulate 2",
    "free": "--adversary free --adversary-steps 2",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """150 images: 135 to train on make 20 steps in 4 epochs, each last batch of 3."""
    folder = tmp_path_factory.mktemp("processes")
    x, y = torch.rand(150, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(150) % 3

    np.savez(folder / "few.npz", x_train=x.numpy(), y_train=y.numpy(), x_test=x[:30].numpy(), y_test=y[:30].numpy())
    return folder


@pytest.mark.parametrize("name", ["adversarial", *(pytest.param(n, marks=pytest.mark.slow)
                                                   for n in ("standard", "trades", "free"))])  # fmt: skip
def test_two_processes_reach_the_weights_of_one(name, folder):
    for devices in ("1", "2"):
        out = f"{name}-{devices}"
        done = python(MMC, *f"{TRAIN} {RECIPES[name]} --devices {devices} --out {out}".split(), cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"trained {out}") == 1
    one, two = (folder / f"{name}-{devices}" for devices in ("1", "2"))
    for file in ("weights", "checkpoints/best", "checkpoints/epoch-0002"):
        found, wanted = (load_file(run / f"{file}.safetensors") for run in (two, one))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    lines = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)]
    for mine, theirs in zip(*lines, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["validation_accuracy"] == theirs["validation_accuracy"]


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [("--nodes 2", {}, "--nodes 2 needs torchrun or Slurm, which start the processes of every machine"),
     ("--devices 3", {"LOCAL_WORLD_SIZE": "2"}, "--devices 3, but 2 processes were started: leave --devices out")],
)  # fmt: skip
def test_processes_that_cannot_be_are_refused_before_anything_is_written(words, environment, said, folder, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    done = python(MMC, *f"{TRAIN} --out refused {words}".split(), cwd=folder)
    assert (done.returncode, done.stderr) == (2, f"mmc: {said}\n")
    assert not (folder / "refused").exists()


@pytest.mark.slow
@pytest.mark.long
def test_a_signal_stops_both_processes_and_both_go_on_to_the_same_weights(folder):
    words = f"{TRAIN} --epochs 80 --adversary pgd --adversary-steps 2 --devices 2 --averaging ema".split()
    going = subprocess.Popen([sys.executable, MMC, *words, "--out", "halted"], cwd=folder, env=ENVIRONMENT)
    while not (folder / "halted" / "state" / "last.safetensors").exists():
        time.sleep(0.05)
    going.terminate()
    assert going.wait(timeout=60) == 143
    resume = ["train", "--out", "halted", "--resume", "--devices", "2", "--threads", "1", "--quiet", "--keep", "2"]
    again = python(MMC, *resume, cwd=folder, timeout=200)
    assert again.returncode == 0, again.stderr
    whole = python(MMC, *words, "--out", "whole", cwd=folder, timeout=200)
    assert whole.returncode == 0, whole.stderr
    found, wanted = (load_file(folder / name / "weights.safetensors") for name in ("halted", "whole"))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.long
def test_torchrun_starts_the_processes_as_well(folder):
    words = f"{TRAIN} --model mlp --out launched".split()
    run = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", MMC)
    done = python(*run, *words, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained launched") == 1
