"""Maps the weights of the authors' ResNets onto ours.

The authors build both networks with the functions of Keras's CIFAR-10 example, which create layers in this order: the
first convolution, then block by block the branch from its entry to its exit before the 1 x 1 convolution of the
shortcut. Ours register their layers in that order too, so the k-th convolution created is the k-th of `modules()`, and
so it is with BatchNorm. Kernels are (height, width, in, out) there and (out, in, height, width) here; dense kernels
are transposed. BatchNorm's eps (1e-3), Keras's padding and the per-pixel mean are the networks' own.

Files of MMC end at the linear layer of the features: the layer of distances has no weights, and its centers are
`max_mahalanobis_centers`, in the same orientation. Files of SCE have one dense layer more.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..data import Dataset
from ..errors import UserError, one_of
from ..models import Classifier, build, mean_image
from ..recipe import Recipe
from .keras_files import KerasFile, KerasLayer

DENSE_LAYERS = {"mmc": 1, "softmax": 2}  # by head: the features' and, for SCE, the logits'
ADVERSARIES = ("none", "untargeted", "targeted")

_RELEASED = {
    "padding": "keras",
    "convention": "authors_code",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "schedule": "step",
    "weight_decay": 2e-4,
    "batch_size": 50,
    "augmentation": "shift_flip",
}
_CONVOLUTIONS = {1: (6, 3), 2: (9, 4)}  # by version: 6 n + 3; the depth, 6 n + 2, has no shortcuts in it, but one dense
_KINDS: dict[str, tuple[type[nn.Module], dict[str, str]]] = {
    "conv2d": (nn.Conv2d, {"weight": "kernel", "bias": "bias"}),
    "batch_normalization": (
        nn.BatchNorm2d,
        {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
    ),
    "dense": (nn.Linear, {"weight": "kernel", "bias": "bias"}),
}
_AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # of Keras's array, in torch's order


def recipe_of(
    file: KerasFile,
    *,
    data: str = "cifar10",
    version: int = 2,
    blocks: int | None = None,
    head: str = "mmc",
    norm: float = 10.0,
    adversary: str = "none",
    seed: int = 0,
) -> Recipe:
    """What the authors' network in a file is, with the settings of their released training.

    The file holds weights alone. Depth and number of features are read off them; how they were trained is what the
    authors' README says (SGD 0.01, 200 epochs of batches of 50, MNIST 50 epochs), not what the file proves.

    Args:
        file: its weights.
        data: what it was trained on.
        version: 1 or 2, of the ResNet.
        blocks: n; read off the number of convolutions when omitted.
        head: mmc or softmax (SCE).
        norm: length of the centers.
        adversary: what it was trained against: none, or 10 steps of PGD at 8/256, untargeted or targeted.
        seed: of the cut between training and validation, both of which the authors trained on.

    Raises:
        UserError: the file has no dense layer, or a number of convolutions that no n gives.
    """
    one_of("head", head, DENSE_LAYERS)
    one_of("version", version, _CONVOLUTIONS)
    one_of("adversary", adversary, ADVERSARIES)
    dense = file.of("dense")
    if not dense or dense[0].weights.get("kernel", np.zeros(0)).ndim != 2:
        raise UserError(f"{file.path} has no dense layer: the features of the authors' networks come from one")
    return Recipe(
        data=data,
        model=f"resnet_v{version}",
        blocks=_blocks(file, version) if blocks is None else blocks,
        dim=dense[0].weights["kernel"].shape[1],
        head=head,
        norm=norm,
        epochs=50 if data == "mnist" else 200,
        seed=seed,
        **_RELEASED,
        **_fought(adversary, head),
    )


def classifier_of(file: KerasFile, recipe: Recipe, data: Dataset) -> Classifier:
    """The classifier of a file, in evaluation mode: a recipe from `recipe_of` and the data it was trained on.

    The image that is subtracted is the mean of all training images, as in the authors' code: ours cuts some of them
    off for validation, theirs did not. Where gray images were repeated into three channels (their MNIST), the three
    input channels of the first kernel are added up, which gives the same outputs.

    Raises:
        UserError: a layer is missing, is one too many, or has another shape; it is named.
    """
    mean = mean_image(torch.cat([data.train.images, data.validation.images]))
    model = build(recipe, data.image_shape, data.num_classes, mean=mean)
    _check_kinds(file)
    for kind, (type_, names) in _KINDS.items():
        modules = [module for module in model.modules() if type(module) is type_]
        for position, (layer, module) in enumerate(zip(_counted(file, kind, modules, recipe), modules, strict=True)):
            if kind == "conv2d" and position == 0 and data.image_shape[0] == 1:
                layer = _for_gray(layer)
            _fill(file, layer, module, names, recipe)
    return model.eval()


def _fought(adversary: str, head: str) -> dict:
    """What the recipe says of the adversary: PGD as in the authors' code, with all of its budget from the start."""
    if adversary == "none":
        return {}
    return {
        "adversary": "pgd",
        "eps": 8 / 256,
        "adversary_step_size": 2 / 256,
        "adversary_objective": "own_distance" if head == "mmc" else "cross_entropy",
        "adversary_targeted": adversary == "targeted",
        "adversary_batchnorm": "train",
        "adversary_warmup": 0.0,
    }


