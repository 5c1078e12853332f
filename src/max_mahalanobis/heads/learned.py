"""Heads that learn where their centers stand: center loss beside softmax, large-margin Gaussians."""

import torch
from torch import Tensor, nn

from ..losses import center_loss, general_logits, large_margin_gaussian_loss, softmax_cross_entropy
from .head import Head, at_least_zero

LEAST_VARIANCE = 1e-3  # of a Gaussian, in every direction: the likelihood alone would shrink them without end


class CenterLossHead(Head):
    """A linear layer under softmax, with features drawn to the learned center of their class (Wen et al. 2016).

    Prediction is the linear layer's; the centers only train. They begin at 0 and follow the rule of
    `losses.center_loss` at the rate alpha, in your own loop too:

        SGD([{"params": others}, {"params": [head.centers], "lr": head.own_rates["centers"], "momentum": 0}])

    Args:
        dim: number of features.
        num_classes: number of classes.
        center_weight: lambda, of the center loss beside SCE. Wen et al. use 0.003 for faces; here 0.01.
        center_rate: alpha in [0, 1], the share of the way to the batch's mean that a center of many images goes (0.5).
    """

    def __init__(
        self, dim: int, num_classes: int, *, center_weight: float | int = 0.01, center_rate: float | int = 0.5
    ):
        super().__init__()
        self.num_classes = num_classes
        self.center_weight = at_least_zero("center_weight", center_weight)
        self.own_rates = {"centers": at_least_zero("center_rate", center_rate, most=1)}
        self.linear = nn.Linear(dim, num_classes)
        self.centers = nn.Parameter(torch.zeros(num_classes, dim))

    def forward(self, features: Tensor) -> Tensor:
        """W z + b."""
        return self.linear(features)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """-log softmax(W z + b)[y] + lambda/2 ||z - c_y||^2."""
        drawn = center_loss(features, self.centers, labels)
        return softmax_cross_entropy(self(features), labels) + self.center_weight * drawn


class LargeMarginGaussianHead(Head):
    """A Gaussian per class with learned center and diagonal covariance (L-GM, Wan et al. 2018).

    Logits are the log-densities of the classes, without margin: the margin only trains. Centers begin as standard
    normal draws, variances about 1; no variance falls below 0.001 (the likelihood term would otherwise sink without
    end as features, centers and variances shrink together).

    Args:
        dim: number of features.
        num_classes: number of classes.
        margin: their alpha, 0 or more.
        center_weight: their lambda, of the likelihood.
    """

    def __init__(self, dim: int, num_classes: int, *, margin: float | int = 0.3, center_weight: float | int = 0.1):
        super().__init__()
        self.num_classes = num_classes
        self.margin = at_least_zero("margin", margin)
        self.center_weight = at_least_zero("center_weight", center_weight)
        self.centers = nn.Parameter(torch.randn(num_classes, dim))
        self.log_variances = nn.Parameter(torch.zeros(num_classes, dim))

    @property
    def variances(self) -> Tensor:
        """Diagonals of the covariances, (classes, dim), above 0.001."""
        return LEAST_VARIANCE + self.log_variances.exp()

    def forward(self, features: Tensor) -> Tensor:
        """h_k = -1/2 (z - mu_k)^T Lambda_k^-1 (z - mu_k) - 1/2 log det Lambda_k."""
        variances = self.variances
        return general_logits(features, self.centers, 0.5 / variances, -0.5 * variances.log().sum(dim=1))

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """-log softmax(h - margin d_y e_y)[y] - lambda h_y, see `losses.large_margin_gaussian_loss`."""
        return large_margin_gaussian_loss(
            features, self.centers, self.variances, labels, margin=self.margin, center_weight=self.center_weight
        )
