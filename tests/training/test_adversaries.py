"""Every adversary stays in its ball, costs what it says, and aims where it is told to."""

import dataclasses

import pytest
import torch

from max_mahalanobis.attacks import margin, own_distance, pgd
from max_mahalanobis.models import build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.threats import Linf, make_threat
from max_mahalanobis.training import accuracy, fill_defaults, train
from max_mahalanobis.training.adversary import make_adversary, step_size

EPS = {"linf": 0.1, "l2": 1.0, "l1": 6.0}
CRAFTS = ("pgd", "fgsm", "mim", "apgd")


@pytest.fixture(scope="module")
def few(digits):
    return digits.test.images[:40] / 255, digits.test.labels[:40], torch.arange(40)


def recipe_of(adversary, **settings):
    return fill_defaults(Recipe(adversary=adversary, adversary_steps=4, **settings))


@pytest.mark.parametrize("threat", ["linf", "l2", "l1"])
@pytest.mark.parametrize("adversary", CRAFTS)
def test_what_an_adversary_makes_is_allowed_and_errs_more(adversary, threat, digits_mmc, few):
    x, y, seeds = few
    recipe = recipe_of(adversary, threat=threat, adversary_objective="margin", eps=EPS[threat])
    x_adv = make_adversary(recipe, digits_mmc)(x, y, seeds, recipe.eps)
    assert make_threat(threat, recipe.eps).allows(x_adv, x).all()
    assert margin(digits_mmc(x_adv), y).mean() > margin(digits_mmc(x), y).mean()


@pytest.mark.parametrize(("adversary", "passes"), [("pgd", 4), ("fgsm", 1), ("mim", 4), ("apgd", 5)])
def test_an_adversary_takes_its_steps_and_no_pass_more(adversary, passes, few):
    recipe = recipe_of(adversary)
    model, seen = build(recipe, (1, 8, 8), 10), []
    model.backbone.register_forward_hook(lambda *_: seen.append(1))
    make_adversary(recipe, model)(*few, 0.1)
    assert len(seen) == passes


@pytest.mark.parametrize("head", ["softmax", "mmc", "mmlda", "squared"])
@pytest.mark.parametrize("adversary", CRAFTS)
def test_what_trades_crafts_by_default_moves_every_image(adversary, head, few):
    recipe = recipe_of(adversary, head=head, robust_loss="trades")
    x_adv = make_adversary(recipe, build(recipe, (1, 8, 8), 10))(*few, 0.1)
    assert ((x_adv - few[0]).flatten(1).abs().amax(dim=1) > 0.01).all()


def test_divergence_costs_one_forward_more_and_is_climbed_on_features(digits_mmc, few):
    recipe = recipe_of("pgd", robust_loss="trades")
    assert recipe.adversary_objective == "divergence"
    x_adv = make_adversary(recipe, digits_mmc)(*few, 0.1)
    clean, random = digits_mmc.features(few[0]), make_threat("linf", 0.1).sample(few[0], few[2])
    moved = [digits_mmc.head.divergence(clean, digits_mmc.features(images)).mean() for images in (random, x_adv)]
    assert moved[1] > 2 * moved[0]


@pytest.mark.parametrize("objective", ["own_distance", "divergence"])
def test_the_copy_that_is_attacked_follows_the_network(objective):
    recipe = fill_defaults(Recipe(data="cifar10", model="resnet_v1", blocks=1, adversary="pgd", adversary_steps=2,
                                  adversary_objective=objective))  # fmt: skip
    model = build(recipe, (3, 8, 8), 10).eval()
    x, y, seeds = torch.rand(20, 3, 8, 8), torch.arange(20) % 10, torch.arange(20)
    craft, threat = make_adversary(recipe, model), Linf(8 / 255)
    settings = {"threat": threat, "seeds": seeds, "steps": 2, "stop_when_fooled": False}
    for _ in range(2):
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # as a step of training would
                module.running_mean.normal_()
        clean = model.features(x).detach()
        if objective == "divergence":
            settings["objective"] = lambda z, labels, targets, clean=clean: model.head.divergence(clean, z)
        else:
            settings["objective"] = own_distance
        plain = pgd(lambda images: model.features(images) if objective == "divergence" else model(images),
                    x, y, **settings)  # fmt: skip
        assert (craft(x, y, seeds, 8 / 255) - plain).abs().gt(1e-5).float().mean() < 0.01  # signs of slopes near 0


def test_targets_of_all_classes_include_the_true_one_and_the_draws_belong_to_the_image(digits_mmc, few):
    x, y, seeds = few
    recipe = recipe_of("pgd", adversary_targeted=True, adversary_targets="all", adversary_objective="own_distance")
    craft = make_adversary(recipe, digits_mmc)
    x_adv = craft(x, y, seeds, 0.1)
    nearer = digits_mmc(x_adv).gather(1, y[:, None]) > digits_mmc(x).gather(1, y[:, None])
    assert 0 < nearer.float().mean() < 0.5  # one in ten is drawn toward its own class
    torch.testing.assert_close(craft(x[7:9], y[7:9], seeds[7:9], 0.1), x_adv[7:9], rtol=0, atol=1e-6)


def test_clean_images_keep_their_share_and_the_others_are_perturbed(digits_mmc, digits):
    x, y = digits.train.images[:1000] / 255, digits.train.labels[:1000]
    recipe = recipe_of("fgsm", adversary_clean_share=0.3)
    x_adv = make_adversary(recipe, digits_mmc)(x, y, torch.arange(1000), 0.1)
    kept = (x_adv == x).flatten(1).all(dim=1)
    assert kept.float().mean() == pytest.approx(0.3, abs=0.05)


def test_the_usual_steps_are_those_of_the_papers():
    sizes = {name: step_size(recipe_of(name, eps=0.2), 0.2) for name in ("pgd", "fgsm", "mim", "free")}
    assert sizes == pytest.approx({"pgd": 2.5 * 0.2 / 4, "fgsm": 0.25, "mim": 0.05, "free": 0.2})
    assert step_size(recipe_of("pgd", eps=0.2, adversary_step_size=0.04), 0.1) == pytest.approx(0.02)


def test_free_training_uses_every_batch_as_often_as_it_is_told(digits):
    recipe = recipe_of("free", epochs=1)
    steps = []
    train(recipe, digits, device="cpu", progress=lambda event: steps.append(event.get("adversary_success")))
    assert steps[-1] is not None  # some images of the last passes were fooled, or none: a share is told
    plain, free = (accuracy(train(dataclasses.replace(recipe, adversary=name), digits, device="cpu"), digits.test)
                   for name in ("none", "free"))  # fmt: skip
    assert free > plain  # four times the steps


@pytest.mark.slow
@pytest.mark.parametrize("adversary", [*CRAFTS, "free"])
def test_training_against_every_adversary_holds_better_than_without(adversary, digits):
    recipe = fill_defaults(Recipe(head="softmax", epochs=8, adversary=adversary, adversary_steps=4))
    lines = []
    train(recipe, digits, device="cpu", progress=lambda event: lines.append(event))
    held = [line["robust_validation_accuracy"] for line in lines if line.get("epoch_done")]
    assert held[-1] > 0.65  # without an adversary about 0.5
