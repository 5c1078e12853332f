"""Attacks: functions from (model, x, y) to perturbed images. They see logits and nothing else of the model."""

from ..types import Attack
from .compose import random_wrong_targets, toward_random_class
from .gradient import bim, fgsm, mim, pgd
from .manners import is_fooled, undisturbed
from .objectives import OBJECTIVES, cross_entropy, dlr, margin, nearest_other, own_distance

ATTACKS: dict[str, Attack] = {"fgsm": fgsm, "bim": bim, "pgd": pgd, "mim": mim}

__all__ = [
    "ATTACKS",
    "OBJECTIVES",
    "bim",
    "cross_entropy",
    "dlr",
    "fgsm",
    "is_fooled",
    "margin",
    "mim",
    "nearest_other",
    "own_distance",
    "pgd",
    "random_wrong_targets",
    "toward_random_class",
    "undisturbed",
]
