"""Heads that are one linear layer: under softmax (SCE), or fitted to one-hot codes by least squares."""

from torch import Tensor, nn

from ..losses import softmax_cross_entropy, squared_loss
from .head import Head


class SoftmaxHead(Head):
    """A linear layer under softmax cross-entropy: the paper's SCE."""

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.linear = nn.Linear(dim, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """W z + b."""
        return self.linear(features)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """-log softmax(W z + b)[label]."""
        return softmax_cross_entropy(self(features), labels)


class SquaredHead(Head):
    """A linear layer fitted to one-hot codes: the plain baseline (Hui and Belkin 2021; theory in Hu et al. 2021)."""

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.linear = nn.Linear(dim, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """W z + b, about 1 at the predicted class and 0 elsewhere: no gap saturates a softmax here."""
        return self.linear(features)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """1/2 ||W z + b - e_y||^2."""
        return squared_loss(self(features), labels)

    def divergence(self, clean: Tensor, perturbed: Tensor) -> Tensor:
        """1/2 ||h - h'||^2, the loss with the clean output in the label's place."""
        return 0.5 * (self(clean) - self(perturbed)).square().sum(dim=1)
