"""A training that was stopped at any moment goes on as if nothing had happened."""

import json
import os
import signal
from pathlib import Path

import pytest
from commands import python

from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import create_run, facts_of, load_classifier, read_metrics, save_tensors
from max_mahalanobis.training import fill_defaults, train
from max_mahalanobis.training.loop import Loop

STOPS = {"killed": ("SIGKILL", -9), "terminated": ("SIGTERM", 143), "interrupted": ("SIGINT", 130)}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """One run in peace and three that were stopped, then resumed; what interrupt.py says about them."""
    folder = tmp_path_factory.mktemp("resume")
    done = python(Path(__file__).with_name("interrupt.py"), json.dumps(STOPS), cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", STOPS)
def test_a_stopped_run_resumes_to_the_weights_of_an_uninterrupted_one_bit_for_bit(story, name):
    folder, told = story
    assert 0 < told[name]["epochs_when_stopped"] < told["epochs"]
    assert told[name]["weights_when_stopped"] is False
    assert told[name]["resumed"] == 0
    whole = (folder / "peaceful" / "weights.safetensors").read_bytes()
    assert (folder / name / "weights.safetensors").read_bytes() == whole


@pytest.mark.parametrize("name", STOPS)
def test_every_way_to_stop_has_its_exit_code_and_leaves_no_scrap(story, name):
    folder, told = story
    assert told[name]["exit"] == STOPS[name][1]
    if name != "killed":
        assert sorted(path.name for path in (folder / name).rglob(".*")) == []


@pytest.mark.parametrize("name", STOPS)
def test_resumed_metrics_have_every_epoch_once(story, name):
    folder, told = story
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(told["epochs"]))


def test_a_full_disk_stops_training_and_keeps_the_last_epoch_to_resume_from(story):
    folder, told = story
    assert told["full"]["exit"] == 2
    assert told["full"]["state_kept"]
    assert told["full"]["resumed"] == 0
    whole = (folder / "peaceful" / "weights.safetensors").read_bytes()
    assert (folder / "full" / "weights.safetensors").read_bytes() == whole


@pytest.mark.slow
def test_batchnorm_momentum_decay_and_augmentation_resume_bit_for_bit_too(tmp_path, digits):
    adversary = {"adversary": "pgd", "adversary_steps": 2, "adversary_batchnorm": "train"}
    network = {
        "model": "resnet_v1",
        "blocks": 1,
        "optimizer": "sgd",
        "weight_decay": 2e-4,
        "augmentation": "shift_flip",
    }
    recipe = Recipe(epochs=3, batch_size=256, schedule="step", **network, **adversary)
    whole = train(recipe, digits, device="cpu")

    def stop(event):
        if event["epoch"] == 2:
            raise KeyboardInterrupt

    run = create_run(tmp_path / "run", recipe, facts_of(recipe, digits))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, digits, run=run, device="cpu", progress=stop)
    train(recipe, digits, run=run, resume=True, device="cpu")
    assert weights_hash(load_classifier(run)) == weights_hash(whole)


@pytest.mark.slow
@pytest.mark.long
def test_ten_kills_at_random_moments_leave_the_weights_of_a_peaceful_run(tmp_path):
    """AT with AWP and EMA, and its best weights kept: killed again and again, every time another moment."""
    done = python(Path(__file__).with_name("interrupt.py"), "kill ten times", cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == 10
    for name in ("weights.safetensors", "checkpoints/best.safetensors", "checkpoints/last.safetensors"):
        assert (tmp_path / "hunted" / name).read_bytes() == (tmp_path / "peaceful" / name).read_bytes()


@pytest.mark.parametrize("moment", [1, 20, 33])
def test_a_run_stopped_within_an_epoch_goes_on_from_that_step(moment, tmp_path, digits):
    recipe = fill_defaults(
        Recipe(epochs=2, adversary="pgd", adversary_steps=1, averaging="swa", average_from=0.0, batch_size=64)
    )
    whole = train(recipe, digits, device="cpu")
    run, steps = create_run(tmp_path / "run", recipe, facts_of(recipe, digits)), []
    counted = Loop._move

    def stop_at(self):
        counted(self)
        steps.append(1)
        if len(steps) == moment:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_move", stop_at)
        with pytest.raises(SystemExit, match="143"):
            train(recipe, digits, run=run, device="cpu")
        assert len(steps) == moment  # not one step more
    train(recipe, digits, run=run, resume=True, device="cpu")
    assert weights_hash(load_classifier(run)) == weights_hash(whole)
    lines = read_metrics(run)
    assert [line["epoch"] for line in lines] == [0, 1]


def test_a_state_of_another_layout_is_refused(tmp_path, digits):
    recipe = fill_defaults(Recipe(epochs=1))
    run = create_run(tmp_path / "run", recipe, facts_of(recipe, digits))
    save_tensors(run.state_file, {}, {"recipe": recipe.fingerprint, "epochs_done": "0"})
    with pytest.raises(UserError, match="was saved by another version of mmc"):
        train(recipe, digits, run=run, resume=True, device="cpu")
