"""What a training needs to go on after a crash as if nothing had happened."""

import torch

from ..errors import UserError
from ..models import Classifier
from ..runs import Run, load_tensors, save_tensors


def save_state(run: Run, model: Classifier, optimizer: torch.optim.Optimizer, epochs_done: int) -> None:
    """Weights and optimizer after `epochs_done` epochs, atomically.

    Nothing else is needed: order, augmentation and attacks are drawn from the recipe's seed and the epoch's number.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, slots in optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            if value is not None:
                tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    save_tensors(run.state_file, tensors, {"recipe": run.recipe.fingerprint, "epochs_done": str(epochs_done)})


def restore_state(run: Run, model: Classifier, optimizer: torch.optim.Optimizer) -> int:
    """Put weights and optimizer back and return the epochs done: 0 when none was finished before the crash."""
    if not run.state_file.exists():
        return 0
    tensors, header = load_tensors(run.state_file)
    if header.get("recipe") != run.recipe.fingerprint:
        raise UserError(f"{run.state_file} belongs to another recipe: train into another folder, or --overwrite")
    model.load_state_dict(_part(tensors, "model."))
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer.").items():
        number, slot = name.split(".", 1)
        slots.setdefault(int(number), {})[slot] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(header["epochs_done"])


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
