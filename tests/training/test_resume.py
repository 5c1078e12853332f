"""A training that was stopped at any moment goes on as if nothing had happened."""

import json
from pathlib import Path

import pytest
from commands import python

from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import create_run, facts_of, load_classifier
from max_mahalanobis.training import train

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
