"""Which weights a training ends with, and when it stops of itself."""

import dataclasses

import pytest
import torch

from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.models import build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import create_run, facts_of, load_classifier, read_metrics
from max_mahalanobis.training import epochs, fill_defaults, train, trainer
from max_mahalanobis.training.loop import Loop

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
    recipe, seen = dataclasses.replace(recipe, average_decay=0.5), []
    move = Loop._move

    def watched(self):
        move(self)
        seen.append(self.model.backbone.layers[-1].bias[0].item())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_move", watched)
        averaged = train(recipe, digits, device="cpu")
    expected = seen[0]
    for step, value in enumerate(seen[1:], 1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert averaged.backbone.layers[-1].bias[0].item() == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(seen[-1], rel=1e-3)


def test_what_a_crash_right_after_the_state_kept_from_the_disk_is_written_at_the_next_start(tmp_path, digits, judged):
    hashes = judged([0.1, 0.2, 0.6, 0.5])
    run, _ = trained(tmp_path, digits, checkpoint="best", keep=4)
    save = trainer.save_state

    def crash(run, model, optimizers, average, at):
        save(run, model, optimizers, average, at)
        if at.epoch == 3:
            raise KeyboardInterrupt

    torn = create_run(tmp_path / "torn", run.recipe, facts_of(run.recipe, digits))
    hashes.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "save_state", crash)
        with pytest.raises(KeyboardInterrupt):
            train(run.recipe, digits, run=torn, device="cpu", keep=4)
    assert torn.kept_epochs == [1, 2]
    train(run.recipe, digits, run=torn, resume=True, device="cpu", keep=4)
    assert torn.kept_epochs == [1, 2, 3, 4]
    for name in ("weights.safetensors", "checkpoints/best.safetensors", "checkpoints/epoch-0003.safetensors"):
        assert (torn.path / name).read_bytes() == (run.path / name).read_bytes()


def test_best_weights_of_another_epoch_are_not_taken_for_the_best(tmp_path, digits, judged):
    judged([0.1, 0.6, 0.3, 0.2])
    run, _ = trained(tmp_path, digits)
    run.checkpoint_file("best").write_bytes(run.checkpoint_file("last").read_bytes())
    with pytest.raises(UserError, match="is not of the best epoch, 2: restore it"):
        train(run.recipe, digits, run=run, resume=True, device="cpu")


def test_a_run_killed_before_its_first_state_begins_with_the_pretrained_weights_again(tmp_path, digits):
    first, _ = trained(tmp_path / "first", digits, epochs=1, adversary="none")
    recipe = dataclasses.replace(RECIPE, pretrained=str(first.weights_file), epochs=1, learning_rate=1e-9)
    run = create_run(tmp_path / "run", recipe, facts_of(recipe, digits))
    resumed = train(recipe, digits, run=run, resume=True, device="cpu")
    torch.testing.assert_close(resumed.state_dict(), load_classifier(first).state_dict(), rtol=0, atol=1e-5)


def test_what_the_network_draws_belongs_to_the_step(digits, monkeypatch):
    def with_dropout(*arguments, **settings):
        model = build(*arguments, **settings)
        model.backbone = torch.nn.Sequential(model.backbone, torch.nn.Dropout(0.5))
        return model

    monkeypatch.setattr(trainer, "build", with_dropout)
    hashes = set()
    for _ in range(2):
        torch.rand(3)  # the caller's own draws
        hashes.add(weights_hash(train(dataclasses.replace(RECIPE, epochs=1), digits, device="cpu")))
    assert len(hashes) == 1


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
    forward, sizes = trainer.RobustLoss.forward, []

    def counted(self, batch, x_adv):
        sizes.append(len(batch.labels))
        return forward(self, batch, x_adv)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.RobustLoss, "forward", counted)
        models = [train(dataclasses.replace(recipe, accumulate=parts), digits, device="cpu") for parts in (1, 3)]
    assert max(sizes) == 400
    assert min(sizes) == 123  # of 370
    torch.testing.assert_close(models[0].state_dict(), models[1].state_dict(), rtol=1e-4, atol=1e-5)


def test_gradients_are_shortened_to_the_norm_asked_for(digits):
    settings = {"adversary": "none", "epochs": 1, "optimizer": "sgd", "batch_size": 5000, "schedule": "constant"}
    recipe = dataclasses.replace(RECIPE, learning_rate=1.0, clip_norm=1e-3, **settings)
    after = train(recipe, digits, device="cpu").state_dict()
    before = trainer.build(recipe, digits.image_shape, 10).state_dict()
    moved = sum((after[name] - before[name]).square().sum() for name in after if name != "normalize.mean") ** 0.5
    assert moved.item() == pytest.approx(1e-3, rel=1e-2)
