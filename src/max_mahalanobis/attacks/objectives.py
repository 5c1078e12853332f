"""What an attack climbs: functions of logits, per image, larger is worse for the model.

Every objective takes `(logits, labels, targets)`: logits (batch, classes), the true labels (batch,), and either
`None` (untargeted) or the classes to aim at (batch,). On an MMC model, logit k is -||z - mu_k||^2, so the center
objectives need nothing but logits and run on any model.

The paper's adaptive objectives (Pang et al. 2020, their appendix) are written with L(z, k) = ||z - mu_k||^2 / 2, that
is -h_k / 2: `un_1`, `un_2`, `tar_1`, `tar_2`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError, one_of
from ..types import Objective


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """-log softmax(h)[y], or log softmax(h)[t] when targeted (Goodfellow et al. 2015; Madry et al. 2018).

    Where the softmax saturates the gradient is exactly zero: on an MMC model with norm 10 the gap of two logits is
    222, and in float32 this objective has nothing left to climb.
    """
    if targets is None:
        return F.cross_entropy(logits, labels, reduction="none")
    return -F.cross_entropy(logits, targets, reduction="none")


def exact_cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """The same number as `cross_entropy`, log(1 + sum_{k != y} exp(h_k - h_y)), with a slope wherever float64 has one.

    What is lost in 1 - softmax(h)[y] when the gap passes 37 is kept: in float64 it has a slope up to gaps of 700.
    """
    if targets is not None:
        return cross_entropy(logits, labels, targets)
    others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1)
    return F.softplus(others - _pick(logits, labels), threshold=40.0)


def rescaled_cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Cross-entropy of the logits over the gap of the two largest, where that gap is above 1 (the scale is held fixed).

    Its softmax cannot saturate: what is left to climb does not depend on the logits' scale.
    """
    top = logits.detach().topk(min(2, logits.shape[1]), dim=1).values
    scale = (top[:, :1] - top[:, -1:]).clamp_min(1.0)
    return cross_entropy(logits / scale, labels, targets)


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


def chosen_center(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Toward the center of one class chosen beforehand, h_t = -||z - mu_t||^2; it needs targets."""
    return _pick(logits, _needed(targets, "chosen_center"))


def un_1(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """L(z, y), the loss MMC trains on: `own_distance` over 2."""
    _refused(targets, "un_1")
    return own_distance(logits, labels) / 2


def un_2(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """L(z, y) - L(z, k) with k the strongest wrong class: `margin` over 2."""
    _refused(targets, "un_2")
    return margin(logits, labels) / 2


def tar_1(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """-L(z, t): `chosen_center` over 2."""
    return own_distance(logits, labels, _needed(targets, "tar_1")) / 2


def tar_2(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """L(z, y) - L(z, t): `margin` toward the target over 2."""
    return margin(logits, labels, _needed(targets, "tar_2")) / 2


UNTARGETED_ONLY: dict[str, Objective] = {"un_1": un_1, "un_2": un_2}
TARGETED_ONLY: dict[str, Objective] = {"chosen_center": chosen_center, "tar_1": tar_1, "tar_2": tar_2}
OBJECTIVES: dict[str, Objective] = {  # with targets or without
    "cross_entropy": cross_entropy,
    "rescaled_cross_entropy": rescaled_cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "own_distance": own_distance,
    "nearest_other": nearest_other,
}


def find_objective(name: str) -> Objective:
    """The objective of a name, with targets, without, or for both."""
    every = OBJECTIVES | UNTARGETED_ONLY | TARGETED_ONLY
    one_of("objective", name, every)
    return every[name]


def _needed(targets: Tensor | None, name: str) -> Tensor:
    if targets is None:
        raise UserError(f"objective {name} aims at one class: give targets, or wrap the attack in every_target")
    return targets


def _refused(targets: Tensor | None, name: str) -> None:
    if targets is not None:
        raise UserError(f"objective {name} is untargeted: call the attack without targets")


def _pick(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _best_other(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf).max(dim=1).values
