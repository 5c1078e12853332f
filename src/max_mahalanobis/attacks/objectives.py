"""What an attack climbs: functions of logits, per image, larger is worse for the model.

Every objective takes `(logits, labels, targets)`: logits (batch, classes), the true labels (batch,), and either
`None` (untargeted) or the classes to aim at (batch,). On an MMC model, logit k is -||z - mu_k||^2, so the center
objectives need nothing but logits and run on any model.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Objective


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """-log softmax(h)[y], or log softmax(h)[t] when targeted (Goodfellow et al. 2015; Madry et al. 2018).

    Where the softmax saturates the gradient is exactly zero: on an MMC model with norm 10 the gap of two logits is
    222, and in float32 this objective has nothing left to climb.
    """
    if targets is None:
        return F.cross_entropy(logits, labels, reduction="none")
    return -F.cross_entropy(logits, targets, reduction="none")


def margin(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """max_{k != y} h_k - h_y, or h_t - h_y when targeted; positive once the model errs (Carlini and Wagner 2017)."""
    rival = _best_other(logits, labels) if targets is None else _pick(logits, targets)
    return rival - _pick(logits, labels)


def dlr(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """The margin over a difference of sorted logits, so that rescaling changes nothing (Croce and Hein 2020).

    Untargeted: over h_(1) - h_(3); targeted: over h_(1) - (h_(3) + h_(4)) / 2. With fewer than 3 classes, and
    targeted with fewer than 4, over the range of the logits, h_(1) - h_(last).
    """
    ordered = logits.sort(dim=1, descending=True).values
    num_classes = logits.shape[1]
    if num_classes < (3 if targets is None else 4):
        scale = ordered[:, 0] - ordered[:, -1]
    elif targets is None:
        scale = ordered[:, 0] - ordered[:, 2]
    else:
        scale = ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2
    return margin(logits, labels, targets) / (scale + 1e-12)


def own_distance(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Away from the own center: -h_y = ||z - mu_y||^2; targeted: toward the target's center, h_t.

    The paper's first adaptive objectives (un,1 and tar,1), up to their factor 1/2. Its gradient vanishes where the
    features sit on the center.
    """
    return -_pick(logits, labels) if targets is None else _pick(logits, targets)


def nearest_other(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Toward the nearest other center, chosen anew at every step: max_{k != y} h_k; targeted: h_t.

    The feature-space attack of Zimmermann et al. (2022, https://arxiv.org/abs/2206.13991) on this defense.
    """
    return _best_other(logits, labels) if targets is None else _pick(logits, targets)


OBJECTIVES: dict[str, Objective] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "own_distance": own_distance,
    "nearest_other": nearest_other,
}


def _pick(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _best_other(logits: Tensor, labels: Tensor) -> Tensor:
    own = F.one_hot(labels, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(dim=1)
