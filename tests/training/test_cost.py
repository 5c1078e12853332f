"""A step of training takes the passes its method needs and no more, and no gradient of a weight while crafting."""

from collections import Counter

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn.modules.module import register_module_forward_hook

from max_mahalanobis.data import Dataset
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.training import fill_defaults
from max_mahalanobis.training.state import Progress
from max_mahalanobis.training.trainer import make_loop
from max_mahalanobis.types import Split

K = 3  # steps of the adversary
PASSES = {  # forwards and backwards of crafting, then of learning
    "plain": ({"adversary": "none"}, (0, 0), (1, 1)),
    "pgd": ({}, (K, K), (1, 1)),
    "pgd, batch statistics": ({"adversary_batchnorm": "train"}, (K, K), (1, 1)),
    "pgd, part of the batch": ({"adversary_clean_share": 0.3}, (K, K), (1, 1)),
    "pgd, targeted": ({"adversary_targeted": True}, (K, K), (1, 1)),
    "pgd, two restarts": ({"adversary_restarts": 2}, (2 * K + 1, 2 * K), (1, 1)),
    "pgd, two parts": ({"accumulate": 2}, (2 * K, 2 * K), (2, 2)),
    "fgsm": ({"adversary": "fgsm"}, (1, 1), (1, 1)),
    "mim": ({"adversary": "mim"}, (K, K), (1, 1)),
    "apgd": ({"adversary": "apgd"}, (K + 1, K), (1, 1)),
    "free": ({"adversary": "free"}, (0, 0), (K, K)),
    "trades": ({"robust_loss": "trades"}, (K + 1, K), (2, 2)),  # the clean outputs, which the adversary moves away from
    "trades, margin": ({"robust_loss": "trades", "adversary_objective": "margin"}, (K, K), (2, 2)),
    "mart": ({"robust_loss": "mart"}, (K, K), (2, 2)),
    "alp": ({"robust_loss": "alp"}, (K, K), (2, 2)),
    "awp": ({"weight_perturbation": 0.01}, (K, K), (2, 2)),
    "awp, trades": ({"weight_perturbation": 0.01, "robust_loss": "trades"}, (K + 1, K), (4, 4)),
    "average": ({"averaging": "ema"}, (K, K), (1, 1)),
}
NETWORKS = {"resnet_v1": (3, 8, 8), "small_cnn": (1, 12, 12), "mlp": (1, 4, 4)}


def loop_of(model, **settings):
    """A training of one batch of random images, about to begin."""
    adversarial = {"adversary": "pgd", "adversary_steps": K, "adversary_warmup": 0.0}
    adversarial |= {"eps": 0.001}  # so small that some images hold: for these are restarts
    images = torch.randint(256, (24, *NETWORKS[model]), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(images, torch.arange(24) % 4, torch.arange(24))
    data = Dataset("noise", split, split, split, 4, tuple("abcd"), hashes={}, published=False)
    recipe = Recipe(**({"model": model, "blocks": 1, "batch_size": 24} | adversarial | settings))
    return make_loop(fill_defaults(recipe), data, Fabric(accelerator="cpu", devices=1))[0]


def counted(loop):
    """Passes of the network or of a copy of it in one epoch: ("forward" or "backward", do weights need gradients)."""
    passes, kind = Counter(), type(loop.model.backbone)

    def count(module, inputs, z):
        if type(module) is kind:
            learns = any(parameter.requires_grad for parameter in module.parameters()) and torch.is_grad_enabled()
            passes["forward", learns] += 1
            if z.requires_grad:
                z.register_hook(lambda gradient: passes.update([("backward", learns)]))

    handle = register_module_forward_hook(count)
    try:
        loop.run_epoch(Progress(parts=loop.recipe.accumulate))
    finally:
        handle.remove()
    return passes


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("method", PASSES)
def test_a_step_takes_the_passes_of_its_method(method, model):
    settings, crafting, learning = PASSES[method]
    passes = counted(loop_of(model, **settings))
    assert (passes["forward", False], passes["backward", False]) == crafting
    assert (passes["forward", True], passes["backward", True]) == learning


@pytest.mark.parametrize("method", [method for method in PASSES if "awp" not in method])
def test_weights_get_gradients_once_for_each_backward_of_learning_and_keep_none(method):
    settings, _, (_, backwards) = PASSES[method]
    loop = loop_of("resnet_v1", **settings)
    weights, seen = dict(loop.model.named_parameters()), Counter()
    for name, weight in weights.items():
        weight.register_post_accumulate_grad_hook(lambda _, name=name: seen.update([name]))
    loop.run_epoch(Progress(parts=loop.recipe.accumulate))
    once = 1 if settings.get("robust_loss") else backwards  # two forwards of one sum have one backward
    assert seen == dict.fromkeys(weights, once)
    assert all(weight.grad is None for weight in weights.values())


def test_a_last_batch_of_fewer_images_than_parts_has_no_empty_part():
    loop = loop_of("mlp", batch_size=22, accumulate=3)
    passes = counted(loop)
    assert passes["forward", True] == passes["backward", True] == 3 + 2
    assert all(torch.isfinite(weight).all() for weight in loop.model.parameters())
