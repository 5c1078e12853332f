"""Heads whose centers are set beforehand: the distance to the own one (MMC), or softmax on all distances (MMLDA)."""

from abc import ABC

import torch
from torch import Tensor

from ..centers import max_mahalanobis_centers
from ..errors import UserError, one_of
from ..losses import CONVENTIONS, minus_squared_distances, mmc_loss, mmlda_loss
from .head import Head


class FixedCentersHead(Head, ABC):
    """Centers that are set beforehand and saved with the model as a buffer, never trained."""

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
        self.num_classes = num_classes
        self.convention = convention
        self.register_buffer("centers", _fixed(centers, num_classes, dim, norm))


class MMCHead(FixedCentersHead):
    """Max-Mahalanobis centers: trained by the distance to the own center, predicting the nearest.

    The centers are a buffer: saved with the model, never trained. The simplex's all have one norm, so the difference
    of two logits is linear in the features, 2 z.(mu_i - mu_j): to a margin attack this is an ordinary linear head.

    Args:
        dim: number of features.
        num_classes: any number; beyond dim + 1 the centers are no simplex (see `centers`).
        norm: length of the centers (the paper's C_MM = 10).
        convention: of the loss, see `losses.mmc_loss`.
        centers: (num_classes, dim), to use others than the simplex; `norm` is theirs then.
    """

    def forward(self, features: Tensor) -> Tensor:
        """-||z - mu_k||^2, expanded into one matrix product; never (batch, classes, dim) in memory."""
        return minus_squared_distances(features, self.centers)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """1/2 ||z - mu_y||^2 ("paper") or ||z - mu_y||^2 ("authors_code"); no other center is touched."""
        return mmc_loss(features, self.centers, labels, convention=self.convention)

    def divergence(self, clean: Tensor, perturbed: Tensor) -> Tensor:
        """1/2 ||z - z'||^2 ("paper") or ||z - z'||^2: a softmax of these distances would be flat nearly everywhere."""
        return CONVENTIONS[self.convention] * (clean - perturbed).square().sum(dim=1)

    def pairing(self, clean: Tensor, perturbed: Tensor) -> Tensor:
        """Mean squared difference of the features: logits grow with the square of distances, features do not."""
        return (clean - perturbed).square().mean(dim=1)


class MMLDAHead(FixedCentersHead):
    """Max-Mahalanobis centers under softmax: cross-entropy on the distances to all of them (Pang et al. 2018).

    Trained with MMC's centers and SCE's supervision: only differences of distances count, so features run past their
    centers, and the loss is never 0.

    Ports report that it does not converge. What happens: the first softmax is saturated on a wrong class, and there the
    pull on a feature is 2 c ||mu_k - mu_y|| however wrong it is (c = 1/2 or 1, see `losses.mmlda_loss`). Measured on
    digits (mlp, he_normal), the first gradient of the weights is 11 ("paper") or 23 times ("authors_code") that of SCE
    at norm 10, and 120 or 240 times at norm 100: a step of SGD that suits SCE throws the features past every center.
    With SGD 0.01 (momentum 0.9, batches of 64, 10 epochs) norm 100 ends at 56 % and in NaN; with that rate over
    2 c norm / 10, at 97 and 98 %, as SCE does. Norm 10 converges either way (98 %). Adam, whose steps do not grow with
    the gradient, reaches 94 to 98 % everywhere at 0.001, and so does SGD from PyTorch's smaller first weights at norm
    10 (98 and 99 %); at norm 100 these do not save it. `mmc train` therefore divides SGD's default learning rate by
    2 c norm / 10 where that is above 1.

    Args:
        dim: number of features.
        num_classes: any number; beyond dim + 1 the centers are no simplex (see `centers`).
        norm: length of the centers.
        convention: "paper" has half the squared distance, "authors_code" all of it: logits and loss.
        centers: (num_classes, dim), to use others than the simplex; `norm` is theirs then.
    """

    def forward(self, features: Tensor) -> Tensor:
        """-1/2 ||z - mu_k||^2 ("paper") or -||z - mu_k||^2 ("authors_code")."""
        return CONVENTIONS[self.convention] * minus_squared_distances(features, self.centers)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """-log softmax of the logits, at the label."""
        return mmlda_loss(features, self.centers, labels, convention=self.convention)


def _fixed(centers: Tensor | None, num_classes: int, dim: int, norm: float | int) -> Tensor:
    """The simplex, or a copy of the centers given."""
    if centers is None:
        centers = max_mahalanobis_centers(num_classes, dim, norm=norm)
    if centers.shape != (num_classes, dim):
        raise UserError(f"centers must be ({num_classes}, {dim}), got {tuple(centers.shape)}")
    if not bool(torch.isfinite(centers).all()):
        raise UserError("centers must be finite numbers: some are NaN or infinite")
    if len(centers.unique(dim=0)) < num_classes:
        raise UserError("centers must differ: two classes share one and could not be told apart")
    return centers.to(torch.get_default_dtype(), copy=True)
