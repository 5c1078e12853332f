"""`mmc audit` as users run it: killed and continued, twice at once, on anybody's model."""

import contextlib
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
ASKED = [*MMC, "audit", "run", "--suite", "auto_fast", "--images", "150", "--batch-size", "10", "--quiet"]
ASKED += ["--threads", "1", "--trial-images", "20"]
KILLS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    done = python(*MMC, *["train", "--out", "run", "--epochs", "3", "--quiet"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    """An undisturbed audit: its chunks, its rows, its verdict."""
    assert started(folder, "whole").wait(timeout=300) == 0
    return chunks(folder, "whole"), *found(folder, "whole")


def started(folder, out):
    return subprocess.Popen(
        [sys.executable, *ASKED, "--out", out], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )


def chunks(folder, out):
    """Every chunk on disk: which attack, which images; twice where it was run twice, as the seconds differ.

    Of a line being written nothing; a line that is being taken over by another process counts once.
    """
    lines: dict[str, None] = {}
    for file in (folder / out / "audit").glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # taken over just now
            lines |= dict.fromkeys(file.read_text().split("\n")[:-1])
    return [(key, tuple(index)) for key, index, *_ in map(json.loads, lines)]


def found(folder, out):
    """Rows and verdict, without what the clock decides."""
    rows = [{**vars(row), "seconds": 0} for row in read_results(folder / out / "results.jsonl")]
    return rows, json.loads((folder / out / "audit" / "Linf-0.1-150.json").read_text())["verdict"]


def kill(running, folder, moments):
    """With SIGKILL, once it has gone on by a few chunks, at a random moment of the next."""
    enough = len(chunks(folder, "killed")) + moments.randint(1, 3)
    while running.poll() is None and len(chunks(folder, "killed")) < enough:
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 0.1))
    running.kill()
    assert running.wait() == -signal.SIGKILL  # it had not ended


@pytest.mark.long
def test_killed_at_random_moments_it_runs_no_chunk_again_and_ends_with_the_same_rows_also_twice_at_once(folder, whole):
    every, rows, verdict = whole
    moments = random.Random(0)
    for _ in range(KILLS):
        kill(started(folder, "killed"), folder, moments)
    done = chunks(folder, "killed")
    assert len(done) == len(set(done))
    assert KILLS <= len(done) < len(every)
    both = [started(folder, "killed"), started(folder, "killed")]
    assert [each.wait(timeout=300) for each in both] == [0, 0]
    assert set(chunks(folder, "killed")) == set(every)
    twice, again = found(folder, "killed")
    assert twice in (rows, rows + rows)  # by whether one saw what the other had appended
    assert again == verdict


def test_a_second_audit_runs_nothing_again(folder, whole):
    assert started(folder, "whole").wait(timeout=300) == 0
    assert chunks(folder, "whole") == whole[0] != []


def test_two_processes_that_share_the_images_come_to_the_same_verdict(folder):
    assert started(folder, "alone").wait(timeout=300) == 0
    asked = [*ASKED, "--out", "shared", "--devices", "2", "--device", "cpu"]
    done = python(*asked, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("images hold") == 1
    rows, verdict = found(folder, "alone")
    shared, again = found(folder, "shared")
    assert [row["fooled"] for row in shared] == [row["fooled"] for row in rows]
    assert again == verdict


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
    assert printed == json.loads((tmp_path / "audit-mine.net" / "audit" / "Linf-0.00784314-40.json").read_text())
    assert printed["verdict"]["images"] == 40
    assert printed["eps"] == pytest.approx(2 / 255)
