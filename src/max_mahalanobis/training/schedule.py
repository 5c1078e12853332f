"""How fast to learn, and when: optimizers, schedules, and the defaults that go with other choices."""

import math
from dataclasses import fields, replace

import torch

from ..data import default_eps
from ..errors import UserError
from ..heads import HEADS, no_setting, settings_of
from ..losses import CONVENTIONS
from ..models import Classifier, default_dim, weight_decay_groups
from ..recipe import Recipe
from .robust_loss import WEIGHTS

LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
NATURAL_OBJECTIVES = {  # what the adversary climbs: cross-entropy where softmax does not saturate
    "softmax": "cross_entropy",
    "mmc": "own_distance",
    "mmlda": "margin",
    "center_loss": "cross_entropy",
    "large_margin_gaussian": "margin",
    "hypersphere": "cross_entropy",
    "squared": "cross_entropy",
    "cosface": "margin",
    "arcface": "margin",
}


def fill_defaults(recipe: Recipe) -> Recipe:
    """The same recipe with every `None` that matters replaced by what it stands for.

    Raises:
        UserError: a setting that the head does not have.
    """
    filled = _head_defaults(recipe)
    if recipe.dim is None:
        filled["dim"] = default_dim(recipe)
    if recipe.learning_rate is None:
        filled["learning_rate"] = LEARNING_RATES[recipe.optimizer] / _steepness(recipe)
    if recipe.adversary != "none" and recipe.eps is None:
        filled["eps"] = default_eps(recipe.data, recipe.threat)
    if recipe.adversary not in ("none", "free") and recipe.adversary_objective is None:
        diverges = recipe.robust_loss == "trades" and recipe.adversary in ("pgd", "fgsm")
        diverges &= recipe.adversary_restarts == 1 and not recipe.adversary_targeted
        filled["adversary_objective"] = "divergence" if diverges else NATURAL_OBJECTIVES[recipe.head]
    if recipe.robust_weight is None:
        filled["robust_weight"] = WEIGHTS.get(recipe.robust_loss)
    return replace(recipe, **filled)


def make_optimizers(model: Classifier, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The optimizer that follows the schedule, then plain SGD for parameters with a rate of their own, if any.

    The first is SGD with momentum 0.9 or Adam (weight decay as L2 in the gradient for both), over the recipe's decay
    groups. The second has no state: a resumed run needs nothing of it.
    """
    own = [{"params": [getattr(model.head, name)], "lr": rate} for name, rate in model.head.own_rates.items()]
    groups = weight_decay_groups(model, recipe.weight_decay, recipe.weight_decay_scope)
    if recipe.optimizer == "sgd":
        main = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9)
    else:
        main = torch.optim.Adam(groups, lr=recipe.learning_rate)
    return [main, torch.optim.SGD(own, lr=0.0)] if own else [main]


def learning_rate(recipe: Recipe, epoch: int, progress: float) -> float:
    """The learning rate at `progress` in [0, 1) of the training, in the 0-based `epoch`.

    "step" is the authors' rule: times 0.1 once epoch > epochs / 2 and again once epoch > 3/4 epochs, so 200 epochs are
    101 + 50 + 49; "piecewise": times 0.1 from each of `drops` on; "cosine" falls to zero step by step; "one_cycle"
    rises from zero over 2/5 of the training and falls back (Wong et al. 2020).
    """
    if recipe.schedule == "step":
        return recipe.learning_rate * 0.1 ** sum(epoch > share * recipe.epochs for share in (0.5, 0.75))
    if recipe.schedule == "piecewise":
        return recipe.learning_rate * 0.1 ** sum(progress >= share for share in recipe.drops)
    if recipe.schedule == "one_cycle":
        return recipe.learning_rate * (progress / 0.4 if progress < 0.4 else (1 - progress) / 0.6)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.learning_rate


def _head_defaults(recipe: Recipe) -> dict:
    """The settings of the recipe's head that it leaves open; those of other heads must be left alone."""
    own = settings_of(recipe.head)
    usual = {field.name: field.default for field in fields(recipe)}
    for name in sorted({name for head in HEADS for name in settings_of(head)} - own.keys()):
        if getattr(recipe, name) != usual[name]:
            remedy = f"leave it at {usual[name]}"
            raise UserError(no_setting(recipe.head, name, getattr(recipe, name), remedy=remedy))
    return {name: default for name, default in own.items() if getattr(recipe, name) is None}


def _steepness(recipe: Recipe) -> float:
    """What SGD's default learning rate is divided by: see `heads.MMLDAHead`, whose gradient grows with the centers."""
    if (recipe.head, recipe.optimizer) != ("mmlda", "sgd"):
        return 1.0
    return max(1.0, 2 * CONVENTIONS[recipe.convention] * recipe.norm / 10)
