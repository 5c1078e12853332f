"""How a model stands on images it does not learn from: clean, and against a short attack."""

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attacks import is_fooled, margin, pgd, undisturbed
from ..models import Classifier
from ..recipe import Recipe
from ..threats import make_threat
from ..types import Split, as_pixels

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ATTACKED = 1000  # validation images, from the first
STEPS = 10  # of PGD on the margin, which no head's loss can flatten


def accuracy(model: Classifier, split: Split, *, batch_size: int = 512) -> float:
    """Share of the images that a model in evaluation mode classifies rightly, in [0, 1]."""
    return _right(model, split, batch_size) / len(split.labels)


def validate(model: Classifier, split: Split, recipe: Recipe, fabric: "Fabric") -> dict[str, float]:
    """`validation_accuracy` and, where an adversary is fought, `robust_validation_accuracy` at the full budget.

    The latter is under 10 steps of PGD on the margin, of the first 1,000 images. Processes share the images.
    """
    found = {"validation_accuracy": _shared(_right, model, split, fabric)}
    if recipe.adversary != "none":
        attack = partial(pgd, threat=make_threat(recipe.threat, recipe.eps), objective=margin, steps=STEPS)
        held = partial(_held, attack=attack)
        found["robust_validation_accuracy"] = _shared(held, model, split.first(ATTACKED), fabric)
    return found


def is_finite(model: Classifier, split: Split) -> bool:
    """Whether weights, and logits for some images, are finite numbers."""
    weights = all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    return weights and bool(torch.isfinite(_logits(model, split, torch.arange(min(512, len(split.labels))))).all())


def _shared(count, model: Classifier, split: Split, fabric: "Fabric") -> float:
    """The share of the images that `count` counts, each process counting its own."""
    mine = Split(*(tensor[fabric.global_rank :: fabric.world_size] for tensor in split))
    found = torch.tensor(count(model, mine) if len(mine.labels) else 0)
    if fabric.world_size > 1:
        found = fabric.all_reduce(found.to(fabric.device), reduce_op="sum")
    return int(found) / len(split.labels)


def _right(model: Classifier, split: Split, batch_size: int = 512) -> int:
    batches = torch.arange(len(split.labels)).split(batch_size)
    return sum(int((_logits(model, split, rows).argmax(dim=1) == split.labels[rows]).sum()) for rows in batches)


def _held(model: Classifier, split: Split, *, attack, batch_size: int = 256) -> int:
    """How many images are classified rightly after the attack; their seeds are their places in the published set."""
    device, held = next(model.parameters()).device, 0
    with undisturbed(model):
        for rows in torch.arange(len(split.labels)).split(batch_size):
            x, y, seeds = as_pixels(split.images[rows]).to(device), split.labels[rows].to(device), split.index[rows]
            x_adv = attack(model, x, y, seeds=seeds.to(device))
            with torch.no_grad():
                held += int((~is_fooled(model(x_adv), y)).sum())
    return held


def _logits(model: Classifier, split: Split, rows: Tensor) -> Tensor:
    """Logits of a model in evaluation mode, on the CPU."""
    device = next(model.parameters()).device
    with undisturbed(model), torch.no_grad():
        return model(as_pixels(split.images[rows].to(device))).cpu()
