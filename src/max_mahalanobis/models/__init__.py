"""Networks from pixels to features, and the classifier that puts a head on them."""

import torch
from torch import Tensor, nn

from ..errors import one_of
from ..heads import make_head, settings_of
from ..recipe import Recipe
from .acceleration import PRECISIONS, accelerated, folded
from .classifier import Classifier, SubtractMean, he_normal_, mean_image, weight_decay_groups
from .own_network import with_head
from .paper_resnets import ResNetV1, ResNetV2
from .small import Mlp, SmallCnn

MODELS: dict[str, type[nn.Module]] = {
    "mlp": Mlp,
    "small_cnn": SmallCnn,
    "resnet_v1": ResNetV1,
    "resnet_v2": ResNetV2,
}

__all__ = [
    "MODELS",
    "PRECISIONS",
    "Classifier",
    "SubtractMean",
    "accelerated",
    "build",
    "folded",
    "he_normal_",
    "mean_image",
    "weight_decay_groups",
    "with_head",
]


def build(
    recipe: Recipe, image_shape: tuple[int, int, int], num_classes: int, *, mean: Tensor | None = None
) -> Classifier:
    """The untrained classifier of a recipe; its weights depend on `recipe.seed` alone, the global state is kept.

    `mean` is the training mean image, shape `image_shape`; only shapes matter when weights are loaded afterwards.
    """
    one_of("model", recipe.model, MODELS)
    settings = {} if recipe.dim is None else {"dim": recipe.dim}
    if recipe.model.startswith("resnet"):
        settings["blocks"] = recipe.blocks
    if recipe.model == "resnet_v1":
        settings["padding"] = recipe.padding
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = MODELS[recipe.model](tuple(image_shape), **settings)
        head = make_head(recipe.head, backbone.dim, num_classes, seed=recipe.seed, **_head_settings(recipe))
        normalize = None
        if recipe.normalization == "pixel_mean":
            normalize = SubtractMean(torch.zeros(tuple(image_shape)) if mean is None else mean)
        classifier = Classifier(backbone, head, normalize=normalize)
        if recipe.initialization == "he_normal":
            he_normal_(classifier)
    return classifier


def _head_settings(recipe: Recipe) -> dict:
    """What a recipe says about its head; None is the head's own default."""
    values = {name: getattr(recipe, name) for name in settings_of(recipe.head)}
    return {name: value for name, value in values.items() if value is not None}
