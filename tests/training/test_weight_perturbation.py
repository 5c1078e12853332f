"""AWP: a step is taken from the worst weights nearby, and nothing else of the model moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from max_mahalanobis.data import Batch
from max_mahalanobis.heads import make_head
from max_mahalanobis.models import Classifier
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.training import fill_defaults
from max_mahalanobis.training.robust_loss import RobustLoss
from max_mahalanobis.training.weight_perturbation import kernels, perturbed, slopes_of

SIZE = 0.01


@pytest.fixture
def made():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6))
    loss = RobustLoss(Classifier(backbone, make_head("softmax", 6, 4)), fill_defaults(Recipe(head="softmax")))
    x, y = torch.rand(8, 1, 4, 4), torch.arange(8) % 4
    return loss.train(), Batch(x, y, None, None)


def perturb(loss, seen):
    weights = kernels(loss.classifier)
    fabric = Fabric(accelerator="cpu", devices=1)
    return perturbed(weights, lambda: slopes_of(loss, weights, seen, fabric), SIZE)


def test_a_step_is_that_of_the_published_algorithm(made):
    """Its few-line twin: a proxy takes one step of SGD up the loss, the difference is scaled to the weight's norm."""
    loss, batch = made
    model, proxy = copy.deepcopy(loss.classifier), copy.deepcopy(loss.classifier)
    ascent = torch.optim.SGD(proxy.parameters(), lr=0.01)
    (-F.cross_entropy(proxy(batch.x), batch.labels)).backward()
    ascent.step()
    moves = {}
    for (name, old), new in zip(model.named_parameters(), proxy.parameters(), strict=True):
        if old.ndim > 1:
            move = (new - old).detach()
            moves[name] = SIZE * move * old.norm() / (move.norm() + 1e-20)
    step = torch.optim.SGD(model.parameters(), lr=0.1)
    for name, parameter in model.named_parameters():
        parameter.data += moves.get(name, 0)
    F.cross_entropy(model(batch.x), batch.labels).backward()
    step.step()
    for name, parameter in model.named_parameters():
        parameter.data -= moves.get(name, 0)
    ours = torch.optim.SGD(loss.parameters(), lr=0.1)
    with perturb(loss, [(batch, None, 1.0)]):
        loss(batch, None)[0].mean().backward()
    ours.step()
    for found, wanted in zip(loss.classifier.state_dict().values(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_afterwards_the_weights_are_back_bit_for_bit_and_batchnorm_saw_nothing(made):
    loss, batch = made
    before = copy.deepcopy(loss.state_dict())
    with perturb(loss, [(batch, None, 1.0)]):
        moved = [name for name, value in loss.state_dict().items() if not torch.equal(value, before[name])]
    assert moved == ["classifier.backbone.0.weight", "classifier.backbone.4.weight", "classifier.head.linear.weight"]
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    assert all(p.grad is None for p in loss.parameters())


def test_within_the_loss_is_higher(made):
    loss, batch = made
    before = loss(batch, None)[0].mean()
    with perturb(loss, [(batch, None, 1.0)]):
        assert loss(batch, None)[0].mean() > before


def test_parts_of_a_batch_are_perturbed_as_the_whole():
    loss = RobustLoss(Classifier(nn.Flatten(), make_head("softmax", 16, 4)), fill_defaults(Recipe(head="softmax")))
    x, y = torch.rand(8, 1, 4, 4), torch.arange(8) % 4
    stands = []
    for seen in ([(slice(0, 8), 1.0)], [(slice(0, 6), 0.75), (slice(6, 8), 0.25)]):
        with perturb(loss, [(Batch(x[rows], y[rows], None, None), None, factor) for rows, factor in seen]):
            stands.append(loss.classifier.head.linear.weight.detach().clone())
    torch.testing.assert_close(*stands)


def test_centers_that_a_head_moves_itself_are_left_alone():
    model = Classifier(nn.Flatten(), make_head("center_loss", 16, 4))
    assert [id(p) for p in kernels(model)] == [id(model.head.linear.weight)]
