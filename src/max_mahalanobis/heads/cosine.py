"""Heads that see directions only: features and class weights are scaled to length 1, the own cosine has a margin."""

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..losses import margin_cosine_loss
from .head import Head, at_least_zero

if TYPE_CHECKING:
    from pytorch_metric_learning.losses import LargeMarginSoftmaxLoss


class HypersphereHead(Head):
    """Hypersphere embedding (HE): cosines of features and weights, scaled, with a margin for the own class.

    Pang et al. 2020 (NeurIPS, https://arxiv.org/abs/2002.08619), meant for adversarial training. The loss is that of
    CosFace, at their settings. An attack that climbs cross-entropy overstates it: look at the adaptive objectives.

    Args:
        dim: number of features.
        num_classes: number of classes.
        margin: m in [0, 2), taken off the own cosine while training.
        scale: s above 0: logits lie in [-s, s].
    """

    def __init__(self, dim: int, num_classes: int, *, margin: float | int = 0.2, scale: float | int = 15.0):
        super().__init__()
        self.num_classes = num_classes
        self.margin = _below("margin", margin, 2)
        self.scale = _positive("scale", scale)
        self.linear = nn.Linear(dim, num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """S cos(z, W_k), without the margin."""
        return self.scale * self._cosines(features)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """-log softmax(s (cos_k - m [k = y]))[y]."""
        return margin_cosine_loss(self._cosines(features), labels, scale=self.scale, margin=self.margin)

    def _cosines(self, features: Tensor) -> Tensor:
        return F.linear(F.normalize(features), F.normalize(self.linear.weight))


class MetricHead(Head):
    """A margin softmax of pytorch-metric-learning, which has the weights, the logits and the loss."""

    def __init__(self, dim: int, num_classes: int, *, margin: float | int, scale: float | int):
        super().__init__()
        self.num_classes = num_classes
        self.margin_loss = self._make(dim, num_classes, margin, _positive("scale", scale))

    @staticmethod
    @abstractmethod
    def _make(dim: int, num_classes: int, margin: float | int, scale: float | int) -> "LargeMarginSoftmaxLoss":
        """The library's loss."""

    def forward(self, features: Tensor) -> Tensor:
        """S cos(z, W_k), without the margin."""
        return self.margin_loss.get_logits(features)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """The library's loss, before it takes the mean; never in bfloat16, to which it would cast its weights."""
        with torch.autocast(features.device.type, enabled=False):
            found = self.margin_loss(features.to(self.margin_loss.W.dtype), labels)
        return found["loss"]["losses"]


class CosFaceHead(MetricHead):
    """CosFace (Wang et al. 2018, https://arxiv.org/abs/1801.09414): the margin is taken off the own cosine.

    Args:
        dim: number of features.
        num_classes: number of classes.
        margin: m in [0, 2).
        scale: s above 0.
    """

    def __init__(self, dim: int, num_classes: int, *, margin: float | int = 0.35, scale: float | int = 64.0):
        super().__init__(dim, num_classes, margin=margin, scale=scale)

    @staticmethod
    def _make(dim: int, num_classes: int, margin: float | int, scale: float | int) -> "LargeMarginSoftmaxLoss":
        losses, each = _library()
        return losses.CosFaceLoss(num_classes, dim, margin=_below("margin", margin, 2), scale=scale, reducer=each)


class ArcFaceHead(MetricHead):
    """ArcFace (Deng et al. 2019, https://arxiv.org/abs/1801.07698): the margin is added to the own angle.

    Args:
        dim: number of features.
        num_classes: number of classes.
        margin: m in radians, in [0, pi); the paper's 0.5 is 28.6 degrees.
        scale: s above 0.
    """

    def __init__(self, dim: int, num_classes: int, *, margin: float | int = 0.5, scale: float | int = 64.0):
        super().__init__(dim, num_classes, margin=margin, scale=scale)

    @staticmethod
    def _make(dim: int, num_classes: int, margin: float | int, scale: float | int) -> "LargeMarginSoftmaxLoss":
        losses, each = _library()
        degrees = math.degrees(_below("margin", margin, math.pi))
        return losses.ArcFaceLoss(num_classes, dim, margin=degrees, scale=scale, reducer=each)


def _library() -> tuple:
    """The library's losses, and the reducer that leaves one loss per example."""
    try:
        from pytorch_metric_learning import losses
        from pytorch_metric_learning.reducers import DoNothingReducer
    except ImportError as error:
        raise UserError(
            f"heads cosface and arcface need pytorch-metric-learning ({error}): pip install 'max-mahalanobis[metric]'"
        ) from error
    return losses, DoNothingReducer()


def _below(name: str, value: float | int, limit: float | int) -> float | int:
    if at_least_zero(name, value) >= limit:
        raise UserError(f"{name} {value} must be below {limit:.4g}")
    return value


def _positive(name: str, value: float | int) -> float | int:
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name} {value} must be above 0")
    return value
