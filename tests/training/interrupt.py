"""Trains, stops trainings by signals and a full disk, resumes them, and prints as JSON what happened.

Every command runs in a fork of this process, so that what takes seconds to import is imported once.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import lightning_fabric  # noqa: F401 (before the forks)
import numpy as np
import torch
import torch._dynamo

import max_mahalanobis.commands
import max_mahalanobis.training  # noqa: F401 (before the forks)
from max_mahalanobis.cli import main

EPOCHS = 10
RECIPE = (
    "--data few.npz --batch-size 10 --adversary pgd --adversary-steps 2 --augmentation shift_flip --quiet "
    "--weight-perturbation 0.005 --averaging ema"
)
TRAIN = ["train", *RECIPE.split(), "--epochs", str(EPOCHS), "--threads", "1", "--out"]
RESUME = ["train", "--resume", "--threads", "1", "--out"]


def start(*arguments, file_size=None):
    """The process id of a fork that runs one command line."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(2, 1)  # stdout is for the story
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    code = 1
    try:
        main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    finally:
        os._exit(code)


def finish(child):
    """Its exit code, negative when a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def epochs(folder):
    """How many epochs are recorded."""
    path = Path(folder) / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def stop(folder, number):
    """Train into `folder`, send a signal inside the third epoch or later, then tear a line of its metrics."""
    child = start(*TRAIN, folder)
    deadline = time.monotonic() + 60
    while epochs(folder) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(0.01)
    os.kill(child, number)
    told = {"exit": finish(child), "epochs_when_stopped": epochs(folder)}
    told["weights_when_stopped"] = (Path(folder) / "weights.safetensors").exists()
    with open(Path(folder) / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 99, "lo')
    return told


def hunted(times):
    """Kill one run again and again, before it could have ended; how often it was still there to be killed."""
    began = time.monotonic()
    assert finish(start(*TRAIN, "peaceful")) == 0
    lasts, draw, kills = time.monotonic() - began, random.Random(0), 0
    child = start(*TRAIN, "hunted")
    for _ in range(times):
        time.sleep(draw.random() * 0.8 * lasts / times)
        os.kill(child, signal.SIGKILL)
        kills += finish(child) == -signal.SIGKILL
        resumes = (Path("hunted") / "recipe.toml").exists()
        child = start(*(RESUME if resumes else TRAIN), "hunted")
    assert finish(child) == 0
    return kills


def full_disk():
    """Let the state of an early epoch stand when nothing more can be written."""
    shutil.copytree("killed", "full")
    state = Path("full/state/last.safetensors")
    before = state.read_bytes()
    code = finish(start(*RESUME, "full", file_size=len(before) // 2))
    return {"exit": code, "state_kept": state.read_bytes() == before}


if __name__ == "__main__":
    torch.set_num_threads(1)
    x, y = np.random.default_rng(0).random((300, 8, 8), np.float32), np.arange(300) % 3
    np.savez("few.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
    if sys.argv[1] == "kill ten times":
        print(json.dumps({"kills": hunted(10)}))
        sys.exit()
    story = {"epochs": EPOCHS}
    peaceful = start(*TRAIN, "peaceful")
    for name, (sent, _) in json.loads(sys.argv[1]).items():
        story[name] = stop(name, getattr(signal, sent))
    finish(peaceful)
    story["full"] = full_disk()
    resumed = {name: start(*RESUME, name) for name in story if name != "epochs"}
    for name, child in resumed.items():
        story[name]["resumed"] = finish(child)
    print(json.dumps(story))
