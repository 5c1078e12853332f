"""Attacks: functions from (model, x, y) to perturbed images. They see logits and nothing else of the model."""

from ..types import Attack
from .auto_pgd import apgd
from .compose import cascade, expectation_over, strongest_of, transferred_from, where_close
from .corruptions import CORRUPTIONS, corrupt
from .costs import length_of, most_passes, within_passes
from .gradient import bim, fgsm, mim, pgd
from .gradient_free.noise import gaussian_noise, random_search, uniform_noise
from .gradient_free.spsa import spsa
from .gradient_free.square import square
from .manners import is_fooled, undisturbed
from .minimum_norm.box_lbfgs import lbfgs
from .minimum_norm.carlini_wagner import cw_l2
from .minimum_norm.ddn import ddn
from .minimum_norm.deep_fool import deepfool
from .minimum_norm.elastic_net import ead
from .minimum_norm.fab import fab
from .minimum_norm.fmn import fmn
from .minimum_norm.saliency_map import jsma
from .objectives import (
    OBJECTIVES,
    TARGETED_ONLY,
    UNTARGETED_ONLY,
    chosen_center,
    cross_entropy,
    dlr,
    find_objective,
    margin,
    nearest_other,
    own_distance,
    rescaled_cross_entropy,
    tar_1,
    tar_2,
    un_1,
    un_2,
)
from .transformations import rotation, rotation_translation
from .tries import every_target, nearest_targets, random_wrong_targets, restarts, toward_random_class

GRADIENT: dict[str, Attack] = {"fgsm": fgsm, "bim": bim, "pgd": pgd, "mim": mim, "apgd": apgd}
MINIMUM_NORM: dict[str, Attack] = {
    "deepfool": deepfool,
    "fab": fab,
    "fmn": fmn,
    "ddn": ddn,
    "cw_l2": cw_l2,
    "ead": ead,
    "lbfgs": lbfgs,
    "jsma": jsma,
}
GRADIENT_FREE: dict[str, Attack] = {
    "square": square,
    "spsa": spsa,
    "random_search": random_search,
    "uniform_noise": uniform_noise,
    "gaussian_noise": gaussian_noise,
}
TRANSFORMATIONS: dict[str, Attack] = {
    "rotation": rotation,
    "rotation_translation": rotation_translation,
    "corrupt": corrupt,
}
ATTACKS: dict[str, Attack] = GRADIENT | MINIMUM_NORM | GRADIENT_FREE | TRANSFORMATIONS

__all__ = [
    "ATTACKS",
    "CORRUPTIONS",
    "GRADIENT",
    "GRADIENT_FREE",
    "MINIMUM_NORM",
    "OBJECTIVES",
    "TARGETED_ONLY",
    "TRANSFORMATIONS",
    "UNTARGETED_ONLY",
    "apgd",
    "bim",
    "cascade",
    "chosen_center",
    "corrupt",
    "cross_entropy",
    "cw_l2",
    "ddn",
    "deepfool",
    "dlr",
    "ead",
    "every_target",
    "expectation_over",
    "fab",
    "fgsm",
    "find_objective",
    "fmn",
    "gaussian_noise",
    "is_fooled",
    "jsma",
    "lbfgs",
    "length_of",
    "margin",
    "mim",
    "most_passes",
    "nearest_other",
    "nearest_targets",
    "own_distance",
    "pgd",
    "random_search",
    "random_wrong_targets",
    "rescaled_cross_entropy",
    "restarts",
    "rotation",
    "rotation_translation",
    "spsa",
    "square",
    "strongest_of",
    "tar_1",
    "tar_2",
    "toward_random_class",
    "transferred_from",
    "un_1",
    "un_2",
    "undisturbed",
    "uniform_noise",
    "where_close",
    "within_passes",
]
