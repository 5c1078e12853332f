"""Features become logits: each head pairs a scoring rule with the loss that trains it."""

import inspect
from typing import Any

from ..centers import make_centers
from ..errors import UserError, one_of
from .cosine import ArcFaceHead, CosFaceHead, HypersphereHead, MetricHead
from .fixed import MMCHead, MMLDAHead
from .general import GeneralSoftmaxHead
from .head import Head
from .learned import CenterLossHead, LargeMarginGaussianHead
from .linear import SoftmaxHead, SquaredHead

__all__ = [
    "HEADS",
    "ArcFaceHead",
    "CenterLossHead",
    "CosFaceHead",
    "GeneralSoftmaxHead",
    "Head",
    "HypersphereHead",
    "LargeMarginGaussianHead",
    "MMCHead",
    "MMLDAHead",
    "MetricHead",
    "SoftmaxHead",
    "SquaredHead",
    "heads_with",
    "make_head",
    "no_setting",
    "settings_of",
]

HEADS: dict[str, type[Head]] = {
    "softmax": SoftmaxHead,
    "mmc": MMCHead,
    "mmlda": MMLDAHead,
    "center_loss": CenterLossHead,
    "large_margin_gaussian": LargeMarginGaussianHead,
    "hypersphere": HypersphereHead,
    "squared": SquaredHead,
    "cosface": CosFaceHead,
    "arcface": ArcFaceHead,
}


def settings_of(name: str) -> dict[str, Any]:
    """The settings of a head with their defaults; `centers` is the kind of centers."""
    one_of("head", name, HEADS)
    parameters = inspect.signature(HEADS[name]).parameters.values()
    settings = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return settings | ({"centers": "maximal"} if "centers" in settings else {})


def heads_with(setting: str) -> list[str]:
    """The heads that have a setting."""
    return [name for name in HEADS if setting in settings_of(name)]


def make_head(name: str, dim: int, num_classes: int, *, seed: int = 0, **settings: Any) -> Head:
    """The head of a name with its settings, defaults for the others; `centers` is a kind, drawn from `seed`."""
    own = settings_of(name)
    for setting, value in settings.items():
        if setting not in own:
            raise UserError(no_setting(name, setting, value))
    if "centers" in own:
        settings = own | settings
        kind, norm = settings["centers"], settings["norm"]
        settings["centers"] = make_centers(kind, num_classes, dim, norm=norm, seed=seed)
    return HEADS[name](dim, num_classes, **settings)


def no_setting(name: str, setting: str, value: object, *, remedy: str = "leave it out") -> str:
    """What to say when a head is given a setting that it does not have."""
    has = heads_with(setting)
    others = f", or choose head {' or '.join(has)}" if has else ""
    return f"{setting} {value} is no setting of head {name}: {remedy}{others}"
