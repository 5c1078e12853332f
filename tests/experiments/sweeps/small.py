"""A grid of eight small cells, and jobs that need no process of their own."""

import contextlib

import numpy as np

from max_mahalanobis.commands.sweeping import sweep
from max_mahalanobis.errors import UserError
from max_mahalanobis.parser import parse

GRID = """
seeds = [0, 1]

[recipe]
data = "few.npz"
epochs = 1
batch_size = 30

[axes.head]
SCE = { head = "softmax" }
"MMC, norm 1" = { head = "mmc", norm = 1.0 }

[axes.training]
none = {}
AT = { adversary = "pgd", adversary_steps = 2, eps = "1/10" }

[evaluate]
suites = ["quick"]
eps = ["8/255"]
images = 20
"""
NAMES = [
    f"{head}-{training}-{seed}" for seed in (0, 1) for head in ("SCE", "MMC-norm-1") for training in ("none", "AT")
]


def fill(folder):
    """The grid and its images."""
    x, y = np.random.default_rng(0).random((60, 8, 8), np.float32), np.arange(60) % 3
    np.savez(folder / "few.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
    (folder / "small.toml").write_text(GRID)


class InThisProcess:
    """A job that is done when it was begun; `begun` has the names of all."""

    begun: list[str]

    def __init__(self, command, log):
        words = list(command[command.index("sweep") :])
        type(self).begun.append(words[words.index("--cell") + 1])
        self._code = 0
        with open(log, "a") as file, contextlib.redirect_stdout(file):
            try:
                sweep(parse([*words, "--quiet"]))
            except UserError as error:
                self._code = 2
                print(f"mmc: {error}")

    def code(self):
        return self._code

    def stop(self):
        raise AssertionError("a job that has ended is not stopped")

    wait = stop
