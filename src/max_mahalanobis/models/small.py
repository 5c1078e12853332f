"""Small networks for small images: features are always linear, so they can reach centers on every side of zero."""

import math

from torch import Tensor, nn

from ..errors import UserError


class Mlp(nn.Module):
    """Flattened pixels, two hidden layers of 256 with ReLU, a linear layer to the features."""

    def __init__(self, image_shape: tuple[int, int, int], *, dim: int = 64):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(image_shape), 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        return self.layers(x)


class SmallCnn(nn.Module):
    """Two 4 x 4 convolutions of stride 2 with ReLU (32, then 64 channels), a hidden layer of 128, linear features.

    Without BatchNorm; needs images of at least 4 x 4. The layout follows Wong and Kolter's MNIST network (2018,
    https://arxiv.org/abs/1711.00851), with more channels.
    """

    def __init__(self, image_shape: tuple[int, int, int], *, dim: int = 64):
        super().__init__()
        channels, height, width = image_shape
        if min(height, width) < 4:
            raise UserError(f"small_cnn needs images of at least 4 x 4 pixels, got {height} x {width}: use mlp")
        self.dim = dim
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 128),
            nn.ReLU(),
            nn.Linear(128, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        return self.layers(x)
