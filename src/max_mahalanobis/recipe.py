"""A recipe: everything that decides a trained model, as one frozen record in a TOML file."""

import hashlib
import json
import math
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from .errors import UserError, one_of

FORMAT = 1  # of a run folder; raised when an older mmc could not read what a newer one writes

ModelName = Literal["mlp", "small_cnn", "resnet_v1", "resnet_v2"]
HeadName = Literal[
    "softmax",
    "mmc",
    "mmlda",
    "center_loss",
    "large_margin_gaussian",
    "hypersphere",
    "squared",
    "cosface",
    "arcface",
]
ObjectiveName = Literal["cross_entropy", "rescaled_cross_entropy", "margin", "dlr", "own_distance", "nearest_other"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a trained model. `None` means: the default that goes with the other choices."""

    data: str = "digits"
    """digits, mnist, fashion-mnist, cifar10, cifar100, a .npz file or a folder of images"""
    validation: float = 0.1
    """share of the training images kept apart for validation"""
    model: ModelName = "mlp"
    """backbone"""
    blocks: int = 5
    """n of the ResNets: depth 6n+2 (resnet_v1) or 9n+2 (resnet_v2)"""
    padding: Literal["torch", "keras"] = "torch"
    """where resnet_v1 pads before it halves an even side: on all sides, or right and below alone, as the authors'"""
    dim: int | None = None
    """number of features (the model's own: 64; resnet_v2 256)"""
    normalization: Literal["pixel_mean", "none"] = "pixel_mean"
    """what the classifier does to pixels first: subtract the training mean image, as in the paper, or nothing"""
    initialization: Literal["he_normal", "torch"] = "he_normal"
    """first weights: Keras's he_normal, as the authors', or PyTorch's own, smaller: better where the norm is small"""
    head: HeadName = "mmc"
    """what makes logits of features, with the loss that trains it"""
    norm: float = 10.0
    """mmc, mmlda: length of the class centers (a norm, not its square)"""
    convention: Literal["paper", "authors_code"] = "paper"
    """mmc, mmlda: half the squared distance (paper) or all of it (authors_code)"""
    centers: Literal["maximal", "random"] = "maximal"
    """mmc, mmlda: as far apart as geometry allows, or drawn on the sphere from the seed"""
    margin: float | None = None
    """what the own class is held back by in training: large_margin_gaussian (0.3, of its distance), hypersphere (0.2)
    and cosface (0.35, of the cosine), arcface (0.5, radians)"""
    scale: float | None = None
    """hypersphere (15), cosface, arcface (64): what cosines are multiplied by"""
    center_weight: float | None = None
    """lambda, of the pull to the own center: center_loss (0.01), large_margin_gaussian (0.1)"""
    center_rate: float | None = None
    """alpha, how fast the centers of center_loss follow the features (0.5)"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or SGD with momentum 0.9"""
    learning_rate: float | None = None
    """initial learning rate (adam 0.001, sgd 0.01; mmlda with sgd: less where centers are long)"""
    schedule: Literal["step", "cosine"] = "cosine"
    """step: times 0.1 after 1/2 and again after 3/4 of the epochs, as the paper's 200 on CIFAR; cosine: to zero"""
    weight_decay: float = 0.0
    """L2 pull on the weights, in SGD's terms (the paper's Keras l2(1e-4) is 2e-4 here)"""
    weight_decay_scope: Literal["convolutions", "all"] = "convolutions"
    """which weights decay: convolution kernels only, as in the paper, or every parameter"""
    epochs: int = 30
    """passes over the training images"""
    batch_size: int = 64
    """images a step"""
    augmentation: Literal["none", "shift", "shift_flip", "crop_flip"] = "none"
    """shift: by up to 1/10 of the side, edges repeated; crop: 4 pixels of padding; flip: left-right"""
    adversary: Literal["none", "pgd"] = "none"
    """what training fights"""
    threat: Literal["linf", "l2"] = "linf"
    """norm that bounds the adversary"""
    eps: float | None = None
    """the adversary's budget, in pixels of [0, 1] (the data set's usual one)"""
    adversary_steps: int = 10
    """PGD steps on every batch"""
    adversary_step_size: float | None = None
    """length of a step at the full budget, shrinking with it (2.5 eps / steps)"""
    adversary_objective: ObjectiveName | None = None
    """what the adversary climbs (mmc: own_distance; mmlda, large_margin_gaussian, cosface, arcface: margin; others:
    cross_entropy)"""
    adversary_targeted: bool = False
    """aim at a random wrong class instead of away from the true one"""
    adversary_batchnorm: Literal["eval", "train"] = "eval"
    """BatchNorm while crafting: running statistics (eval) or the batch's own, as in the authors' code (train)"""
    adversary_warmup: float = 0.4
    """share of the training over which the budget grows from 0 to eps"""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """arithmetic of the training step"""
    seed: int = 0
    """the one door for randomness"""

    def __post_init__(self):
        """Refuse what could not train."""
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            _check_type(field.name, value, hints[field.name])
            if type(value) is int and float in (hints[field.name], *get_args(hints[field.name])):
                object.__setattr__(self, field.name, float(value))  # equal recipes are written alike
        for name in ("epochs", "batch_size", "blocks", "adversary_steps"):
            _check(1 <= getattr(self, name) < 2**31, name, getattr(self, name), "must lie in [1, 2^31)")
        for name in ("learning_rate", "adversary_step_size", "norm", "dim", "scale"):
            value = getattr(self, name)
            _check(value is None or (math.isfinite(value) and value > 0), name, value, "must be above 0")
        for name in ("weight_decay", "margin", "center_weight"):
            value = getattr(self, name)
            _check(value is None or 0 <= value < math.inf, name, value, "must be 0 or more, and finite")
        rate = self.center_rate
        _check(rate is None or 0 <= rate <= 1, "center_rate", rate, "must lie in [0, 1]")
        _check(0 < self.validation < 1, "validation", self.validation, "must lie between 0 and 1")
        _check(0 <= self.adversary_warmup <= 1, "adversary_warmup", self.adversary_warmup, "must lie in [0, 1]")
        check_eps(self.eps, self.threat)
        check_seed(self.seed)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when anything in the recipe does.

        Of the fields that differ from their defaults: a field added later, whose default means what was done before,
        leaves the fingerprints of older runs as they are.
        """
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]

    def to_toml(self, **sections: dict) -> str:
        """The file's text: the format, the recipe's fields, and the section `trained_on` (facts, not choices)."""
        import tomli_w

        settings = {key: value for key, value in asdict(self).items() if value is not None}
        return tomli_w.dumps({"format": FORMAT} | settings | sections)

    @classmethod
    def from_toml(cls, path: Path) -> "Recipe":
        """The recipe in a file; the section [trained_on] has facts about a run, not choices."""
        values = read_toml(path)
        settings = {key: value for key, value in values.items() if key not in ("format", "trained_on")}
        for key in settings:
            one_of(f"setting in {path}:", key, [field.name for field in fields(cls)])
        return cls(**settings)


def read_toml(path: Path) -> dict:
    """A recipe file as a dict, its format checked."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): give a recipe.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a recipe: {error}") from error
    found = values.get("format")
    if not isinstance(found, int):
        raise UserError(f"{path} is not a recipe: it has no line 'format = {FORMAT}'")
    if found > FORMAT:
        raise UserError(f"{path} has format {found}, this version reads up to {FORMAT}: update mmc")
    return values


def check_eps(eps: float | None, threat: str) -> None:
    """Budgets: 0 or more; in Linf at most 1, the whole pixel range."""
    if eps is None:
        return
    _check(math.isfinite(eps) and eps >= 0, "eps", eps, "must be 0 or more")
    _check(
        threat.lower() != "linf" or eps <= 1, "eps", eps, "must be at most 1: pixels lie in [0, 1], write 8/255 for 8"
    )


def check_seed(seed: int) -> None:
    """Seeds leave room for what is derived from them in 64 bits."""
    _check(0 <= seed < 2**62, "seed", seed, "must lie in [0, 2^62)")


def _check(holds: bool, name: str, value, remedy: str) -> None:
    if not holds:
        raise UserError(f"{name} {value} {remedy}")


def _check_type(name: str, value, hint) -> None:
    if get_origin(hint) is Literal:
        one_of(name, value, get_args(hint))
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
