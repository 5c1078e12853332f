"""What a recipe must fulfil: types, ranges, and choices that exclude one another."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from ..errors import UserError, one_of

if TYPE_CHECKING:
    from .fields import Recipe

MODEL_NAMES = (
    "mlp",
    "small_cnn",
    "resnet_v1",
    "resnet_v2",
    "resnet18",
    "preact_resnet18",
    "wide_resnet28_10",
    "wide_resnet34_10",
)
LIBRARIES = ("timm", "torchvision")  # model="timm:NAME"
COUNTS = ("epochs", "batch_size", "blocks", "accumulate", "adversary_steps", "adversary_restarts", "patience")
ABOVE_ZERO = ("learning_rate", "adversary_step_size", "norm", "dim", "scale", "mix_alpha", "clip_norm")
AT_LEAST_ZERO = ("weight_decay", "margin", "center_weight", "robust_weight", "weight_perturbation", "cutout")
SHARES = ("center_rate", "adversary_warmup", "adversary_clean_share", "label_smoothing", "average_from", "guard")


def check_recipe(recipe: "Recipe") -> None:
    """Refuse what could not train, whatever the data and the head."""
    library, _, name = recipe.model.partition(":")
    if not (library in LIBRARIES and name):
        one_of("model", recipe.model, (*MODEL_NAMES, *(f"{library}:NAME" for library in LIBRARIES)))
    for name in COUNTS:
        _check(recipe, name, "must lie in [1, 2^31)", lambda value: 1 <= value < 2**31)
    for name in ABOVE_ZERO:
        _check(recipe, name, "must be above 0", lambda value: math.isfinite(value) and value > 0)
    for name in AT_LEAST_ZERO:
        _check(recipe, name, "must be 0 or more, and finite", lambda value: 0 <= value < math.inf)
    for name in SHARES:
        _check(recipe, name, "must lie in [0, 1]", lambda value: 0 <= value <= 1)
    for name in ("validation", "average_decay", "extra_share"):
        _check(recipe, name, "must lie between 0 and 1", lambda value: 0 < value < 1)
    _check(recipe, "random_operations", "must lie in [0, 8]", lambda value: 0 <= value <= 8)
    _check(recipe, "drops", "must rise, within (0, 1)", lambda drops: list(drops) == sorted({*drops}) and all(
        0 < drop < 1 for drop in drops))  # fmt: skip
    for name, most in (("learning_rate", 1e30), ("dim", 2**20), ("weight_perturbation", 1)):
        _check(recipe, name, f"must be at most {most:g}", lambda value, most=most: value <= most)
    check_eps(recipe.eps, recipe.threat)
    check_seed(recipe.seed)
    _check_together(recipe)


def _check_together(recipe: "Recipe") -> None:
    for holds, reason in (*_about_its_aims(recipe), *_about_the_adversary(recipe), *_about_the_loss(recipe)):
        if holds:
            raise UserError(reason)


def _about_its_aims(recipe: "Recipe") -> Iterator[tuple[bool, str]]:
    """Choices about what the adversary climbs, and toward what, each with what to say when it is made."""
    adversary, restarts, aims = recipe.adversary, recipe.adversary_restarts, recipe.adversary_targeted
    diverges = recipe.adversary_objective == "divergence"
    yield (
        recipe.adversary_targets == "all" and not aims,
        "adversary_targets all aims at classes: set adversary_targeted as well",
    )
    yield diverges and aims, "adversary_objective divergence is untargeted: leave adversary_targeted out"
    yield (
        diverges and (restarts > 1 or adversary not in ("none", "pgd", "fgsm")),
        "adversary_objective divergence is for pgd and fgsm, without restarts: it has no slope at the image itself",
    )
    yield (
        recipe.adversary_targets == "all" and (restarts > 1 or adversary == "apgd"),
        "adversary_targets all is for pgd, mim and fgsm, without restarts",
    )
    yield (
        restarts > 1 and recipe.adversary_batchnorm == "train",
        "adversary_batchnorm train judges an image by its batch, restarts by itself: leave adversary_restarts at 1",
    )
    yield (
        adversary == "free" and recipe.adversary_objective is not None,
        "the adversary free climbs the loss it learns from: leave adversary_objective out",
    )
    yield (
        adversary == "apgd" and recipe.adversary_step_size is not None,
        "the adversary apgd chooses its own steps: leave adversary_step_size out",
    )


def _about_the_adversary(recipe: "Recipe") -> Iterator[tuple[bool, str]]:
    adversary, restarts, aims = recipe.adversary, recipe.adversary_restarts, recipe.adversary_targeted
    yield (
        restarts > 1 and adversary not in ("pgd", "apgd"),
        f"adversary_restarts {restarts} is for pgd and apgd, not {adversary}",
    )
    yield restarts > 1 and recipe.eps == 0, f"eps 0 leaves {restarts} restarts nothing to search: raise eps"
    yield (
        adversary == "free" and (aims or recipe.adversary_clean_share > 0),
        "the adversary free is untargeted and perturbs all images: no adversary_targeted, no adversary_clean_share",
    )
    yield (
        adversary == "free" and (recipe.weight_perturbation > 0 or recipe.accumulate > 1),
        "the adversary free learns while it crafts: leave weight_perturbation at 0 and accumulate at 1",
    )


def _about_the_loss(recipe: "Recipe") -> Iterator[tuple[bool, str]]:
    loss, adversary = recipe.robust_loss, recipe.adversary
    compares = loss != "adversarial"
    yield compares and adversary == "none", f"robust_loss {loss} needs an adversary: choose pgd"
    yield (
        compares and adversary == "free",
        f"robust_loss {loss} compares images with perturbed copies, the adversary free makes none: choose pgd",
    )
    yield (
        compares and recipe.adversary_clean_share > 0,
        f"robust_loss {loss} learns from the clean images already: leave adversary_clean_share at 0",
    )
    yield (
        not compares and recipe.robust_weight is not None,
        f"robust_weight {recipe.robust_weight} weighs nothing: choose robust_loss trades, mart or alp",
    )
    yield (
        loss == "mart" and (recipe.mix != "none" or recipe.label_smoothing > 0),
        "robust_loss mart needs one label an image: leave mix at none and label_smoothing at 0",
    )
    rules = recipe.mix != "none" or recipe.label_smoothing > 0 or loss in ("mart", "alp") or recipe.accumulate > 1
    yield (
        recipe.head == "center_loss" and rules,
        "head center_loss moves its centers once a batch, by labels: no mix, label_smoothing, mart, alp, accumulate",
    )
    yield (
        recipe.averaging == "swa" and recipe.average_from == 1,
        "average_from 1 leaves swa no epoch to average: choose less",
    )
    yield (
        recipe.accumulate > recipe.batch_size,
        f"accumulate {recipe.accumulate} is more than the {recipe.batch_size} images of a batch",
    )


def check_types(recipe: "Recipe", hints: dict[str, Any]) -> None:
    """Refuse values of other types than the fields'; integers become floats where floats are meant."""
    for field in fields(recipe):
        hint, value = hints[field.name], getattr(recipe, field.name)
        if get_origin(hint) is tuple and isinstance(value, list):  # TOML has lists alone
            value = tuple(value)
            object.__setattr__(recipe, field.name, value)
        _check_type(field.name, value, hint)
        if type(value) is int and float in (hint, *get_args(hint)):
            object.__setattr__(recipe, field.name, float(value))  # equal recipes are written alike


