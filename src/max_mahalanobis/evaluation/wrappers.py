"""Modules that answer as another model does and see to something on the way."""

import contextlib
from itertools import chain

import torch
from torch import Tensor, nn

from ..attacks import is_fooled, undisturbed
from ..attacks.manners import look
from ..threats import ThreatModel
from ..types import Images, Labels, Model


class _Around(nn.Module):
    """A module of another's weights, by which it is known again."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def state_dict(self, *args, **kwargs) -> dict:
        """The model's own."""
        return self.model.state_dict(*args, **kwargs)


class Still(_Around):
    """Behaves as `model` and puts back buffers that it moves as it answers: counters, statistics in training mode."""

    @staticmethod
    def is_needed(model: nn.Module, x: Images) -> bool:
        """Whether buffers change in one forward in evaluation mode; they are put back."""
        before = [buffer.clone() for buffer in model.buffers()]
        _answers(model, x)
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


class Cast(_Around):
    """Behaves as `model` and hands it images in its own float type: perturbations stay in theirs."""

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        super().__init__(model)
        self.dtype = dtype

    @classmethod
    def where_needed(cls, model: Model, x: Images) -> Model:
        """`model` itself, unless it fails on these images and answers once they are of its weights' float type."""
        tensors = chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else ()
        dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), x.dtype)
        if dtype == x.dtype or _answers(model, x):
            return model
        cast = cls(model, dtype)
        return cast if _answers(cast, x) else model

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits."""
        return self.model(x.to(self.dtype))


class Witness(nn.Module):
    """Behaves as `model` and remembers which images it was fooled on, within the threat, while an attack looked at it.

    It can tell only while the attack hands in whole batches, image by image in the order of `x`.
    """

    def __init__(self, model: Model, x: Images, y: Labels, threat: ThreatModel):
        super().__init__()
        self.model, self.x, self.y, self.threat = model, x.clone(), y.clone(), threat
        self.saw = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def forward(self, x_adv: Tensor) -> Tensor:
        """The model's logits."""
        logits = self.model(x_adv)
        if x_adv.shape == self.x.shape and x_adv.dtype == self.x.dtype:
            self.saw |= is_fooled(logits.detach(), self.y) & self.threat.allows(x_adv.detach(), self.x)
        return logits


def _answers(model: Model, x: Images) -> bool:
    """Whether the model has logits for these images; what else it raises is told where it is attacked."""
    with undisturbed(model), contextlib.suppress(Exception):
        look(model, x)
        return True
    return False