def _blocks(file: KerasFile, version: int) -> int:
    """How many blocks a stage has, from the number of convolutions."""
    count = len(file.of("conv2d"))
    fits = {
        each: (count - rest) // per_block
        for each, (per_block, rest) in _CONVOLUTIONS.items()
        if count > rest and (count - rest) % per_block == 0
    }
    if version not in fits:
        per_block, rest = _CONVOLUTIONS[version]
        other = f"try --version {next(iter(fits))}" if fits else "give --depth-n to hear which layer is missing"
        raise UserError(f"{file.path} has {count} convolutions, resnet_v{version} has {per_block} n + {rest}: {other}")
    return fits[version]


def _check_kinds(file: KerasFile) -> None:
    strange = [layer.name for layer in file.layers if layer.kind not in _KINDS]
    if strange:
        raise UserError(f"{file.path} has layers that the authors' networks lack: {', '.join(strange[:5])}")


def _counted(file: KerasFile, kind: str, modules: list, recipe: Recipe) -> list[KerasLayer]:
    """The layers of a kind, which must be as many as the modules."""
    layers = file.of(kind)
    if len(layers) == len(modules):
        return layers
    there = {layer.number for layer in layers}
    gaps = [f"{kind}_{number}" for number in range(min(there, default=0), max(there, default=0)) if number not in there]
    extra = ", ".join([layer.name for layer in layers[len(modules) :]][:5])
    lost = ", ".join(gaps[:5])
    which = f"{extra} beyond them" if extra else f"{lost} missing" if lost else "the first or the last missing"
    remedy = "check --head" if kind == "dense" else "check --version and --depth-n"
    raise UserError(
        f"{file.path} has {len(layers)} {kind} layers, {recipe.model} with n = {recipe.blocks} and head {recipe.head} "
        f"has {len(modules)} ({which}): {remedy}"
    )


def _for_gray(layer: KerasLayer) -> KerasLayer:
    kernel = layer.weights.get("kernel")
    if kernel is None or kernel.ndim != 4 or kernel.shape[2] != 3:
        return layer
    return KerasLayer(layer.name, layer.weights | {"kernel": kernel.sum(axis=2, keepdims=True)})


@torch.no_grad()
def _fill(file: KerasFile, layer: KerasLayer, module: nn.Module, names: dict[str, str], recipe: Recipe) -> None:
    """Copy a layer's arrays into a module, every shape checked."""
    if set(layer.weights) != set(names.values()):
        raise UserError(
            f"{file.path}: {layer.name} has {', '.join(layer.weights)} where the authors' has "
            f"{', '.join(names.values())}: not a file of theirs"
        )
    for ours, theirs in names.items():
        _copy(getattr(module, ours), layer.weights[theirs], f"{file.path}: {layer.name}/{theirs}", recipe)


def _copy(target: Tensor, array: np.ndarray, where: str, recipe: Recipe) -> None:
    axes = _AXES[target.ndim]
    needed = tuple(target.shape[axes.index(axis)] for axis in range(target.ndim))
    if array.shape != needed:
        raise UserError(
            f"{where} has shape {array.shape}, {recipe.model} with n = {recipe.blocks} for {recipe.data} needs "
            f"{needed}: check --version, --depth-n and --data"
        )
    if where.endswith("moving_variance") and array.min() < 0:
        raise UserError(f"{where} holds {array.min():g}: a variance cannot be negative, the file is damaged")
    target.copy_(torch.from_numpy(np.ascontiguousarray(array.transpose(axes))))
