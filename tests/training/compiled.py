"""Trains with and without torch.compile, in a process without the tests' shape checks, and prints as JSON what differs.

Differences are shares: ||compiled - plain|| / ||plain - first weights||, over all weights.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch._dynamo.utils import counters

from max_mahalanobis.data import Dataset
from max_mahalanobis.models import build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import create_run, facts_of
from max_mahalanobis.training import train
from max_mahalanobis.types import Split

RECIPE = Recipe(
    **{"data": "cifar10", "model": "resnet_v1", "blocks": 1, "optimizer": "sgd", "batch_size": 40, "epochs": 1},
    **{"adversary": "pgd", "adversary_steps": 3, "adversary_warmup": 0.0, "averaging": "ema", "learning_rate": 1e-3},
)
OTHERS = {
    "batch statistics": {"adversary_batchnorm": "train"},
    "trades": {"robust_loss": "trades", "augmentation": "crop_flip"},
    "awp": {"weight_perturbation": 0.005, "averaging": "none"},
    "free": {"adversary": "free"},
}


def images_of(count, generator):
    """Noise on a shade of grey for each class."""
    labels = torch.arange(count) % 4
    noise = torch.randint(120, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Split(noise + (30 * labels)[:, None, None, None].to(torch.uint8), labels, torch.arange(count))


def vector(model):
    """All its floating-point weights and statistics."""
    return torch.cat([value.flatten() for value in model.state_dict().values() if value.is_floating_point()])


def share(one, other, recipe, data):
    """How far two trained models are apart."""
    first = vector(build(recipe, data.image_shape, 4))
    return float((vector(one) - vector(other)).norm() / (vector(other) - first).norm())


def resumed(recipe, data):
    """The model of a run that was stopped after its first epoch and went on, compiled both times."""

    def stop(event):
        if event["epoch"] == 1:
            raise KeyboardInterrupt

    run = create_run(Path("run"), recipe, facts_of(recipe, data))
    try:
        train(recipe, data, run=run, device="cpu", compile=True, progress=stop)
    except KeyboardInterrupt:
        return train(recipe, data, run=run, resume=True, device="cpu", compile=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    splits = (images_of(100, draw), images_of(60, draw), images_of(8, draw))
    data = Dataset("noise", *splits, 4, tuple("abcd"), hashes={}, published=False)
    told, plain = {}, train(RECIPE, data, device="cpu")
    fast = train(RECIPE, data, device="cpu", compile=True)
    told["graphs"] = counters["stats"]["unique_graphs"]
    told["pgd"] = share(fast, plain, RECIPE, data)
    longer = replace(RECIPE, epochs=2)
    told["resumed"] = share(resumed(longer, data), train(longer, data, device="cpu", compile=True), longer, data)
    for name, settings in OTHERS.items():
        recipe = replace(RECIPE, **settings)
        models = [train(recipe, data, device="cpu", compile=compile) for compile in (True, False)]
        told[name] = share(*models, recipe, data)
    print(json.dumps(told))
