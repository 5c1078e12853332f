import dataclasses

import pytest
import torch

from max_mahalanobis.attacks import random_wrong_targets
from max_mahalanobis.errors import TrainingDiverged, UserError
from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.heads import MMCHead
from max_mahalanobis.losses import mmc_loss
from max_mahalanobis.models import build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.training import accuracy, fill_defaults, train
from max_mahalanobis.training.adversary import budget, make_adversary
from max_mahalanobis.training.schedule import learning_rate, make_optimizers

QUICK = Recipe(epochs=2)


@pytest.mark.slow
def test_digits_are_learned_by_either_head(digits):
    for head in ("softmax", "mmc"):
        assert accuracy(train(Recipe(head=head, epochs=15), digits, device="cpu"), digits.test) > 0.94


def test_the_same_seed_gives_the_same_weights_and_another_one_others(digits):
    hashes = [weights_hash(train(dataclasses.replace(QUICK, seed=s), digits, device="cpu")) for s in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_training_leaves_the_callers_random_state_alone(digits):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(QUICK, digits, device="cpu")
    torch.testing.assert_close(torch.rand(3), expected)


def test_golden_training_of_twenty_steps(digits):
    """The numbers of the day this test was written: a change that moves them must say so in CHANGELOG."""
    recipe = Recipe(epochs=1, adversary="pgd", adversary_steps=3, augmentation="shift_flip", batch_size=60)
    losses = []
    model = train(recipe, digits, device="cpu", progress=lambda event: losses.append(event["loss"]))
    assert losses[-1] == pytest.approx(53.7066, rel=1e-4)
    assert model.head.centers[0, 0].item() == 10
    norm = sum(p.double().square().sum().item() for p in model.parameters()) ** 0.5
    assert norm == pytest.approx(33.88747, rel=1e-5)


@pytest.mark.slow
def test_adversarial_training_holds_better_than_plain(digits):
    from max_mahalanobis.evaluation import evaluate
    from max_mahalanobis.results import worst_case
    from max_mahalanobis.threats import Linf

    held = {}
    for adversary in ("none", "pgd"):
        model = train(Recipe(head="softmax", epochs=8, adversary=adversary, adversary_steps=3), digits, device="cpu")
        held[adversary] = 1 - sum(worst_case(evaluate(model, digits.test, threat=Linf(0.1)))) / len(digits.test.labels)
    assert held["pgd"] > held["none"] + 0.1


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_crafting_uses_the_batchnorm_mode_asked_for_and_moves_no_statistics(mode):
    recipe = fill_defaults(
        Recipe(
            data="cifar10", model="resnet_v1", blocks=1, adversary="pgd", adversary_steps=2, adversary_batchnorm=mode
        )
    )
    model = build(recipe, (3, 8, 8), 10).train()
    seen = []
    model.backbone.layers[1].register_forward_hook(lambda module, *_: seen.append(module.training))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = torch.rand(6, 3, 8, 8), torch.arange(6)
    x_adv = make_adversary(recipe, model)(x, y, torch.arange(6), 8 / 255)
    assert seen == [mode == "train"] * 2
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert (x_adv - x).abs().max() <= 8 / 255 + 1e-6
    for name, value in before.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)


def test_an_adversarial_step_costs_its_pgd_steps_and_one_more_pass(digits):
    counts = {"forward": 0}
    recipe = fill_defaults(Recipe(adversary="pgd", adversary_steps=4))
    model = build(recipe, digits.image_shape, 10)
    model.backbone.register_forward_hook(lambda *_: counts.update(forward=counts["forward"] + 1))
    x, y = torch.rand(8, 1, 8, 8), torch.arange(8)
    x_adv = make_adversary(recipe, model)(x, y, torch.arange(8), 0.1)
    model.loss(x_adv, y).mean().backward()
    assert counts["forward"] == 4 + 1


def test_targeted_crafting_climbs_toward_the_wrong_class_that_was_drawn(digits, digits_mmc):
    recipe = fill_defaults(Recipe(adversary="pgd", adversary_targeted=True))
    x, y, seeds = digits.test.images[:60] / 255, digits.test.labels[:60], torch.arange(60)
    targets = random_wrong_targets(y, 10, seeds)[:, None]
    x_adv = make_adversary(recipe, digits_mmc)(x, y, seeds, 0.1)
    gained = digits_mmc(x_adv).gather(1, targets) - digits_mmc(x).gather(1, targets)
    assert (gained > 0).all()


def test_precision_reaches_the_training_step(digits, monkeypatch):
    seen = set()

    def watched(self, features, labels):
        seen.add(features.dtype)
        return mmc_loss(features, self.centers, labels)

    monkeypatch.setattr(MMCHead, "loss", watched)
    for precision in ("32-true", "bf16-mixed"):
        train(Recipe(epochs=1, precision=precision), digits, device="cpu")
    assert seen == {torch.float32, torch.bfloat16}


def test_weights_that_diverge_in_the_very_last_step_are_not_called_trained(digits):
    recipe = Recipe(epochs=1, batch_size=5000, optimizer="sgd", learning_rate=1e30, head="softmax")
    with pytest.raises(TrainingDiverged, match="weights after epoch 1 give no finite logits"):
        train(recipe, digits, device="cpu")


def test_the_budget_grows_and_then_stays():
    recipe = fill_defaults(Recipe(adversary="pgd", eps=0.3, adversary_warmup=0.5))
    assert [budget(recipe, p) for p in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([0, 0.15, 0.3, 0.3])
    assert budget(dataclasses.replace(recipe, adversary_warmup=0.0), 0.0) == 0.3


def test_the_step_schedule_is_the_authors_101_50_49():
    recipe = fill_defaults(Recipe(optimizer="sgd", schedule="step", epochs=200))
    rates = [learning_rate(recipe, epoch, epoch / 200) for epoch in range(200)]
    assert [rates.count(rate) for rate in sorted(set(rates), reverse=True)] == [101, 50, 49]
    assert max(rates) == 0.01


def test_weight_decay_reaches_convolution_kernels_only_unless_told_otherwise():
    recipe = Recipe(model="small_cnn", weight_decay=2e-4, optimizer="sgd")
    model = build(recipe, (1, 28, 28), 10)
    decayed = make_optimizers(model, fill_defaults(recipe))[0].param_groups[0]
    assert {p.ndim for p in decayed["params"]} == {4}
    assert decayed["weight_decay"] == 2e-4
    everything = make_optimizers(model, fill_defaults(dataclasses.replace(recipe, weight_decay_scope="all")))
    assert [len(optimizer.param_groups) for optimizer in everything] == [1]


def test_defaults_that_go_with_other_choices_are_filled_in():
    recipe = fill_defaults(Recipe(data="mnist", head="mmc", adversary="pgd", optimizer="sgd", model="resnet_v2"))
    assert (recipe.eps, recipe.adversary_objective, recipe.learning_rate, recipe.dim) == (
        0.3,
        "own_distance",
        0.01,
        256,
    )
    assert fill_defaults(Recipe(head="softmax", adversary="pgd")).adversary_objective == "cross_entropy"


def test_a_loss_that_is_not_finite_stops_the_training_with_the_remedy(digits):
    with pytest.raises(TrainingDiverged, match="loss is (nan|inf) in epoch 1, by step .* lower --learning-rate"):
        train(Recipe(optimizer="sgd", learning_rate=1e6, epochs=2), digits, device="cpu")


def test_more_classes_than_features_can_hold_are_refused(digits):
    with pytest.raises(UserError, match="10 classes do not fit into dim 1, a line holds two: raise dim to 2 or more"):
        train(Recipe(dim=1), digits, device="cpu")
