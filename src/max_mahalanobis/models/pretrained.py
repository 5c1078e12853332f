"""Weights to start a training from: read from a file that cannot execute anything, fitted to a classifier."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from .classifier import Classifier
from .libraries import LibraryNetwork

CLASSIFIERS = ("fc.", "linear.", "classifier.", "head.", "heads.")
"""How the last layer of networks with a softmax is called elsewhere."""
_RENAMED = ((".layer.", "."), ("convShortcut", "shortcut.0"))  # in the published wide ResNets
_UNUSED = "sub_block1."  # in TRADES's wide ResNets, which never call it
_SHOWN = 4  # names in a message


def load_pretrained(classifier: Classifier, path: Path | str) -> tuple[str, ...]:
    """Give the backbone of a classifier the weights in a file; the parts that stay fresh are returned.

    The file is in the safetensors format, or a PyTorch state dict (also inside a checkpoint, under `state_dict` or
    `model`), of one of two kinds:

    - weights.safetensors of one of our runs (`backbone.`, `head.`, `normalize.`). The head's learned parameters are
      taken where all of the new head's are there in its shapes, else it stays fresh; so do centers that are set
      beforehand, which are the recipe's. What is subtracted from the pixels stays the new classifier's.
    - weights of a network alone, by the names of its own code: the published ResNets and wide ResNets, timm's,
      torchvision's. Their last layer becomes a linear head of the same shape, or is left out.

    Whatever the backbone has must be there in its shape, and nothing else. Only its linear layer behind the pooling
    (`to_features`) may be absent, and stays fresh then. Weights are cast to the classifier's dtype.

    Raises:
        UserError: in one line, when the file cannot be read or does not fit; the classifier is then unchanged.
    """
    path = Path(path).expanduser()
    body, head = _parts(_read(path), classifier.backbone)
    own = classifier.backbone.state_dict()
    absent = [name for name in own if name not in body and not name.endswith(".num_batches_tracked")]
    fresh_layer = [name for name in own if name.startswith("to_features.")]
    if fresh_layer and set(fresh_layer) <= set(absent):
        absent = [name for name in absent if name not in fresh_layer]
    else:
        fresh_layer = []
    _check_fit(path, own, body, absent)
    classifier.backbone.load_state_dict(body, strict=False)
    learned = dict(classifier.head.named_parameters())
    fits = all(name in head and head[name].shape == parameter.shape for name, parameter in learned.items())
    if fits:
        classifier.head.load_state_dict({name: head[name] for name in learned}, strict=False)
    return ("to_features",) * bool(fresh_layer) + ("head",) * (not fits)


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file, by name."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"pretrained {path} does not exist: check the path") from error
    except Exception as error:  # arbitrary bytes make the two formats raise nearly anything
        said = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise UserError(
            f"pretrained {path} holds no weights ({said}): give a .safetensors file, or a state dict of torch.save"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(tensors, Mapping) and isinstance(tensors.get(key), Mapping):
            tensors = tensors[key]
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"pretrained {path} is no state dict (names and tensors): save model.state_dict()")
    return {str(name).removeprefix("module."): value for name, value in tensors.items()}


def _parts(tensors: dict[str, Tensor], backbone: torch.nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What belongs to the backbone, by its own names (and what nobody knows), and what a head could take."""
    if any(name.startswith("backbone.") for name in tensors):
        head = {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
        body = {name: value for name, value in tensors.items() if not name.startswith(("head.", "normalize."))}
        return {name.removeprefix("backbone."): value for name, value in body.items()}, head
    own, body, head = backbone.state_dict().keys(), {}, {}
    prefix = "network." if isinstance(backbone, LibraryNetwork) else ""
    for name, value in tensors.items():
        ours = name if name in own else prefix + name
        for theirs, renamed in _RENAMED:
            ours = ours if ours in own else ours.replace(theirs, renamed)
        if ours in own:
            body[ours] = value
        elif name.startswith(CLASSIFIERS):
            head["linear." + name.rpartition(".")[2]] = value
        elif not name.startswith(_UNUSED):
            body[name] = value
    return body, head


def _check_fit(path: Path, own: dict[str, Tensor], body: dict[str, Tensor], absent: list[str]) -> None:
    others = [
        f"{name} {tuple(body[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in body and body[name].shape != own[name].shape
    ]
    found = {"missing": absent, "unexpected": [name for name in body if name not in own], "of another shape": others}
    wrong = [f"{what} {_some(names)}" for what, names in found.items() if names]
    if wrong:
        raise UserError(f"pretrained {path} does not fit the backbone: {'; '.join(wrong)}: choose the model it is of")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
