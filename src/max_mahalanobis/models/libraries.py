"""Networks of timm and torchvision as backbones, by their names there, with features where the classifier was."""

import torch
from torch import Tensor, nn

from ..errors import UserError, one_of
from .own_network import last_linear
from .published_resnets import features_layer


class LibraryNetwork(nn.Module):
    """Another library's network without its classifier, and the linear layer behind it, if any."""

    def __init__(self, network: nn.Module, to_features: nn.Module, dim: int):
        super().__init__()
        self.network = network
        self.to_features = to_features
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        return self.to_features(self.network(x))


def library_network(
    model: str, image_shape: tuple[int, int, int], *, dim: int | None = None, linear: bool = False
) -> LibraryNetwork:
    """The untrained network "timm:NAME" or "torchvision:NAME" for images of a shape.

    Its features are what its classifier saw, mostly pooled and never negative. A linear layer follows where `linear`
    asks for it, or where `dim` is another number than theirs. One black image goes through the network to count them,
    and to see that it takes images of this shape.

    Raises:
        UserError: the library cannot be imported, has no such network, or the network does not take such images.
    """
    library, _, name = model.partition(":")
    one_of("library", library, LIBRARIES)
    try:
        network = LIBRARIES[library](name, image_shape[0])
    except UserError:
        raise
    except ImportError as error:  # its compiled part may belong to another torch
        raise UserError(
            f"model {model} needs {library} ({_one_line(error)}): pip install 'max-mahalanobis[backbones]'"
        ) from error
    except Exception as error:  # each library has its own for names and settings it does not know
        raise UserError(f"{library} cannot make {name!r} ({_one_line(error)}): check the name") from error
    pooled = _num_features(model, network, image_shape)
    dim = pooled if dim is None else dim
    return LibraryNetwork(network, features_layer(model, pooled, dim, linear or dim != pooled), dim)


def _timm(name: str, channels: int) -> nn.Module:
    from timm import create_model

    return create_model(name, pretrained=False, num_classes=0, in_chans=channels)


def _torchvision(name: str, channels: int) -> nn.Module:
    try:
        from torchvision.models import get_model
    except RuntimeError as error:  # what the build for another torch raises
        raise ImportError(str(error)) from error
    if channels != 3:
        raise UserError(f"torchvision:{name} takes color images, not {channels} channels: choose a timm:NAME")
    network = get_model(name, weights=None)
    network.set_submodule(last_linear(network)[0], nn.Identity())
    return network


LIBRARIES = {"timm": _timm, "torchvision": _torchvision}
"""What makes a network without classifier, by library: (name, channels) -> module."""


def _num_features(model: str, network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    training = network.training
    try:
        with torch.no_grad():
            features = network.eval()(torch.zeros(1, *image_shape))
    except Exception as error:  # whatever its layers raise
        raise UserError(
            f"{model} does not take images {tuple(image_shape)} ({_one_line(error)}): choose another"
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UserError(f"{model} returns {found} instead of features (batch, dim): choose another model")
    network.train(training)
    return features.shape[1]


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
