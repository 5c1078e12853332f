"""Residual networks as they are published for CIFAR: ResNet-18, PreAct ResNet-18 and wide ResNets.

Convolutions without bias, BatchNorm with PyTorch's constants, global average pooling. With a linear softmax head on the
pooled features they have the published sizes. Pooled ReLU features are never negative and cannot reach centers with
negative coordinates: `linear` puts a linear layer behind the pooling, as in the paper's networks.

Layers have the names of the published code (ResNets: https://github.com/kuangliu/pytorch-cifar, wide ResNets:
https://github.com/yaodongyu/TRADES), so that weights trained there can be loaded (`models.load_pretrained`).
"""

from functools import partial

from torch import Tensor, nn

from ..errors import UserError, one_of
from .paper_resnets import check_size

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}
"""What stands between the layers, by the recipe's name for it."""


class PlainBlock(nn.Module):
    """conv-bn-activation-conv-bn beside the identity or, where the shape changes, a 1 x 1 convolution and BatchNorm."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        self.conv1, self.bn1 = _convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _convolution(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.activation = activation()
        same = inputs == outputs and stride == 1
        projection = [] if same else [_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        """activation(branch + shortcut)."""
        branch = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        return self.activation(branch + self.shortcut(x))


class PreactivatedBlock(nn.Module):
    """bn-activation-conv twice; where the shape changes, the shortcut is a 1 x 1 convolution of what is activated."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: type[nn.Module]):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _convolution(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), _convolution(outputs, outputs, 3)
        self.activation = activation()
        self.projects = inputs != outputs or stride != 1
        self.shortcut = nn.Sequential(*([_convolution(inputs, outputs, 1, stride)] if self.projects else []))

    def forward(self, x: Tensor) -> Tensor:
        """Branch + shortcut, with no activation after the sum."""
        activated = self.activation(self.bn1(x))
        branch = self.conv2(self.activation(self.bn2(self.conv1(activated))))
        return branch + self.shortcut(activated if self.projects else x)


class ResNet18(nn.Module):
    """Four stages of two basic blocks, 64 to 512 channels (He et al. 2016a, with a 3 x 3 stem for small images).

    11,173,962 parameters with a linear head of 10 classes on color images.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], *, dim: int = 512, linear: bool = False, activation: str = "relu"
    ):
        super().__init__()
        check_size("resnet18", image_shape, least=9)
        one_of("activation", activation, ACTIVATIONS)
        block = partial(PlainBlock, activation=ACTIVATIONS[activation])
        self.dim = dim
        self.conv1, self.bn1 = _convolution(image_shape[0], 64, 3), nn.BatchNorm2d(64)
        self.activation = ACTIVATIONS[activation]()
        self.layer1, self.layer2 = _stage(block, 2, 64, 64, 1), _stage(block, 2, 64, 128, 2)
        self.layer3, self.layer4 = _stage(block, 2, 128, 256, 2), _stage(block, 2, 256, 512, 2)
        self.pool = _pool()
        self.to_features = features_layer("resnet18", 512, dim, linear)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        x = self.layer1(self.activation(self.bn1(self.conv1(x))))
        return self.to_features(self.pool(self.layer4(self.layer3(self.layer2(x)))))


class PreActResNet18(nn.Module):
    """ResNet-18 of pre-activation blocks (He et al. 2016b), without BatchNorm and activation behind the last block.

    11,171,146 parameters with a linear head of 10 classes on color images, as in pytorch-cifar; the variant that ends
    in BatchNorm and ReLU, as the paper has it, counts 1,024 more.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], *, dim: int = 512, linear: bool = False, activation: str = "relu"
    ):
        super().__init__()
        check_size("preact_resnet18", image_shape, least=9)
        one_of("activation", activation, ACTIVATIONS)
        block = partial(PreactivatedBlock, activation=ACTIVATIONS[activation])
        self.dim = dim
        self.conv1 = _convolution(image_shape[0], 64, 3)
        self.layer1, self.layer2 = _stage(block, 2, 64, 64, 1), _stage(block, 2, 64, 128, 2)
        self.layer3, self.layer4 = _stage(block, 2, 128, 256, 2), _stage(block, 2, 256, 512, 2)
        self.pool = _pool()
        self.to_features = features_layer("preact_resnet18", 512, dim, linear)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        x = self.layer2(self.layer1(self.conv1(x)))
        return self.to_features(self.pool(self.layer4(self.layer3(x))))


class WideResNet(nn.Module):
    """Three stages of (depth - 4) / 6 pre-activation blocks, 16 to 64 times `width` channels; no dropout.

    Zagoruyko and Komodakis 2016 (https://arxiv.org/abs/1605.07146). With a linear head of 10 classes on color images
    WRN-28-10 has 36,479,194 parameters and WRN-34-10 46,160,474. Pooled features: 64 times `width`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        depth: int = 28,
        width: int = 10,
        dim: int = 640,
        linear: bool = False,
        activation: str = "relu",
    ):
        super().__init__()
        name = f"wide_resnet{depth}_{width}"
        if depth % 6 != 4 or depth < 10:
            raise UserError(f"depth {depth} is none of a wide ResNet: choose 6n + 4, such as 28 or 34")
        check_size(name, image_shape, least=5)
        one_of("activation", activation, ACTIVATIONS)
        block = partial(PreactivatedBlock, activation=ACTIVATIONS[activation])
        self.dim = dim
        blocks, pooled = (depth - 4) // 6, 64 * width
        self.conv1 = _convolution(image_shape[0], 16, 3)
        self.block1 = _stage(block, blocks, 16, 16 * width, 1)
        self.block2 = _stage(block, blocks, 16 * width, 32 * width, 2)
        self.block3 = _stage(block, blocks, 32 * width, pooled, 2)
        self.bn1, self.activation = nn.BatchNorm2d(pooled), ACTIVATIONS[activation]()
        self.pool = _pool()
        self.to_features = features_layer(name, pooled, dim, linear)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, dim)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.to_features(self.pool(self.activation(self.bn1(x))))


def features_layer(name: str, pooled: int, dim: int, linear: bool) -> nn.Module:
    """A linear layer from `pooled` features to `dim`, or nothing where both are the same and no layer is asked for.

    Raises:
        UserError: another `dim` than `pooled` without the layer.
    """
    if not linear and dim != pooled:
        raise UserError(f"dim {dim} needs a linear layer, {name} pools {pooled} features: linear=True")
    return nn.Linear(pooled, dim) if linear else nn.Identity()


def _stage(block: partial, count: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """`count` blocks, of which the first changes channels and size."""
    return nn.Sequential(block(inputs, outputs, stride), *(block(outputs, outputs, 1) for _ in range(count - 1)))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def _pool() -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
