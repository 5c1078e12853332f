"""What is measured of a model beside attacks on it: slopes, gaps, dependence on chance, mode and neighbours."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attacks import OBJECTIVES, undisturbed
from ..attacks.manners import look, slope
from ..threats import ThreatModel
from ..types import Images, Labels, Model
from .signs import signs_of

_ALONE = 8  # images compared alone and among others


def facts_about(model: Model, x: Images, y: Labels, threat: ThreatModel) -> dict:
    """Facts about images that are classified rightly, as plain values; about 14 passes each.

    images          how many
    signs           keys of `results.SIGNS`
    zero_gradient   by objective: share of images whose gradient in float32 is exactly 0
    non_finite_gradient  share of images on which the margin's is NaN or infinite
    logit_gap       median and largest lead of the first logit over the second
    downhill        share of images with a slope on which a step of eps / 100 along it does not raise the margin
    batch_dependence  by how much logits move when an image is alone, as a share of their spread
    training_layers   names of layers in training mode although the model was told to evaluate
    """
    with undisturbed(model):
        logits = look(model, x)
        top = logits.topk(2, dim=1).values
        gaps = (top[:, 0] - top[:, 1]).float()
        return {
            "images": len(x),
            "signs": signs_of(model, x),
            "zero_gradient": {name: _shares(model, x, y, name)[0] for name in ("cross_entropy", "margin")},
            "non_finite_gradient": _shares(model, x, y, "margin")[1],
            "logit_gap": {"median": gaps.median().item(), "most": gaps.max().item()},
            "downhill": _share_downhill(model, x, y, threat),
            "batch_dependence": _batch_dependence(model, x[: 4 * _ALONE]),
            "training_layers": _training_layers(model),
        }


def detection(model: Model, x: Images, x_adv: Images) -> dict[str, float]:
    """Area under the ROC curve when adversarial images are told from clean ones by a low score (0.5: not at all).

    Scores: the largest logit and the largest probability, as in the authors' scripts.
    """
    from sklearn.metrics import roc_auc_score

    with undisturbed(model):
        both = torch.cat([look(model, x), look(model, x_adv)]).double().cpu()
    clean = [1] * len(x) + [0] * len(x_adv)
    scores = {"largest logit": both.amax(dim=1), "largest probability": both.softmax(dim=1).amax(dim=1)}
    return {name: float(roc_auc_score(clean, torch.nan_to_num(score))) for name, score in scores.items()}


class Still(nn.Module):
    """Behaves as `model` and puts back buffers that it moves as it answers: counters, statistics in training mode."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    @staticmethod
    def is_needed(model: nn.Module, x: Images) -> bool:
        """Whether buffers change in one forward in evaluation mode; they are put back."""
        before = [buffer.clone() for buffer in model.buffers()]
        with undisturbed(model), contextlib.suppress(Exception):  # what the model raises is told elsewhere
            look(model, x)
        moved = any(not torch.equal(old, new) for old, new in zip(before, model.buffers(), strict=True))
        for buffer, old in zip(model.buffers(), before, strict=True):
            buffer.data.copy_(old)
        return moved

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits."""
        before = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        logits = self.model(x)
        for buffer, old in before:
            buffer.data.copy_(old)
        return logits


class Witness(nn.Module):
    """Behaves as `model` and remembers which images it was fooled on, within the threat, while an attack looked at it.

    It can tell only while the attack hands in whole batches, image by image in the order of `x`.
    """

    def __init__(self, model: Model, x: Images, y: Labels, threat: ThreatModel):
        super().__init__()
        self.model, self.x, self.y, self.threat = model, x, y, threat
        self.saw = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def forward(self, x_adv: Tensor) -> Tensor:
        """The model's logits."""
        logits = self.model(x_adv)
        if x_adv.shape == self.x.shape and x_adv.dtype == self.x.dtype:
            fooled = logits.detach().argmax(dim=1) != self.y
            self.saw |= fooled & self.threat.allows(x_adv.detach(), self.x)
        return logits


def _shares(model: Model, x: Images, y: Labels, objective: str) -> tuple[float, float]:
    """Of the images, the share whose gradient is exactly 0, and the share where it is not finite."""
    images = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        total = _scored(objective, y)(model(images).to(x.dtype)).sum()
    gradient = torch.autograd.grad(total, images)[0] if total.requires_grad else torch.zeros_like(x)
    flat, finite = (gradient.flatten(1) == 0).all(dim=1), torch.isfinite(gradient.flatten(1)).all(dim=1)
    return flat.double().mean().item(), (~finite).double().mean().item()


def _share_downhill(model: Model, x: Images, y: Labels, threat: ThreatModel) -> float | None:
    """None where no image has a slope."""
    _, before, gradient = slope(model, x, _scored("margin", y))
    sloped = (gradient.flatten(1) != 0).any(dim=1)
    if not sloped.any() or threat.eps == 0:
        return None
    step = threat.steepest(threat.free(gradient, x)) * (threat.eps / 100)
    after = _scored("margin", y)(look(model, (x + step).clamp(0, 1)))
    return (after[sloped] <= before[sloped]).double().mean().item()


def _scored(objective: str, y: Labels) -> Callable[[Tensor], Tensor]:
    return lambda logits: OBJECTIVES[objective](logits, y, None)


def _batch_dependence(model: Model, x: Images) -> float:
    together = look(model, x)[:_ALONE].double()
    alone = torch.cat([look(model, image[None]) for image in x[:_ALONE]]).double()
    spread = (together.amax(dim=1) - together.amin(dim=1)).clamp_min(1e-12)
    return torch.nan_to_num((together - alone).abs().amax(dim=1) / spread).max().item()


def _training_layers(model: Model) -> list[str]:
    if not isinstance(model, nn.Module):
        return []
    norms = nn.modules.batchnorm._BatchNorm
    return [
        name or type(module).__name__
        for name, module in model.named_modules()
        if module.training or (isinstance(module, norms) and module.running_mean is None)
    ]
