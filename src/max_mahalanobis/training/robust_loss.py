"""What training minimizes: the loss of clean images, of perturbed ones, or a trade-off of both, with any head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data import Batch
from ..heads import Head
from ..losses import mart_loss
from ..models import Classifier
from ..recipe import Recipe

WEIGHTS = {"trades": 6.0, "mart": 5.0, "alp": 0.5}
"""Usual weights of the robust terms; "adversarial" has none."""


class RobustLoss(nn.Module):
    """The classifier together with the loss of a recipe, in one forward: what several processes share gradients of."""

    def __init__(self, classifier: Classifier, recipe: Recipe):
        super().__init__()
        self.classifier = classifier
        self._loss = LOSSES[recipe.robust_loss]
        self._settings = {"weight": recipe.robust_weight, "smoothing": recipe.label_smoothing}

    def forward(self, batch: Batch, x_adv: Tensor | None) -> tuple[Tensor, Tensor]:
        """The loss, and whether the model errs on what it saw last (the perturbed images, if any): both (batch,)."""
        return self._loss(self.classifier, batch, x_adv, **self._settings)


def adversarial(
    model: Classifier, batch: Batch, x_adv: Tensor | None, *, weight: float | None, smoothing: float
) -> tuple[Tensor, Tensor]:
    """L(z', y), the head's loss of the perturbed images (Madry et al. 2018); of the clean ones without adversary."""
    z = model.features(batch.x if x_adv is None else x_adv)
    return label_loss(model.head, z, batch, smoothing), _errs(model.head, z, batch)


def trades(model: Classifier, batch: Batch, x_adv: Tensor, *, weight: float, smoothing: float) -> tuple[Tensor, Tensor]:
    """L(z, y) + weight D(z, z') with the head's own divergence D: KL under softmax, 1/2 ||z - z'||^2 for MMC.

    Zhang et al. 2019 (https://arxiv.org/abs/1901.08573, equation 5; `weight` is their 1 / lambda).
    """
    z, z_adv = model.features(batch.x), model.features(x_adv)
    loss = label_loss(model.head, z, batch, smoothing) + weight * model.head.divergence(z, z_adv)
    return loss, _errs(model.head, z_adv, batch)


def mart(model: Classifier, batch: Batch, x_adv: Tensor, *, weight: float, smoothing: float) -> tuple[Tensor, Tensor]:
    """See `losses.mart_loss`; the head's losses and divergence take the place of cross-entropy and KL."""
    head, y = model.head, batch.labels
    z, z_adv = model.features(batch.x), model.features(x_adv)
    rival = head(z_adv.detach()).scatter(1, y[:, None], -torch.inf).argmax(dim=1)
    losses = head.loss(z_adv, y), head.loss(z_adv, rival), head.loss(z, y)
    return mart_loss(*losses, head.divergence(z, z_adv), weight=weight), _errs(head, z_adv, batch)


def alp(model: Classifier, batch: Batch, x_adv: Tensor, *, weight: float, smoothing: float) -> tuple[Tensor, Tensor]:
    """1/2 L(z, y) + 1/2 L(z', y) + weight times the head's pairing of z and z' (mean squared difference of logits).

    Adversarial logit pairing (Kannan et al. 2018, https://arxiv.org/abs/1803.06373) with half of the images perturbed.
    """
    z, z_adv = model.features(batch.x), model.features(x_adv)
    both = label_loss(model.head, z, batch, smoothing) + label_loss(model.head, z_adv, batch, smoothing)
    return 0.5 * both + weight * model.head.pairing(z, z_adv), _errs(model.head, z_adv, batch)


LOSSES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "adversarial": adversarial,
    "trades": trades,
    "mart": mart,
    "alp": alp,
}


def label_loss(head: Head, features: Tensor, batch: Batch, smoothing: float) -> Tensor:
    """The head's loss expected under the labels' distribution, (batch,): sum_k q_k L(z, k).

    q is the label alone; shared with the other label where images are mixed; and, of a share `smoothing`, uniform over
    all classes (Szegedy et al. 2016). For cross-entropy this is the loss of soft labels; here it holds for any head.
    """
    loss = head.loss(features, batch.labels)
    if batch.other_labels is not None:
        loss = batch.shares * loss + (1 - batch.shares) * head.loss(features, batch.other_labels)
    if smoothing > 0:
        every = [head.loss(features, torch.full_like(batch.labels, k)) for k in range(head.num_classes)]
        loss = (1 - smoothing) * loss + smoothing * torch.stack(every).mean(dim=0)
    return loss


@torch.no_grad()
def _errs(head: Head, features: Tensor, batch: Batch) -> Tensor:
    return head(features).argmax(dim=1) != batch.labels
