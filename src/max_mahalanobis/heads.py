"""Features become logits: each head pairs a scoring rule with the loss that trains it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .centers import max_mahalanobis_centers
from .errors import UserError, one_of
from .losses import CONVENTIONS, mmc_loss, softmax_cross_entropy


class Head(nn.Module, ABC):
    """Owns its centers or weights; `forward` gives logits of shape (batch, classes), larger is likelier."""

    num_classes: int

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, classes) of features (batch, dim)."""

    @abstractmethod
    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """What training minimizes, per example: (batch,)."""


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


class MMCHead(Head):
    """Max-Mahalanobis centers: trained by the distance to the own center, predicting the nearest.

    The centers are a buffer: saved with the model, never trained. The simplex's all have one norm, so the difference
    of two logits is linear in the features, 2 z.(mu_i - mu_j): to a margin attack this is an ordinary linear head.

    Args:
        dim: number of features.
        num_classes: at most dim + 1 unless `centers` are given.
        norm: length of the centers (the paper's C_MM = 10).
        convention: of the loss, see `losses.mmc_loss`.
        centers: (num_classes, dim), to use others than the simplex; `norm` is theirs then.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        norm: float | int = 10.0,
        convention: str = "paper",
        centers: Tensor | None = None,
    ):
        super().__init__()
        one_of("convention", convention, CONVENTIONS)
        if centers is None:
            centers = max_mahalanobis_centers(num_classes, dim, norm=norm)
        if centers.shape != (num_classes, dim):
            raise UserError(f"centers must be ({num_classes}, {dim}), got {tuple(centers.shape)}")
        self.num_classes = num_classes
        self.convention = convention
        self.register_buffer("centers", centers.to(torch.get_default_dtype(), copy=True))

    def forward(self, features: Tensor) -> Tensor:
        """-||z - mu_k||^2, expanded into one matrix product; never (batch, classes, dim) in memory."""
        bias = -self.centers.square().sum(dim=1)
        cross = torch.addmm(bias, features, self.centers.T, alpha=2)
        return cross - features.square().sum(dim=1, keepdim=True)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """1/2 ||z - mu_y||^2 ("paper") or ||z - mu_y||^2 ("authors_code"); no other center is touched."""
        return mmc_loss(features, self.centers, labels, convention=self.convention)


HEADS: dict[str, type[Head]] = {"softmax": SoftmaxHead, "mmc": MMCHead}


def make_head(name: str, dim: int, num_classes: int, *, norm: float | int = 10.0, convention: str = "paper") -> Head:
    """The head of a name; settings a head does not have are not passed on."""
    one_of("head", name, HEADS)
    if name == "mmc":
        return MMCHead(dim, num_classes, norm=norm, convention=convention)
    return SoftmaxHead(dim, num_classes)
