"""`mmc audit` as users run it: killed and continued, twice at once, on anybody's model."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import ENVIRONMENT, python

from max_mahalanobis.results import read_results

pytestmark = pytest.mark.slow

MMC = [str(Path(sys.executable).parent / "mmc")]
ASKED = [*MMC, "audit", "run", "--suite", "auto_fast", "--images", "150", "--batch-size", "40", "--quiet"]
ASKED += ["--threads", "1", "--trial-images", "20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    done = python(*MMC, *["train", "--out", "run", "--epochs", "3", "--quiet"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def started(folder, out):
    return subprocess.Popen(
        [sys.executable, *ASKED, "--out", out], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )


def found(folder, out):
    """Rows and verdict, without what the clock decides."""
    rows = [{**vars(row), "seconds": 0} for row in read_results(folder / out / "results.jsonl")]
    return rows, json.loads((folder / out / "audit.json").read_text())["verdict"]


def test_killed_at_random_moments_it_ends_with_the_same_rows_and_two_at_once_do_no_harm(folder):
    began = time.monotonic()
    assert started(folder, "whole").wait(timeout=300) == 0
    needed, moments = time.monotonic() - began, random.Random(0)
    for _ in range(4):
        running = started(folder, "killed")
        time.sleep(moments.uniform(0.3, 0.9) * needed)
        running.send_signal(signal.SIGKILL)
        running.wait()
        (folder / "killed" / "results.jsonl").unlink(missing_ok=True)  # it may have been done before the signal came
    both = [started(folder, "killed"), started(folder, "killed")]
    assert [each.wait(timeout=300) for each in both] == [0, 0]
    rows, verdict = found(folder, "whole")
    twice, again = found(folder, "killed")
    assert (twice[: len(rows)], twice[len(rows) :]) == (rows, rows)
    assert again == verdict


def test_a_second_audit_runs_nothing_again(folder):
    assert started(folder, "twice").wait(timeout=300) == 0
    lines = sum(len(file.read_text().splitlines()) for file in (folder / "twice" / "audit").glob("*.jsonl"))
    assert started(folder, "twice").wait(timeout=300) == 0
    after = sum(len(file.read_text().splitlines()) for file in (folder / "twice" / "audit").glob("*.jsonl"))
    assert after == lines > 0


MODEL = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
"""


def test_anybodys_model_is_audited_with_images_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(MODEL)
    images = np.random.default_rng(0).random((40, 4, 4), dtype=np.float32)
    np.savez(tmp_path / "images.npz", x=images, y=np.arange(40) % 3)
    asked = ["audit", "--model", "mine:net", "--data", "images.npz", "--eps", "2/255", "--suite", "quick"]
    done = python(*MMC, *asked, "--format", "json", "--threads", "1", "--quiet", cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert printed["verdict"]["images"] == 40
    assert printed["eps"] == pytest.approx(2 / 255)
