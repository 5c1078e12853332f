"""The loss around an image, on a plane through it that holds the attack's direction."""

import torch
from torch import Tensor

from ..attacks import cross_entropy, margin, undisturbed
from ..attacks.manners import look
from ..draws import derive, normal
from ..threats import L0, ThreatModel
from ..types import Images, Labels, Mask, Model, Seeds

REACH = 1.5  # budgets, to each side
STEPS = 25  # values along each direction; the image itself is the middle one
_STREAM = 7  # of an image's draws


def has_plane(x: Images, x_adv: Images, threat: ThreatModel) -> Mask:
    """Per image: the attack moved it, in a norm in which a direction can be shortened."""
    return (threat.size(x_adv - x) > 0) & (threat.eps > 0 and not isinstance(threat, L0))


def surfaces_around(
    model: Model, x: Images, x_adv: Images, y: Labels, *, threat: ThreatModel, seeds: Seeds, batch_size: int = 256
) -> dict[str, Tensor]:
    """Cross-entropy and margin on a plane around each image, each (batch, STEPS, STEPS), float32.

    Columns go along `x_adv - x`, rows along a random direction orthogonal to it, drawn from the image's seed; both
    directions are one budget long and reach from -REACH to REACH; pixels are clipped to [0, 1]. Beside them `size`:
    how large the change is after clipping, in budgets; and `attacked`, (batch,): how far along the first direction the
    attack went.
    """
    length = threat.size(x_adv - x).view(-1, 1, 1, 1)
    along = (x_adv - x) * (threat.eps / length)
    across = _across(along, derive(seeds, _STREAM), threat)
    found = [
        _plane(model, *each, threat=threat, batch_size=batch_size)
        for each in zip(x, along, across, y, strict=True)
    ]  # fmt: skip
    planes = {name: torch.stack([each[name] for each in found]) for name in found[0]}
    return planes | {"attacked": (length.flatten() / threat.eps).float()}


def steps_along(device: torch.device | str = "cpu") -> Tensor:
    """Where the values stand along each direction, in budgets; 0 and 1 are among them."""
    return torch.linspace(-REACH, REACH, STEPS, device=device)


def _across(along: Tensor, seeds: Tensor, threat: ThreatModel) -> Tensor:
    """A random direction for each, orthogonal to the first and as long in the threat's norm."""
    drawn = threat.steepest(normal(seeds, along[0].numel()).view_as(along).to(along)).flatten(1).double()
    first = along.flatten(1).double()
    share = (drawn * first).sum(dim=1, keepdim=True) / (first * first).sum(dim=1, keepdim=True)
    across = (drawn - share * first).view_as(along)
    tiny = torch.finfo(across.dtype).tiny
    return (across * (threat.eps / threat.size(across).clamp_min(tiny)).view(-1, 1, 1, 1)).to(along)


def _plane(
    model: Model, image: Tensor, along: Tensor, across: Tensor, label: Tensor, *, threat: ThreatModel, batch_size: int
) -> dict[str, Tensor]:
    steps = steps_along(image.device).to(image)
    rows, columns = (grid.flatten() for grid in torch.meshgrid(steps, steps, indexing="ij"))
    parts: dict[str, list[Tensor]] = {"cross_entropy": [], "margin": [], "size": []}
    with undisturbed(model):
        for some in torch.arange(len(rows)).split(batch_size):
            a, b = columns[some].view(-1, 1, 1, 1), rows[some].view(-1, 1, 1, 1)
            points = (image + a * along + b * across).clamp(0, 1)
            logits, labels = look(model, points), label.expand(len(some))
            parts["cross_entropy"].append(cross_entropy(logits, labels))
            parts["margin"].append(margin(logits, labels))
            parts["size"].append(threat.size(points - image) / threat.eps)
    return {name: torch.cat(values).view(STEPS, STEPS).float() for name, values in parts.items()}
