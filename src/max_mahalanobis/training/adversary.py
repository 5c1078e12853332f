"""What training fights: an attack on the very batch the next step learns from."""

from collections.abc import Callable

from torch import Tensor

from ..attacks import OBJECTIVES, pgd, random_wrong_targets, undisturbed
from ..models import Classifier
from ..recipe import Recipe
from ..threats import make_threat

Adversary = Callable[[Classifier, Tensor, Tensor, Tensor, float], Tensor]  # (model, x, y, seeds, eps) -> x_adv


def make_adversary(recipe: Recipe) -> Adversary | None:
    """The adversary of a recipe, or None: its defaults must be filled in (`fill_defaults`).

    Every image takes all steps (images fooled early stay), at one forward and one input gradient a step; parameters
    get no gradients. BatchNorm uses its running statistics ("eval") or the batch's own ("train": the authors' code;
    the running ones are not moved by crafting).
    """
    if recipe.adversary == "none":
        return None
    objective = OBJECTIVES[recipe.adversary_objective]

    def craft(model: Classifier, x: Tensor, y: Tensor, seeds: Tensor, eps: float) -> Tensor:
        targets = random_wrong_targets(y, model.head.num_classes, seeds) if recipe.adversary_targeted else None
        share = eps / recipe.eps if recipe.eps else 0.0
        step_size = None if recipe.adversary_step_size is None else share * recipe.adversary_step_size
        with undisturbed(model, mode=recipe.adversary_batchnorm):
            return pgd(
                lambda images: model(images),  # a plain function: pgd must not set the mode chosen here
                x,
                y,
                threat=make_threat(recipe.threat, eps),
                targets=targets,
                seeds=seeds,
                objective=objective,
                steps=recipe.adversary_steps,
                step_size=step_size,
                stop_when_fooled=False,
            )

    return craft


def budget(recipe: Recipe, progress: float) -> float:
    """Eps at `progress` in [0, 1) of the training: linear from 0 over `adversary_warmup`, then constant.

    Training at the full budget from the first step can collapse to a constant classifier.
    """
    if recipe.adversary == "none":
        return 0.0
    return recipe.eps * (min(1.0, progress / recipe.adversary_warmup) if recipe.adversary_warmup else 1.0)
