"""Linear models, on which the exact answer of every attack is known."""

import torch
from torch import nn


class Linear(nn.Module):
    """Logits W x + b of flattened images."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor):
        super().__init__()
        self.layer = nn.Linear(weight.shape[1], weight.shape[0])
        self.layer.weight.data, self.layer.bias.data = weight, bias

    def forward(self, x):
        return self.layer(x.flatten(1))


def linear_problem(num_classes: int, *, count: int = 40, side: int = 4, dtype=torch.float32, seed: int = 0):
    """A random linear model, images near the middle of the box, and the labels the model gives them."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_classes, side * side, generator=generator, dtype=dtype)
    x = 0.5 + 0.02 * torch.randn(count, 1, side, side, generator=generator, dtype=dtype)
    model = Linear(weight, -weight.sum(dim=1) * 0.5)
    return model, x, model(x).argmax(dim=1)


def exact_distance(model: Linear, x: torch.Tensor, y: torch.Tensor, *, dual: float) -> torch.Tensor:
    """Distance of each image to the nearest decision boundary; `dual` is the dual norm (Linf: 1, L2: 2)."""
    logits, weight = model(x), model.layer.weight
    gaps = logits.gather(1, y[:, None]) - logits
    lengths = (weight[y][:, None] - weight[None]).norm(p=dual, dim=2)
    return (gaps / lengths).masked_fill(lengths == 0, torch.inf).amin(dim=1).detach()
