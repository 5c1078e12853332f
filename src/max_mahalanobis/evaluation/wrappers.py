"""Modules that answer as another model does and see to something on the way."""

import contextlib
from collections.abc import Callable
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from ..attacks import is_fooled, undisturbed
from ..attacks.manners import look
from ..threats import ThreatModel
from ..types import Images, Labels, Model


class _Around(nn.Module):
    """A module of another's weights, by which it is known again, and with its features."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    @property
    def features(self) -> Callable[[Tensor], Tensor] | None:
        """The model's own, asked as the model is; None where it has none."""
        features = getattr(self.model, "features", None)
        return partial(self._ask, features) if callable(features) else None

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits."""
        return self._ask(self.model, x)

    def state_dict(self, *args, **kwargs) -> dict:
        """The model's own."""
        return self.model.state_dict(*args, **kwargs)

    def _ask(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        raise NotImplementedError


class _Buffers:
    """All buffers of a model as they are now: the tensors and their values."""

    def __init__(self, model: nn.Module):
        there = [(module, name, module._buffers[name]) for module in model.modules() for name in module._buffers]
        self._kept = [(module, name, each, each.clone()) for module, name, each in there if each is not None]

    def have_moved(self) -> bool:
        """Whether one has other values by now, also in another tensor of its name."""
        now = [(module._buffers.get(name), values) for module, name, _, values in self._kept]
        return any(buffer is None or not torch.equal(buffer, values) for buffer, values in now)

    def put_back(self) -> None:
        """Each is the tensor it was, with its values; one that was registered since stays."""
        for module, name, buffer, values in self._kept:
            buffer.data.copy_(values)
            module._buffers[name] = buffer


class Still(_Around):
    """Behaves as `model` and puts back buffers that it moves as it answers: counters, statistics in training mode."""

    @staticmethod
    def is_needed(model: nn.Module, x: Images) -> bool:
        """Whether buffers change in one forward in evaluation mode; they are put back."""
        for _ in range(2):  # the first may register what the second moves
            buffers = _Buffers(model)
            _answers(model, x)
            moved = buffers.have_moved()
            buffers.put_back()
        return moved

    def _ask(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        buffers = _Buffers(self.model)
        try:
            return function(x)
        finally:
            buffers.put_back()


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

    def _ask(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return function(x.to(self.dtype))


class Witness(nn.Module):
    """Behaves as `model` and keeps of each image the first on which it was fooled, within the threat, while an attack
    looked at it; the image itself where it was not.

    It can tell only while the attack hands in whole batches, image by image in the order of `x`.
    """

    def __init__(self, model: Model, x: Images, y: Labels, threat: ThreatModel):
        super().__init__()
        self.model, self.x, self.y, self.threat = model, x.clone(), y.clone(), threat
        self.raised: Exception | None = None  # by the model, of images as it may be asked for
        self.first, self.saw = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def forward(self, x_adv: Tensor) -> Tensor:
        """The model's logits."""
        try:
            logits = self.model(x_adv)
        except Exception as error:  # whatever a model may raise
            if x_adv.shape[1:] == self.x.shape[1:] and x_adv.dtype == self.x.dtype:
                self.raised = error
            raise
        if x_adv.shape == self.x.shape and x_adv.dtype == self.x.dtype:
            seen = x_adv.detach()
            new = is_fooled(logits.detach(), self.y) & self.threat.allows(seen, self.x) & ~self.saw
            self.first[new], self.saw = seen[new], self.saw | new
        return logits


def _answers(model: Model, x: Images) -> bool:
    """Whether the model has logits for these images; what else it raises is told where it is attacked."""
    with undisturbed(model), contextlib.suppress(Exception):
        look(model, x)
        return True
    return False
