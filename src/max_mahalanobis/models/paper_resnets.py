"""The paper's two residual networks, with the linear layer after pooling that the MMC loss needs.

The authors take both from Keras's CIFAR-10 example (convolutions with bias, BatchNorm with eps 1e-3) and put a linear
layer with bias after global average pooling: pooled ReLU outputs alone are never negative and could not reach centers
with negative coordinates. What the paper calls ResNet-32 is, in the released recipe, `ResNetV2` with n = 5: 47 layers.

Keras's padding "same" is not torch's where a 3 x 3 convolution of stride 2 meets an even side: it puts its one row or
column of zeros behind the image, torch (padding=1) puts one before, and the kernel lands one pixel further. Only
`ResNetV1` halves with such convolutions; `padding="keras"` gives it the authors' arithmetic.
"""

from torch import Tensor, nn

from ..errors import UserError, one_of


def _batchnorm(channels: int) -> nn.BatchNorm2d:
    """Keras's constants: eps 1e-3; its momentum 0.99 is 0.01 in torch's convention."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


class BasicBlock(nn.Module):
    """conv-bn-relu-conv-bn beside the identity or, where the shape changes, a 1 x 1 convolution; ReLU of the sum.

    `zeros`: rows and columns put (left, right, above, below) the image first; one everywhere by default.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, zeros: tuple[int, int, int, int] | None = None):
        super().__init__()
        padded = [nn.ZeroPad2d(zeros), nn.Conv2d(inputs, outputs, 3, stride=stride)] if zeros else []
        self.branch = nn.Sequential(
            *(padded or [_convolution(inputs, outputs, 3, stride)]),
            _batchnorm(outputs),
            nn.ReLU(),
            _convolution(outputs, outputs, 3),
            _batchnorm(outputs),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """relu(branch + shortcut)."""
        return self.relu(self.branch(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """Pre-activation: (bn-relu-)conv 1 x 1, bn-relu-conv 3 x 3, bn-relu-conv 1 x 1, added to the shortcut."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int, *, first: bool, preactivate: bool):
        super().__init__()
        activation = [_batchnorm(inputs), nn.ReLU()] if preactivate else []
        self.branch = nn.Sequential(
            *activation,
            _convolution(inputs, middle, 1, stride),
            _batchnorm(middle),
            nn.ReLU(),
            _convolution(middle, middle, 3),
            _batchnorm(middle),
            nn.ReLU(),
            _convolution(middle, outputs, 1),
        )
        self.shortcut = _convolution(inputs, outputs, 1, stride) if first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Branch + shortcut, with no activation after the sum."""
        return self.branch(x) + self.shortcut(x)


class ResNetV1(nn.Module):
    """Basic blocks of 16, 32, 64 channels: depth 6n + 2 (He et al. 2016a, section 4.2), 64 features by default.

    `padding`: of the two 3 x 3 convolutions that halve the image, torch's or Keras's (see the top of this file).
    """

    def __init__(self, image_shape: tuple[int, int, int], *, blocks: int = 5, dim: int = 64, padding: str = "torch"):
        super().__init__()
        check_size("resnet_v1", image_shape)
        one_of("padding", padding, ("torch", "keras"))
        self.dim = dim
        layers: list[nn.Module] = [_convolution(image_shape[0], 16, 3), _batchnorm(16), nn.ReLU()]
        inputs, (_, height, width) = 16, image_shape
        for stage, outputs in enumerate((16, 32, 64)):
            for block in range(blocks):
                halves = stage > 0 and block == 0
                zeros = (width % 2, 1, height % 2, 1) if halves and padding == "keras" else None
                layers.append(BasicBlock(inputs, outputs, stride=2 if halves else 1, zeros=zeros))
                if halves:
                    height, width = (height + 1) // 2, (width + 1) // 2
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.to_features = _pooled_linear(inputs, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        return self.to_features(self.layers(x))


class ResNetV2(nn.Module):
    """Pre-activation bottlenecks of 64, 128, 256 channels: depth 9n + 2 (He et al. 2016b), 256 features by default."""

    def __init__(self, image_shape: tuple[int, int, int], *, blocks: int = 5, dim: int = 256):
        super().__init__()
        check_size("resnet_v2", image_shape)
        self.dim = dim
        layers: list[nn.Module] = [_convolution(image_shape[0], 16, 3), _batchnorm(16), nn.ReLU()]
        inputs = 16
        for stage, (middle, outputs) in enumerate(((16, 64), (64, 128), (128, 256))):
            for block in range(blocks):
                first = block == 0
                stride = 2 if stage > 0 and first else 1
                preactivate = not (stage == 0 and first)
                layers.append(Bottleneck(inputs, middle, outputs, stride, first=first, preactivate=preactivate))
                inputs = outputs
        self.layers = nn.Sequential(*layers, _batchnorm(inputs), nn.ReLU())
        self.to_features = _pooled_linear(inputs, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        return self.to_features(self.layers(x))


def check_size(name: str, image_shape: tuple[int, int, int], *, least: int = 5) -> None:
    """Refuse images that would be halved to one pixel: BatchNorm has no variance of one value."""
    if min(image_shape[1:]) < least:
        raise UserError(
            f"{name} needs images of at least {least} x {least} pixels, got {image_shape[1]} x {image_shape[2]}: "
            "use mlp"
        )


def _pooled_linear(channels: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, dim))
