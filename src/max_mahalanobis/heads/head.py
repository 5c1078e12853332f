"""What every head is: a scoring rule paired with the loss that trains it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from ..errors import UserError
from ..losses import kl_divergence


class Head(nn.Module, ABC):
    """Owns its centers or weights; `forward` gives logits of shape (batch, classes), larger is likelier.

    `own_rates` names parameters that do not follow the optimizer: plain SGD moves them at the rate given, without
    momentum, decay or schedule (the centers of center loss).
    """

    num_classes: int
    own_rates: Mapping[str, float | int] = {}

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Logits (batch, classes) of features (batch, dim)."""

    @abstractmethod
    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """What training minimizes, per example: (batch,)."""

    def divergence(self, clean: Tensor, perturbed: Tensor) -> Tensor:
        """How far the output for perturbed features is from that for clean ones, in the head's own measure: (batch,).

        KL(softmax(h) || softmax(h')); heads without softmax have a distance. Both are (batch, dim).
        """
        return kl_divergence(self(clean), self(perturbed))

    def pairing(self, clean: Tensor, perturbed: Tensor) -> Tensor:
        """Mean squared difference of the logits: (batch,). Adversarial logit pairing (Kannan et al. 2018)."""
        return (self(clean) - self(perturbed)).square().mean(dim=1)


def at_least_zero(name: str, value: float | int, *, most: float | int = math.inf) -> float | int:
    """The value of a setting, refused unless finite and in [0, most]."""
    if not (math.isfinite(value) and 0 <= value <= most):
        upper = "" if math.isinf(most) else f" and at most {most}"
        raise UserError(f"{name} {value} must be 0 or more{upper}")
    return value
