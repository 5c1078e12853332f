"""Which weights a training ends with, and when it stops of itself."""

import dataclasses

import pytest
import torch

from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import create_run, facts_of, load_classifier, read_metrics
from max_mahalanobis.training import epochs, fill_defaults, train, trainer

RECIPE = fill_defaults(Recipe(epochs=4, batch_size=400, adversary="fgsm", eps=0.05))


@pytest.fixture
def judged(monkeypatch):
    """Validation that says what it is told, epoch by epoch; the weights it was asked about."""
    hashes = []

    def set_curve(curve):
        def validate(model, split, recipe, fabric):
            hashes.append(weights_hash(model))
            return {"validation_accuracy": 0.5, "robust_validation_accuracy": curve[len(hashes) - 1]}

        monkeypatch.setattr(epochs, "validate", validate)
        return hashes

    return set_curve


def trained(tmp_path, digits, keep=0, **settings):
    recipe = dataclasses.replace(RECIPE, **settings)
    run = create_run(tmp_path / "run", recipe, facts_of(recipe, digits))
    return run, train(recipe, digits, run=run, device="cpu", keep=keep)


@pytest.mark.parametrize(("which", "number"), [("last", 3), ("best", 1)])
def test_the_run_ends_with_the_weights_asked_for_and_keeps_both(which, number, tmp_path, digits, judged):
    hashes = judged([0.1, 0.6, 0.6, 0.55])
    run, model = trained(tmp_path, digits, checkpoint=which)
    assert weights_hash(model) == weights_hash(load_classifier(run)) == hashes[number]
    assert weights_hash(load_classifier(run, "best")) == hashes[1]
    assert weights_hash(load_classifier(run, "last")) == hashes[3]


def test_training_stops_when_validation_no_longer_improves(tmp_path, digits, judged):
    hashes = judged([0.5, 0.6, 0.6, 0.59])
    run, _ = trained(tmp_path, digits, patience=1)
    assert len(hashes) == 3
    assert read_metrics(run, events=True)[-1]["reason"] == "no better validation since epoch 2"
    train(run.recipe, digits, run=run, resume=True, device="cpu")
    assert len(hashes) == 3  # a stopped run stays stopped


def test_catastrophic_overfitting_ends_the_training_with_its_best_weights(tmp_path, digits, judged):
    hashes = judged([0.5, 0.6, 0.35])
    run, model = trained(tmp_path, digits)
    assert weights_hash(model) == hashes[1]
    assert "catastrophic overfitting: 25.0 points below epoch 2" in read_metrics(run, events=True)[-1]["reason"]
    resumed = train(run.recipe, digits, run=run, resume=True, device="cpu")
    assert weights_hash(resumed) == hashes[1]


def test_pgd_is_not_guarded(tmp_path, digits, judged):
    hashes = judged([0.5, 0.6, 0.1, 0.1])
    trained(tmp_path, digits, adversary="pgd", adversary_steps=1)
    assert len(hashes) == 4


@pytest.mark.parametrize(("keep", "epochs"), [(0, []), (1, [4]), (2, [2, 4]), (3, [2, 3, 4]), (9, [1, 2, 3, 4])])
def test_kept_epochs_are_spread_over_the_training(keep, epochs, tmp_path, digits, judged):
    hashes = judged([0.1, 0.2, 0.3, 0.4])
    run, _ = trained(tmp_path, digits, keep=keep)
    assert run.kept_epochs == epochs
    for epoch in epochs:
        assert weights_hash(load_classifier(run, epoch)) == hashes[epoch - 1]


def test_what_is_kept_is_the_average_where_one_is_asked_for(tmp_path, digits):
    recipe = dataclasses.replace(RECIPE, adversary="none", averaging="ema", average_decay=0.99)
    averaged, plain = (train(dataclasses.replace(recipe, averaging=kind), digits, device="cpu")
                       for kind in ("ema", "none"))  # fmt: skip
    assert weights_hash(averaged) != weights_hash(plain)


def test_a_batch_that_does_not_fit_is_worked_through_in_parts(digits, monkeypatch):
    recipe = dataclasses.replace(RECIPE, adversary="none", epochs=1)
    whole, forward, events = train(recipe, digits, device="cpu"), trainer.RobustLoss.forward, []

    def small(self, batch, x_adv):
        if len(batch.labels) > 150:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, batch, x_adv)

    monkeypatch.setattr(trainer.RobustLoss, "forward", small)
    parts = train(recipe, digits, device="cpu", progress=events.append)
    assert [event["event"] for event in events if "event" in event] == [
        "out of memory: batches are worked through in 2 parts from here on",
        "out of memory: batches are worked through in 4 parts from here on",
    ]
    torch.testing.assert_close(parts.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-5)


def test_memory_that_is_short_for_a_single_image_is_an_error(digits, monkeypatch):
    def never(self, batch, x_adv):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(trainer.RobustLoss, "forward", never)
    with pytest.raises(torch.OutOfMemoryError):
        train(dataclasses.replace(RECIPE, adversary="none", epochs=1, batch_size=8), digits, device="cpu")


def test_accumulated_parts_give_the_gradients_of_the_whole_batch(digits):
    recipe = dataclasses.replace(RECIPE, epochs=1, weight_perturbation=0.01, clip_norm=10.0)
    models = [train(dataclasses.replace(recipe, accumulate=parts), digits, device="cpu") for parts in (1, 3)]
    torch.testing.assert_close(models[0].state_dict(), models[1].state_dict(), rtol=1e-4, atol=1e-5)


def test_gradients_are_shortened_to_the_norm_asked_for(digits):
    settings = {"adversary": "none", "epochs": 1, "optimizer": "sgd", "batch_size": 5000, "schedule": "constant"}
    recipe = dataclasses.replace(RECIPE, learning_rate=1.0, clip_norm=1e-3, **settings)
    after = train(recipe, digits, device="cpu").state_dict()
    before = trainer.build(recipe, digits.image_shape, 10).state_dict()
    moved = sum((after[name] - before[name]).square().sum() for name in after if name != "normalize.mean") ** 0.5
    assert moved.item() == pytest.approx(1e-3, rel=1e-2)
