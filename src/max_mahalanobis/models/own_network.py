"""Your own network under a head of ours: its last layer is replaced."""

from collections.abc import Callable

from torch import nn

from ..errors import UserError
from ..heads import Head
from .classifier import Classifier


def with_head(
    network: nn.Module,
    head: Callable[..., Head],
    num_classes: int,
    *,
    dim: int | None = None,
    linear: bool = True,
    last: str | None = None,
    normalize: nn.Module | None = None,
    **settings,
) -> Classifier:
    """A classifier of `network`, whose last linear layer now makes features, with a head on them.

    Networks that end in pooling after a ReLU (ResNets and most others) have features that are never negative. A softmax
    layer does not mind; the centers of MMC have negative coordinates, which such features cannot reach, and the loss
    stays above half the squared length of what is negative in the center. So a linear layer with bias, freshly
    initialized, takes the place of the old last layer, as in the paper's networks. `linear=False` leaves it out, for
    features that already reach both signs.

    `network` itself is changed. One that already returns features, with nothing to replace, needs no more than
    `Classifier(network, head)`.

    Args:
        network: images -> logits, for example of torchvision or timm; any module with an `nn.Linear` at its end.
        head: `MMCHead`, `SoftmaxHead` or whatever takes (dim, num_classes, **settings).
        num_classes: of the head; the old layer's may differ.
        dim: number of features (as many as the old layer took).
        linear: whether a linear layer makes them.
        last: name of the layer to replace, as in `named_modules`: fc, classifier.6, ... (the last `nn.Linear`).
        normalize: what happens to pixels in [0, 1] first, such as the subtraction of a mean.
        settings: of the head, such as norm=10.0.

    Raises:
        UserError: there is no linear layer (of that name), or `dim` is another than what is there without `linear`.
    """
    name, old = last_linear(network, last)
    dim = old.in_features if dim is None else dim
    if not linear and dim != old.in_features:
        raise UserError(
            f"dim {dim} needs a linear layer, the features before {name} are {old.in_features}: linear=True"
        )
    made = head(dim, num_classes, **settings)  # refuses before anything is changed
    new = nn.Linear(old.in_features, dim, device=old.weight.device, dtype=old.weight.dtype)
    network.set_submodule(name, new if linear else nn.Identity())
    return Classifier(network, made.to(old.weight.device, old.weight.dtype), normalize=normalize)


def last_linear(network: nn.Module, name: str | None = None) -> tuple[str, nn.Linear]:
    """The linear layer of a name, or the last one, with its name.

    Raises:
        UserError: there is none (of that name).
    """
    inside = dict(list(network.named_modules())[1:])
    name = name or next((name for name in reversed(inside) if isinstance(inside[name], nn.Linear)), "")
    layer = inside.get(name)
    if not isinstance(layer, nn.Linear):
        found = "no linear layer inside" if layer is None else f"{type(layer).__name__} at {name!r}"
        raise UserError(
            f"{type(network).__name__} has {found}: name the nn.Linear to replace with last=, or make the network "
            "return features and use Classifier(network, head)"
        )
    return name, layer
