"""How attacks treat a model: evaluation mode, nothing trained, everything put back as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..threats import check_images
from ..types import Mask, Model


@contextmanager
def undisturbed(model: Model, *, mode: str = "eval") -> Iterator[None]:
    """Within: parameters need no gradients and the model is in evaluation mode; afterwards all is as before.

    `mode="train"` is for adversarial training in the authors' manner: batch statistics are used while crafting, and
    the running ones are put back. A model that is a plain function is left alone.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    training = [(module, module.training) for module in model.modules()]
    needed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    running = [(buffer, buffer.clone()) for buffer in _running_statistics(model)] if mode == "train" else []
    try:
        if any(flag != (mode == "train") for _, flag in training):
            model.train(mode == "train")
        for parameter in needed:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in needed:
            parameter.requires_grad_(True)
        for module, flag in training:
            module.training = flag
        for buffer, before in running:
            buffer.copy_(before)


def slope(model: Model, x: Tensor, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, their score and the score's gradient in the images: one forward and one backward.

    `score` maps logits (batch, classes) to one number per image. Logits come in the images' dtype, whatever the
    model computes in; where a model has no slope (NaN, infinite, or not differentiable), the gradient is 0.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = logits_of(model, x).to(x.dtype)
        with explained(logits):
            scores = score(logits)
        total = scores.sum()
    if not total.requires_grad:
        return logits, scores, torch.zeros_like(x)
    gradient = torch.autograd.grad(total, x)[0]
    return logits.detach(), scores.detach(), torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


def look(model: Model, x: Tensor) -> Tensor:
    """Logits in the images' dtype, for one forward and nothing more."""
    with torch.no_grad():
        return logits_of(model, x).to(x.dtype)


def logits_of(model: Model, x: Tensor) -> Tensor:
    """What the model answers, which must be a tensor (UserError)."""
    logits = model(x)
    if not isinstance(logits, Tensor):
        kind = type(logits).__name__
        raise UserError(f"the model must return logits (batch, classes), got {kind}: wrap it in a function that does")
    return logits


def is_fooled(logits: Tensor, y: Tensor) -> Mask:
    """Per image: the prediction is not the true label, or no prediction can be made of the logits.

    None can be made where any logit is NaN or infinite: one class at -inf, and every image counts as fooled.
    """
    return (logits.argmax(dim=1) != y) | ~(logits.abs().amax(dim=1) < torch.inf)


def check_call(model: Model, x: Tensor, y: Tensor, targets: Tensor | None, seeds: Tensor | None) -> None:
    """Refuse images, labels, targets or seeds that no attack could use."""
    check_images(x, y)
    for name, value in (("targets", targets), ("seeds", seeds)):
        if value is not None and (value.shape != y.shape or value.is_floating_point()):
            raise UserError(f"{name} must be {len(y)} integers, got {value.dtype} {tuple(value.shape)}")
    if targets is not None and bool((targets < 0).any()):
        raise UserError(f"targets must be classes, counted from 0: there is {int(targets.min())}")
    if targets is not None and bool((targets == y).any()):
        raise UserError(f"targets must differ from the labels, image {int((targets == y).nonzero()[0])} has both equal")


@contextmanager
def explained(logits: Tensor) -> Iterator[None]:
    """Within: what torch or Python says of an objective, labels or targets comes in words of the call, if at fault."""
    try:
        yield
    except (IndexError, RuntimeError, TypeError) as error:
        if "out of bounds" in str(error) or "Class values must be" in str(error):
            classes = f"classes of the model, 0 to {logits.shape[-1] - 1}"
            raise UserError(f"labels and targets must be {classes}") from error
        if "'str' object is not callable" in str(error):
            remedy = "objective=margin, from max_mahalanobis.attacks"
            raise UserError(f"an objective is a function, not its name: {remedy}") from error
        raise


def _running_statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            yield from module.buffers()
