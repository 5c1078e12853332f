"""Counting what an attack spends, by a wrapper around the model."""

from torch import Tensor, nn

from ..types import Model


class PassCounter(nn.Module):
    """Behaves as `model` does and counts images times passes: `forwards`, and `backwards` to the input."""

    def __init__(self, model: Model):
        super().__init__()
        self.model = model
        self.forwards = 0
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits; a gradient that flows back through them is counted."""
        self.forwards += len(x)
        logits = self.model(x)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)
