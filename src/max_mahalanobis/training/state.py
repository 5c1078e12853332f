"""What a training needs to go on after a crash as if nothing had happened."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError
from ..models import Classifier
from ..runs import Run, load_tensors, save_tensors
from .averaging import Average

LAYOUT = "2"  # of the tensors' names


@dataclass
class Progress:
    """Where a training stands: finished epochs, and what it has counted in the one under way."""

    epoch: int = 0
    step: int = 0
    seen: int = 0
    seconds: float = 0.0
    total: Tensor | None = None  # of the losses so far, and of the images the adversary fooled: (2,)
    parts: int = 1  # in which a batch is worked through
    events: list[dict] = field(default_factory=list)  # of the epoch under way


def save_state(
    run: Run, model: Classifier, optimizers: Sequence[torch.optim.Optimizer], average: Average, progress: Progress
) -> None:
    """Weights, their average, what the optimizers remember and the progress, atomically.

    Nothing else is needed: order, augmentation and attacks are drawn from the recipe's seed and the epoch's number.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state().items()}
    for number, optimizer in enumerate(optimizers):
        for parameter, slots in optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                if value is not None:
                    tensors[f"optimizer.{number}.{parameter}.{name}"] = torch.as_tensor(value)
    if progress.total is not None:
        tensors["total"] = progress.total
    header = {"recipe": run.recipe.fingerprint, "layout": LAYOUT, "epochs_done": str(progress.epoch)}
    header |= {"step": str(progress.step), "seen": str(progress.seen), "seconds": str(progress.seconds)}
    header |= {"parts": str(progress.parts), "events": json.dumps(progress.events)}
    save_tensors(run.state_file, tensors, header)


def restore_state(
    run: Run, model: Classifier, optimizers: Sequence[torch.optim.Optimizer], average: Average
) -> Progress:
    """Put weights, average and optimizers back and return the progress: none when nothing was saved before a crash."""
    if not run.state_file.exists():
        return Progress(parts=run.recipe.accumulate)
    tensors, header = load_tensors(run.state_file)
    if header.get("recipe") != run.recipe.fingerprint:
        raise UserError(f"{run.state_file} belongs to another recipe: train into another folder, or --overwrite")
    if header.get("layout") != LAYOUT:
        raise UserError(
            f"{run.state_file} was saved by another version of mmc: --overwrite, or finish it with that one"
        )
    model.load_state_dict(_part(tensors, "model."))
    average.restore(_part(tensors, "average."))
    for number, optimizer in enumerate(optimizers):
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, f"optimizer.{number}.").items():
            parameter, slot = name.split(".", 1)
            slots.setdefault(int(parameter), {})[slot] = tensor
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    counted = {"seen": int(header["seen"]), "seconds": float(header["seconds"]), "total": tensors.get("total")}
    told = {"parts": int(header["parts"]), "events": json.loads(header["events"])}
    return Progress(int(header["epochs_done"]), int(header["step"]), **counted, **told)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
