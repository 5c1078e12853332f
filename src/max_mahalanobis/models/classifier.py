"""A classifier: pixels are normalized, a backbone makes features, a head makes logits."""

import torch
from torch import Tensor, nn

from ..heads import Head


class SubtractMean(nn.Module):
    """Subtracts a mean image (channels, height, width): the paper's preprocessing, with no division."""

    def __init__(self, mean: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)

    def forward(self, x: Tensor) -> Tensor:
        """X - mean, with x in [0, 1]."""
        return x - self.mean


class Classifier(nn.Module):
    """Images (batch, channels, height, width) in [0, 1] become logits (batch, classes).

    Normalization lives inside: everything outside, attacks above all, sees pixels in [0, 1].

    Args:
        backbone: images -> features (batch, dim); any module.
        head: features -> logits, and the training loss.
        normalize: what happens to the pixels first; nothing by default.
    """

    def __init__(self, backbone: nn.Module, head: Head, *, normalize: nn.Module | None = None):
        super().__init__()
        self.normalize = nn.Identity() if normalize is None else normalize
        self.backbone = backbone
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """The penultimate output z, shape (batch, dim)."""
        return self.backbone(self.normalize(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits; the prediction is their argmax."""
        return self.head(self.features(x))

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The head's training loss, per example: (batch,)."""
        return self.head.loss(self.features(x), labels)

    @property
    def num_parameters(self) -> int:
        """Trainable numbers (centers and running statistics are not)."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def he_normal_(module: nn.Module) -> None:
    """Keras's he_normal on every convolution and linear layer, zero biases (He et al. 2015; the authors' choice).

    A normal truncated at two standard deviations, widened so that the variance after truncation is 2 / fan_in.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            std = (2 / fan_in) ** 0.5 / 0.87962566103423978
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def weight_decay_groups(model: nn.Module, weight_decay: float, scope: str) -> list[dict]:
    """Parameter groups for an optimizer: which weights decay.

    "convolutions": convolution kernels only, as Keras's l2 in the authors' code (its penalty 1e-4 w^2 has gradient
    2e-4 w: `weight_decay=2e-4` here); "all": every parameter. Those a head moves by rates of its own are left out.
    """
    kernels = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Conv2d)}
    own = {id(p) for head in model.modules() if isinstance(head, Head) for p in map(head.get_parameter, head.own_rates)}
    moved = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    decays = [p for p in moved if scope == "all" or id(p) in kernels]
    chosen = {id(p) for p in decays}
    others = [p for p in moved if id(p) not in chosen]
    groups = [{"params": decays, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def mean_image(images: Tensor, *, chunk: int = 4096) -> Tensor:
    """Mean over a set of byte images, in [0, 1], shape (channels, height, width), float32; summed exactly."""
    scale = 1.0 if images.is_floating_point() else 255.0
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    for start in range(0, len(images), chunk):
        total += images[start : start + chunk].double().sum(dim=0)
    return (total / (scale * len(images))).float()
