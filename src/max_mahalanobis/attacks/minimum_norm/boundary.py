"""The nearest decision boundary as the model's slopes draw it: several backwards through one graph."""

import torch
from torch import Tensor

from ...threats import L1, L2, Linf, ThreatModel
from ...types import Model

DUALS: dict[str, ThreatModel] = {"Linf": L1(1), "L2": L2(1), "L1": Linf(1)}  # slopes are measured in the dual norm


def nearest_boundary(model: Model, x: Tensor, y: Tensor, rivals: Tensor, threat: ThreatModel) -> tuple[Tensor, Tensor]:
    """Of the linearized boundaries between `y` and each rival the one nearest in the threat's norm: (gap, normal).

    gap = h_k - h_y (batch,), below 0 while the rival k is behind, and normal = its gradient in the images. The distance
    is |gap| / ||normal||, in the dual norm. One forward, and one backward for each column of `rivals` (batch, rivals);
    no more than two gradients are held at a time. A boundary without a slope, or with logits that are not finite, is
    no boundary: where all are so, gap and normal are 0.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x).to(x.dtype)
        leads = logits.gather(1, rivals) - logits.gather(1, y[:, None])
        sums = leads.sum(dim=0)
        sums = sums.unbind() if sums.requires_grad else ()  # a model may have no slope at all
    leads, normal = leads.detach(), torch.zeros_like(x)
    gap, nearest = torch.zeros_like(leads[:, 0]), torch.full_like(leads[:, 0], torch.inf)
    for column, total in enumerate(sums):
        gradient = torch.autograd.grad(total, x, retain_graph=column + 1 < len(sums))[0]
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        lead = leads[:, column]
        distance = lead.abs() / DUALS[threat.name].size(gradient)
        nearer = distance < nearest  # also False where there is no number
        nearest, gap = torch.where(nearer, distance, nearest), torch.where(nearer, lead, gap)
        normal = torch.lerp(normal, gradient, nearer.to(x.dtype).view(-1, 1, 1, 1))
    return gap, normal.detach()


def all_others(y: Tensor, num_classes: int) -> Tensor:
    """Every class but the image's own, shape (batch, classes - 1)."""
    return (y[:, None] + torch.arange(1, num_classes, device=y.device)) % num_classes


def strongest_others(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """The `count` classes of the largest logits beside the image's own (all when there are fewer)."""
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices
