import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from commands import python
from linear import linear_problem

from max_mahalanobis.attacks import fgsm, pgd
from max_mahalanobis.evaluation import Suite, evaluate
from max_mahalanobis.evaluation.sharing import merge, share_of
from max_mahalanobis.results import read_results
from max_mahalanobis.threats import Linf
from max_mahalanobis.types import Split

THREAT = Linf(0.02)
SUITE = Suite({"fgsm": partial(fgsm, threat=THREAT), "pgd": partial(pgd, threat=THREAT, steps=5)}, cascade=True)


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_merged_shares_are_the_rows_of_one_process(world_size):
    model, x, y = linear_problem(10, count=23)
    split = Split(x, y, torch.arange(100, 123))
    whole = evaluate(model, split, threat=THREAT, suite=SUITE)
    shares = [share_of(split, rank, world_size) for rank in range(world_size)]
    assert sum(len(share.labels) for share in shares) == 23
    merged = merge([evaluate(model, share, threat=THREAT, suite=SUITE) for share in shares], split)
    assert merged[0].labels == y.tolist()
    for one, several in zip(whole, merged, strict=True):
        assert {**vars(one), "seconds": 0, "size": 0} == {**vars(several), "seconds": 0, "size": 0}
        torch.testing.assert_close(torch.tensor(one.size), torch.tensor(several.size), rtol=0, atol=1e-6)


ASKED = ["evaluate", "run", "--images", "31", "--eps", "0.1", "--suite", "adaptive", "--quiet", "--threads", "1"]
MMC = [str(Path(sys.executable).parent / "mmc")]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", *MMC]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    done = python(*MMC, *["train", "--out", "run", "--epochs", "1", "--quiet"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def evaluated(folder, *command):
    """What one command line prints, and the rows it adds."""
    results = folder / "run" / "results.jsonl"
    results.unlink(missing_ok=True)
    done = python(*command, cwd=folder, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout, read_results(results)


@pytest.mark.slow
@pytest.mark.parametrize("command", [[*MMC, *ASKED, "--devices", "2"], [*TORCHRUN, *ASKED]])
def test_two_processes_print_and_record_what_one_does(folder, command):
    said, one = evaluated(folder, *MMC, *ASKED)
    also_said, two = evaluated(folder, *command)
    assert also_said == said
    for row, other in zip(one, two, strict=True):
        assert {**vars(row), "seconds": 0, "size": 0} == {**vars(other), "seconds": 0, "size": 0}
        torch.testing.assert_close(torch.tensor(row.size), torch.tensor(other.size), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_devices_must_be_those_that_were_started(folder):
    done = python(*TORCHRUN, *ASKED, "--devices", "3", cwd=folder, timeout=120)
    assert done.returncode != 0
    assert "mmc: --devices 3, but 2 processes were started: leave --devices out" in done.stderr
