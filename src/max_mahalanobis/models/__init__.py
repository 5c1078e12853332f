"""Networks from pixels to features, and the classifier that puts a head on them."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import UserError, one_of
from ..heads import make_head, settings_of
from ..recipe import Recipe
from .acceleration import PRECISIONS, accelerated, folded
from .classifier import Classifier, SubtractMean, he_normal_, mean_image, weight_decay_groups
from .compilation import check_compiler, compiled
from .libraries import library_network
from .own_network import with_head
from .paper_resnets import ResNetV1, ResNetV2
from .pretrained import load_pretrained
from .published_resnets import PreActResNet18, ResNet18, WideResNet
from .small import Mlp, SmallCnn

MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "small_cnn": SmallCnn,
    "resnet_v1": ResNetV1,
    "resnet_v2": ResNetV2,
    "resnet18": ResNet18,
    "preact_resnet18": PreActResNet18,
    "wide_resnet28_10": partial(WideResNet, depth=28),
    "wide_resnet34_10": partial(WideResNet, depth=34),
}
"""Every backbone by the recipe's name for it: image shape -> module with `dim` features."""

__all__ = [
    "MODELS",
    "PRECISIONS",
    "Classifier",
    "SubtractMean",
    "accelerated",
    "build",
    "check_compiler",
    "compiled",
    "default_dim",
    "folded",
    "he_normal_",
    "load_pretrained",
    "mean_image",
    "weight_decay_groups",
    "with_head",
]


def build(
    recipe: Recipe, image_shape: tuple[int, int, int], num_classes: int, *, mean: Tensor | None = None
) -> Classifier:
    """The untrained classifier of a recipe; its weights depend on `recipe.seed` alone, the global state is kept.

    `mean` is the training mean image, shape `image_shape`; only shapes matter when weights are loaded afterwards.
    `recipe.pretrained` is not read here: see `load_pretrained`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = _backbone(recipe, tuple(image_shape))
        head = make_head(recipe.head, backbone.dim, num_classes, seed=recipe.seed, **_head_settings(recipe))
        normalize = None
        if recipe.normalization == "pixel_mean":
            normalize = SubtractMean(torch.zeros(tuple(image_shape)) if mean is None else mean)
        classifier = Classifier(backbone, head, normalize=normalize)
        if recipe.initialization == "he_normal":
            he_normal_(classifier)
    return classifier


def default_dim(recipe: Recipe) -> int | None:
    """The number of features of a recipe's model where the recipe names none; None: what a library's network pools."""
    if ":" in recipe.model:
        return None
    one_of("model", recipe.model, MODELS)
    return inspect.signature(MODELS[recipe.model]).parameters["dim"].default


def _backbone(recipe: Recipe, image_shape: tuple[int, int, int]) -> nn.Module:
    """The published networks and those of libraries end in pooling.

    A linear layer follows it where another number of features is asked for, and under heads whose centers are set
    beforehand (mmc, mmlda): pooled features, never negative, could not reach them.
    """
    signs = "centers" in settings_of(recipe.head)
    if ":" in recipe.model:
        _check_activation(recipe, ())
        return library_network(recipe.model, image_shape, dim=recipe.dim, linear=signs)
    usual = default_dim(recipe)
    own = inspect.signature(MODELS[recipe.model]).parameters.keys()
    _check_activation(recipe, own)
    dim = usual if recipe.dim is None else recipe.dim
    chosen = {"dim": dim, "linear": signs or dim != usual}
    chosen |= {name: getattr(recipe, name) for name in ("blocks", "padding", "activation")}
    return MODELS[recipe.model](image_shape, **{name: value for name, value in chosen.items() if name in own})


def _check_activation(recipe: Recipe, own: Iterable[str]) -> None:
    if recipe.activation != "relu" and "activation" not in own:
        have = [name for name, make in MODELS.items() if "activation" in inspect.signature(make).parameters]
        raise UserError(
            f"activation {recipe.activation} is for {', '.join(have)}, not {recipe.model}: leave it at relu"
        )


def _head_settings(recipe: Recipe) -> dict:
    """What a recipe says about its head; None is the head's own default."""
    values = {name: getattr(recipe, name) for name in settings_of(recipe.head)}
    return {name: value for name, value in values.items() if value is not None}
