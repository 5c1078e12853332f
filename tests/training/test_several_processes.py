"""Processes that share every batch reach the weights of one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import python
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


@pytest.mark.slow
def test_torchrun_starts_the_processes_as_well(folder):
    words = f"{TRAIN} --model mlp --out launched".split()
    run = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", MMC)
    done = python(*run, *words, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained launched") == 1
