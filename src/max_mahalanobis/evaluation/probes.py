"""What is measured of a model beside attacks on it: slopes, gaps, dependence on chance, mode and neighbours."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..attacks import OBJECTIVES, undisturbed
from ..attacks.manners import look, slope
from ..threats import ThreatModel
from ..types import Images, Labels, Logits, Mask, Model
from .signs import FEWEST, signs_of

_ALONE = 8  # images compared alone and among others


def facts_about(model: Model, x: Images, y: Labels, threat: ThreatModel, *, batch_size: int = 256) -> dict:
    """Facts about images that are classified rightly, as plain values; about 14 passes each, a batch at a time.

    Only dependence on the batch takes one of at least 8 images, whatever `batch_size` is.

    images          how many
    signs           keys of `results.SIGNS`, seen on the first batch, or eight images
    zero_gradient   by objective: share of images whose gradient in float32 is exactly 0
    non_finite_gradient  share of images on which the margin's is NaN or infinite
    logit_gap       median and largest lead of the first logit over the second
    downhill        share of images with a slope on which a step of eps / 100 along it does not raise the margin
    batch_dependence  by how much logits move when an image is alone, as a share of their spread
    training_layers   names of layers in training mode although the model was told to evaluate
    """
    batches = list(zip(x.split(batch_size), y.split(batch_size), strict=True))
    zero, finite = {}, {}
    with undisturbed(model):
        for name in ("cross_entropy", "margin"):
            flags = [_gradient_is(model, *batch, name) for batch in batches]
            zero[name], finite[name] = (torch.cat(each).double().mean().item() for each in zip(*flags, strict=True))
        logits = look_at_all(model, x, batch_size)
        top = logits.topk(2, dim=1).values
        gaps = (top[:, 0] - top[:, 1]).float()
        return {
            "images": len(x),
            "signs": signs_of(model, x[: max(FEWEST, batch_size)], batch_size=batch_size),
            "zero_gradient": zero,
            "non_finite_gradient": 1 - finite["margin"],
            "logit_gap": {"median": gaps.median().item(), "most": gaps.max().item()},
            "downhill": _share_downhill(model, batches, threat),
            "batch_dependence": _batch_dependence(model, x[: min(4 * _ALONE, max(_ALONE, batch_size))]),
            "training_layers": _training_layers(model),
        }


def look_at_all(model: Model, x: Images, batch_size: int) -> Logits:
    """Logits of all images, a batch at a time."""
    return torch.cat([look(model, some) for some in x.split(batch_size)])


def detection(model: Model, x: Images, x_adv: Images, *, batch_size: int = 256) -> dict[str, float]:
    """Area under the ROC curve when adversarial images are told from clean ones by a low score (0.5: not at all).

    Scores: the largest logit and the largest probability, as in the authors' scripts.
    """
    from sklearn.metrics import roc_auc_score

    with undisturbed(model):
        both = torch.cat([look_at_all(model, each, batch_size) for each in (x, x_adv)]).double().cpu()
    clean = [1] * len(x) + [0] * len(x_adv)
    scores = {"largest logit": both.amax(dim=1), "largest probability": both.softmax(dim=1).amax(dim=1)}
    return {name: float(roc_auc_score(clean, torch.nan_to_num(score))) for name, score in scores.items()}


def _gradient_is(model: Model, x: Images, y: Labels, objective: str) -> tuple[Mask, Mask]:
    """Per image: whether the gradient is exactly 0, and whether it is finite."""
    images = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        total = _scored(objective, y)(model(images).to(x.dtype)).sum()
    gradient = torch.autograd.grad(total, images)[0] if total.requires_grad else torch.zeros_like(x)
    return (gradient.flatten(1) == 0).all(dim=1), torch.isfinite(gradient.flatten(1)).all(dim=1)


def _share_downhill(model: Model, batches: Sequence[tuple[Tensor, Tensor]], threat: ThreatModel) -> float | None:
    """None where no image has a slope."""
    if threat.eps == 0:
        return None
    failed = torch.cat([_is_downhill(model, x, y, threat) for x, y in batches])
    return failed.double().mean().item() if len(failed) else None


def _is_downhill(model: Model, x: Images, y: Labels, threat: ThreatModel) -> Tensor:
    """Of each image with a slope, whether a small step along it does not raise the margin."""
    _, before, gradient = slope(model, x, _scored("margin", y))
    sloped = (gradient.flatten(1) != 0).any(dim=1)
    step = threat.steepest(threat.free(gradient, x)) * (threat.eps / 100)
    after = _scored("margin", y)(look(model, (x + step).clamp(0, 1)))
    return after[sloped] <= before[sloped]


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
