"""TRADES, MART and ALP are the published ones under softmax, and what their docstrings say for other heads."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from max_mahalanobis.data import Batch
from max_mahalanobis.heads import HEADS, make_head
from max_mahalanobis.models import Classifier
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.training import fill_defaults
from max_mahalanobis.training.robust_loss import RobustLoss, label_loss

NUM = 12


def made(head="softmax", **settings):
    """A linear backbone with a head, the recipe's loss around it, images clean and perturbed."""
    torch.manual_seed(0)
    recipe = fill_defaults(Recipe(head=head, adversary="pgd", **settings))
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 6)), make_head(head, 6, 4))
    x, y = torch.rand(NUM, 1, 4, 4), torch.arange(NUM) % 4
    return RobustLoss(model, recipe), Batch(x, y, None, None), (x + 0.1 * torch.randn_like(x)).clamp(0, 1)


def twin_trades(model, x, x_adv, y, beta):
    clean, perturbed = model(x), model(x_adv)
    kl = nn.KLDivLoss(reduction="sum")(F.log_softmax(perturbed, 1), F.softmax(clean, 1)) / len(x)
    return F.cross_entropy(clean, y) + beta * kl


def twin_mart(model, x, x_adv, y, beta):
    clean, perturbed = model(x).softmax(1), model(x_adv).softmax(1)
    others = perturbed.clone()
    others[torch.arange(len(y)), y] = 0
    boosted = -perturbed[torch.arange(len(y)), y].log() - (1.0001 - others.amax(1)).log()
    kl = (clean * (clean.log() - perturbed.log())).sum(1)
    return (boosted + beta * kl * (1.0000001 - clean[torch.arange(len(y)), y])).mean()


def twin_alp(model, x, x_adv, y, weight):
    clean, perturbed = model(x), model(x_adv)
    halves = (F.cross_entropy(clean, y) + F.cross_entropy(perturbed, y)) / 2
    return halves + weight * F.mse_loss(clean, perturbed)


@pytest.mark.parametrize(("name", "twin"), [("trades", twin_trades), ("mart", twin_mart), ("alp", twin_alp)])
@pytest.mark.parametrize("weight", [1.0, 6.0])
def test_under_softmax_the_loss_and_its_gradients_are_the_published_ones(name, twin, weight):
    loss, batch, x_adv = made(robust_loss=name, robust_weight=weight)
    weights = list(loss.parameters())
    ours = loss(batch, x_adv)[0].mean()
    theirs = twin(loss.classifier, batch.x, x_adv, batch.labels, weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(value, weights) for value in (ours, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-6)


def test_trades_with_mmc_adds_the_distance_of_the_features():
    loss, batch, x_adv = made("mmc", robust_loss="trades", robust_weight=3.0)
    z, z_adv = loss.classifier.features(batch.x), loss.classifier.features(x_adv)
    centers = loss.classifier.head.centers[batch.labels]
    by_hand = 0.5 * (z - centers).square().sum(1) + 3 * 0.5 * (z - z_adv).square().sum(1)
    torch.testing.assert_close(loss(batch, x_adv)[0], by_hand)


def test_mart_with_mmc_reads_distances_as_probabilities():
    loss, batch, x_adv = made("mmc", robust_loss="mart", robust_weight=2.0)
    z, z_adv = loss.classifier.features(batch.x) / 5, loss.classifier.features(x_adv) / 5
    loss.classifier.backbone[1].weight.data /= 5
    loss.classifier.backbone[1].bias.data /= 5
    loss.classifier.head.centers /= 20  # norm 1/2: distances at which exp(-loss) is no zero
    centers = loss.classifier.head.centers
    halves = 0.5 * torch.cdist(z_adv, centers).square()
    rows = torch.arange(NUM)
    rivals = halves.clone()
    rivals[rows, batch.labels] = torch.inf
    clean = 0.5 * (z - centers[batch.labels]).square().sum(1)
    by_hand = halves[rows, batch.labels] - torch.log(1.0001 - (-rivals.amin(1)).exp())
    by_hand += 2 * (1 - (-clean).exp()) * 0.5 * (z - z_adv).square().sum(1)
    torch.testing.assert_close(loss(batch, x_adv)[0], by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("cosface", "arcface")])
@pytest.mark.parametrize("robust", ["adversarial", "trades", "mart", "alp"])
def test_every_head_has_a_finite_loss_of_every_kind_with_gradients(name, robust):
    if name == "center_loss" and robust in ("mart", "alp"):
        return  # refused: see test_recipe.py
    loss, batch, x_adv = made(name, robust_loss=robust)
    values, errs = loss(batch, x_adv)
    values.mean().backward()
    assert values.shape == errs.shape == (NUM,)
    assert torch.isfinite(values).all()
    assert all(torch.isfinite(p.grad).all() for p in loss.parameters() if p.grad is not None)
    assert loss.classifier.backbone[1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("cosface", "arcface")])
def test_a_divergence_is_zero_between_equal_outputs_and_grows_apart(name):
    head = make_head(name, 6, 4)
    z, direction = torch.randn(NUM, 6), torch.randn(NUM, 6)
    torch.testing.assert_close(head.divergence(z, z), torch.zeros(NUM), rtol=0, atol=1e-5)
    near, far = (head.divergence(z, z + size * direction).mean() for size in (0.01, 0.1))
    assert 0 < near < far


def test_the_loss_judges_the_perturbed_images():
    loss, batch, x_adv = made()
    expected = loss.classifier(x_adv).argmax(1) != batch.labels
    assert torch.equal(loss(batch, x_adv)[1], expected)
    assert torch.equal(loss(batch, None)[1], loss.classifier(batch.x).argmax(1) != batch.labels)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_is_torchs_for_cross_entropy(smoothing):
    head, z, y = make_head("softmax", 6, 4), torch.randn(NUM, 6), torch.arange(NUM) % 4
    expected = F.cross_entropy(head(z), y, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(label_loss(head, z, Batch(z, y, None, None), smoothing), expected)


def test_mixed_images_have_the_loss_of_soft_labels():
    head, z, y, other = make_head("softmax", 6, 4), torch.randn(NUM, 6), torch.arange(NUM) % 4, torch.arange(NUM) % 3
    shares = torch.linspace(0.5, 1, NUM)
    soft = shares[:, None] * F.one_hot(y, 4) + (1 - shares)[:, None] * F.one_hot(other, 4)
    expected = F.cross_entropy(head(z), soft, reduction="none")
    torch.testing.assert_close(label_loss(head, z, Batch(z, y, other, shares), 0.0), expected)
