"""What training fights: an attack on the very batch the next step learns from."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ..attacks import OBJECTIVES, apgd, mim, pgd, random_wrong_targets, undisturbed
from ..draws import uniform
from ..heads import Head
from ..models import Classifier, compiled, folded
from ..recipe import Recipe
from ..threats import make_threat
from ..types import Attack, Model, Objective

Adversary = Callable[[Tensor, Tensor, Tensor, float], Tensor]  # (x, y, seeds, eps) -> x_adv

_TARGETS, _CLEAN = 7927, 7933  # streams of an image's draws


def make_adversary(recipe: Recipe, model: Classifier, *, compile: bool = False) -> Adversary | None:
    """The adversary of a recipe against a model, or None: its defaults must be filled in (`fill_defaults`).

    Every image takes all steps (images fooled early stay), at one forward and one input gradient a step; parameters
    get no gradients. BatchNorm uses its running statistics ("eval") or the batch's own ("train": the authors' code;
    the running ones are not moved by crafting).

    In evaluation mode networks with convolutions are attacked through a `folded` copy, whose logits agree to rounding
    and which takes over the weights before every batch.

    Args:
        compile: attack a compiled copy; with the batch's own statistics the model itself, compiled.
    """
    if recipe.adversary in ("none", "free"):  # free is no attack before a step but a step of its own
        return None
    runs = compiled(model) if compile and recipe.adversary_batchnorm == "train" else model
    seen = runs if recipe.adversary_objective != "divergence" else _Features(runs)
    convolves = any(isinstance(module, nn.Conv2d) for module in model.modules())
    fast = folded(seen, compile=compile) if recipe.adversary_batchnorm == "eval" and (convolves or compile) else None

    def craft(x: Tensor, y: Tensor, seeds: Tensor, eps: float) -> Tensor:
        if fast is not None:
            fast.refresh(seen)
        attacked = fast or (lambda images: seen(images))  # a plain function: no attack sets the mode chosen here
        attack = partial(_attack(recipe, eps), threat=make_threat(recipe.threat, eps), stop_when_fooled=False)
        with undisturbed(model, mode=recipe.adversary_batchnorm):
            objective, targets = _aims(recipe, model.head, attacked, x, y, seeds)
            x_adv = attack(attacked, x, y, targets=targets, seeds=seeds, objective=objective)
        if recipe.adversary_clean_share > 0:
            clean = uniform(seeds, 1, stream=_CLEAN)[:, 0] < recipe.adversary_clean_share
            x_adv = torch.where(clean[:, None, None, None], x, x_adv)
        return x_adv

    return craft


def budget(recipe: Recipe, progress: float) -> float:
    """Eps at `progress` in [0, 1) of the training: linear from 0 over `adversary_warmup`, then constant.

    Training at the full budget from the first step can collapse to a constant classifier.
    """
    if recipe.adversary == "none":
        return 0.0
    return recipe.eps * (min(1.0, progress / recipe.adversary_warmup) if recipe.adversary_warmup else 1.0)


def step_size(recipe: Recipe, eps: float) -> float:
    """The length of a step at the budget of the moment: the recipe's own shrinks with the budget."""
    if recipe.adversary_step_size is not None:
        return recipe.adversary_step_size * (eps / recipe.eps if recipe.eps else 0.0)
    usual = {"fgsm": 1.25, "free": 1.0, "mim": 1 / recipe.adversary_steps}
    return eps * usual.get(recipe.adversary, 2.5 / recipe.adversary_steps)


class _Features(nn.Module):
    """A classifier up to its features, where a divergence between them is climbed."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        return self.classifier.features(x)


def _attack(recipe: Recipe, eps: float) -> Attack:
    size, steps, restarts = step_size(recipe, eps), recipe.adversary_steps, recipe.adversary_restarts
    return {
        "pgd": partial(pgd, steps=steps, step_size=size, restarts=restarts),
        "fgsm": partial(pgd, steps=1, step_size=size),
        "mim": partial(mim, steps=steps, step_size=size),
        "apgd": partial(apgd, steps=steps, restarts=restarts),
    }[recipe.adversary]


def _aims(
    recipe: Recipe, head: Head, attacked: Model, x: Tensor, y: Tensor, seeds: Tensor
) -> tuple[Objective, Tensor | None]:
    """What is climbed for this batch, and toward which classes."""
    if recipe.adversary_objective == "divergence":
        with torch.no_grad():
            clean = attacked(x)
        return lambda features, labels, targets: head.divergence(clean, features), None
    objective = OBJECTIVES[recipe.adversary_objective]
    if not recipe.adversary_targeted:
        return objective, None
    if recipe.adversary_targets == "wrong":
        return objective, random_wrong_targets(y, head.num_classes, seeds)
    drawn = (uniform(seeds, 1, stream=_TARGETS)[:, 0] * head.num_classes).long()
    return lambda logits, labels, targets: objective(logits, labels, drawn), None
