"""How fast to learn, and when: optimizers, schedules, and the defaults that go with other choices."""

import inspect
import math
from dataclasses import replace

import torch

from ..data import default_eps
from ..models import MODELS, Classifier, weight_decay_groups
from ..recipe import Recipe

LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
NATURAL_OBJECTIVES = {"softmax": "cross_entropy", "mmc": "own_distance"}


def fill_defaults(recipe: Recipe) -> Recipe:
    """The same recipe with every `None` that matters replaced by what it stands for."""
    filled = {}
    if recipe.dim is None:
        filled["dim"] = inspect.signature(MODELS[recipe.model]).parameters["dim"].default
    if recipe.learning_rate is None:
        filled["learning_rate"] = LEARNING_RATES[recipe.optimizer]
    if recipe.adversary != "none" and recipe.eps is None:
        filled["eps"] = default_eps(recipe.data, recipe.threat)
    if recipe.adversary != "none" and recipe.adversary_objective is None:
        filled["adversary_objective"] = NATURAL_OBJECTIVES[recipe.head]
    return replace(recipe, **filled)


def make_optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with momentum 0.9 or Adam (weight decay as L2 in the gradient for both), over the recipe's decay groups."""
    groups = weight_decay_groups(model, recipe.weight_decay, recipe.weight_decay_scope)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9)
    return torch.optim.Adam(groups, lr=recipe.learning_rate)


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """The learning rate at `progress` in [0, 1) of the training, in the 0-based `epoch`.

    "step" is the authors' rule: times 0.1 once epoch > epochs / 2 and again once epoch > 3/4 epochs, so 200 epochs are
    101 + 50 + 49; "cosine" falls to zero step by step.
    """
    if recipe.schedule == "step":
        drops = sum(epoch > share * recipe.epochs for share in (0.5, 0.75))
        return recipe.learning_rate * 0.1**drops
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
