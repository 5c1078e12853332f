"""One equation per function: what training minimizes, per example."""

import torch.nn.functional as F
from torch import Tensor

from .errors import one_of

CONVENTIONS = {"paper": 0.5, "authors_code": 1.0}


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], in nats; shapes (batch, classes), (batch,) -> (batch,). The paper's SCE."""
    return F.cross_entropy(logits, labels, reduction="none")


def mmc_loss(features: Tensor, centers: Tensor, labels: Tensor, *, convention: str = "paper") -> Tensor:
    """Max-Mahalanobis center loss: 1/2 ||z - mu_y||^2; shapes (batch, dim), (classes, dim), (batch,) -> (batch,).

    Pang et al. 2020 (https://arxiv.org/abs/1905.10626). Two conventions exist: "paper" (the default)
    has the printed half; "authors_code" is the whole ||z - mu_y||^2 of the released code, which at equal settings
    doubles the learning rate. Only the true class's center is touched: the cost does not grow with the classes.
    """
    one_of("convention", convention, CONVENTIONS)
    return CONVENTIONS[convention] * (features - centers[labels]).square().sum(dim=1)