def check_eps(eps: float | None, threat: str) -> None:
    """Budgets: 0 or more; in Linf at most 1, the whole pixel range."""
    if eps is None:
        return
    if not (math.isfinite(eps) and eps >= 0):
        raise UserError(f"eps {eps} must be 0 or more")
    if threat.lower() == "linf" and eps > 1:
        raise UserError(f"eps {eps} must be at most 1: pixels lie in [0, 1], write 8/255 for 8")


def check_seed(seed: int) -> None:
    """Seeds leave room for what is derived from them in 64 bits."""
    if not 0 <= seed < 2**62:
        raise UserError(f"seed {seed} must lie in [0, 2^62)")


def _check(recipe: "Recipe", name: str, remedy: str, holds) -> None:
    value = getattr(recipe, name)
    if value is not None and not holds(value):
        raise UserError(f"{name} {value} {remedy}")


def _check_type(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        one_of(name, value, get_args(hint))
        return
    if get_origin(hint) is tuple:
        if not (isinstance(value, tuple) and all(isinstance(each, float | int) for each in value)):
            raise UserError(f"{name} {value!r} must be numbers")
        return
    allowed = get_args(hint) or (hint,)
    if value is None and type(None) in allowed:
        return
    for kind in allowed:
        if get_origin(kind) is Literal:
            one_of(name, value, get_args(kind))
            return
    if float in allowed:
        allowed = (*allowed, int)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise UserError(f"{name} {value!r} must be {' or '.join(kind.__name__ for kind in allowed)}")
