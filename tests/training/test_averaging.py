"""Averages of weights: moving, or over the last epochs; with BatchNorm measured anew."""

import pytest
import torch
from torch import nn

from max_mahalanobis.heads import make_head
from max_mahalanobis.models import Classifier
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.training.averaging import Average


def walk(average, model, steps):
    """Weights drawn anew at every step; all of them."""
    seen = []
    for _ in range(steps):
        model.head.linear.weight.data = torch.randn(4, 16)
        average.after_step()
        seen.append(model.head.linear.weight.data.clone())
    return seen


def test_a_moving_average_is_the_one_of_its_few_lines():
    model = Classifier(nn.Flatten(), make_head("softmax", 16, 4))
    average = Average(model, Recipe(averaging="ema", average_decay=0.6))
    seen = walk(average, model, 20)
    expected = seen[0]
    for step, weight in enumerate(seen[1:], 1):
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(average.judged.head.linear.weight.data, expected, rtol=1e-5, atol=1e-5)


def test_swa_is_the_mean_of_the_late_epochs_and_the_model_itself_before():
    model = Classifier(nn.Flatten(), make_head("softmax", 16, 4))
    average, seen = Average(model, Recipe(averaging="swa", average_from=0.5)), []
    for epoch in range(10):
        seen += walk(average, model, 2)[-1:]
        average.after_epoch((epoch + 1) / 10, [])
        if epoch == 4:
            assert average.judged is model
    torch.testing.assert_close(average.judged.head.linear.weight.data, torch.stack(seen[5:]).mean(dim=0))


def test_batchnorm_of_an_average_is_measured_on_the_images():
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()), make_head("softmax", 16, 4))
    average = Average(model, Recipe(averaging="ema"))
    walk(average, model, 3)
    images = [torch.rand(40, 1, 4, 4) * 5 for _ in range(3)]
    average.after_epoch(1.0, images)
    torch.testing.assert_close(average.judged.backbone[0].running_mean, torch.stack(images).mean().view(1))
    assert model.backbone[0].running_mean.item() == 0


@pytest.mark.parametrize("kind", ["none", "ema", "swa"])
def test_an_average_goes_on_from_its_state(kind):
    torch.manual_seed(0)
    model = Classifier(nn.Flatten(), make_head("softmax", 16, 4))
    recipe = Recipe(averaging=kind, average_from=0.0)
    first = Average(model, recipe)
    walk(first, model, 3)
    first.after_epoch(0.5, [])
    second = Average(model, recipe)
    second.restore({name: value.clone() for name, value in first.state().items()})
    for average in (first, second):
        torch.manual_seed(1)
        walk(average, model, 3)
        average.after_epoch(1.0, [])
    torch.testing.assert_close(second.judged.state_dict(), first.judged.state_dict(), rtol=0, atol=0)
