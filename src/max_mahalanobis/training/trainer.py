"""The one loop: clean or against an adversary, the same recipe gives the same weights."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attacks import undisturbed
from ..data import Dataset, augment
from ..draws import derive
from ..errors import TrainingDiverged, UserError
from ..heads import settings_of
from ..models import Classifier, build, mean_image
from ..recipe import Recipe
from ..runs import Run, read_metrics, save_tensors, write_metrics
from ..types import Split, as_pixels
from .adversary import Adversary, budget, make_adversary
from .schedule import fill_defaults, learning_rate, make_optimizers
from .state import restore_state, save_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule

Progress = Callable[[dict], None]  # called after steps with epoch, epochs, step, steps, loss, ...
CHECK_EVERY = 20  # steps between looks at the loss, each of which waits for the device


def train(
    recipe: Recipe,
    data: Dataset,
    *,
    run: Run | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Classifier:
    """The classifier a recipe makes of a data set, in evaluation mode.

    Same recipe, data and thread count: the same weights, bit for bit on a CPU, also when `resume` continues a run that
    was stopped at any moment. With `run`, every epoch is saved; the test split is never touched.

    Args:
        device: auto, cpu, cuda or mps, as lightning-fabric names accelerators.
        progress: called every few steps with a dict of plain values.

    Raises:
        TrainingDiverged: the loss is no longer finite; the last finished epoch stays in `run`.
    """
    from lightning_fabric import Fabric

    recipe = fill_defaults(recipe)
    if run is not None and fill_defaults(run.recipe) != recipe:
        raise UserError(f"{run.path} was made for another recipe: make one for this recipe with create_run")
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.precision)
    model = build(recipe, data.image_shape, data.num_classes, mean=mean_image(data.train.images)).to(fabric.device)
    optimizers = make_optimizers(model, recipe)
    first = restore_state(run, model, optimizers[0]) if run is not None and resume else 0
    wrapped, *steppers = fabric.setup(model, *optimizers)
    loop = _Loop(recipe, fabric, wrapped, steppers, _on(fabric.device, data.train), progress)
    metrics = [line for line in read_metrics(run) if line["epoch"] < first] if run is not None else []
    for epoch in range(first, recipe.epochs):
        line = loop.run_epoch(epoch)
        line["validation_accuracy"] = accuracy(model, data.validation)
        if not _is_finite(model, data.validation):
            raise TrainingDiverged(f"weights after epoch {epoch + 1} give no finite logits: {loop.remedy}")
        metrics.append(line)
        if progress is not None:
            progress(line | {"epochs": recipe.epochs, "epoch_done": True})
        if run is not None:
            write_metrics(run, metrics)
            save_state(run, model, optimizers[0], epoch + 1)
    model = model.cpu().eval()
    if run is not None:
        save_tensors(run.weights_file, model.state_dict(), {"recipe": run.recipe.fingerprint})
    return model


def accuracy(model: Classifier, split: Split, *, batch_size: int = 512) -> float:
    """Share of the images that a model in evaluation mode classifies rightly, in [0, 1]."""
    batches = torch.arange(len(split.labels)).split(batch_size)
    right = sum(int((_logits(model, split, rows).argmax(dim=1) == split.labels[rows]).sum()) for rows in batches)
    return right / len(split.labels)


@dataclass(frozen=True)
class _Loop:
    """Everything one pass over the training images needs."""

    recipe: Recipe
    fabric: "Fabric"
    model: "_FabricModule"
    optimizers: list[torch.optim.Optimizer]  # the first follows the schedule
    split: Split
    progress: Progress | None

    @property
    def remedy(self) -> str:
        norm = " or --norm" if "norm" in settings_of(self.recipe.head) else ""
        return f"lower --learning-rate (now {self.recipe.learning_rate:g}){norm}; the last finished epoch is kept"

    def run_epoch(self, epoch: int) -> dict:
        """One pass over the training images; the epoch's line of metrics."""
        adversary = make_adversary(self.recipe)
        batches = self._order(epoch).split(self.recipe.batch_size)
        began, total, seen = time.perf_counter(), torch.zeros((), device=self.split.labels.device), 0
        self.model.train()
        for step, rows in enumerate(batches):
            done = (epoch + step / len(batches)) / self.recipe.epochs
            total += self._step(rows, epoch, done, adversary) * len(rows)
            seen += len(rows)
            if step % CHECK_EVERY == CHECK_EVERY - 1 or step == len(batches) - 1:
                speed = seen / (time.perf_counter() - began)
                self._report(total.item() / seen, epoch, step + 1, len(batches), speed)
        seconds = time.perf_counter() - began
        return {
            "epoch": epoch,
            "loss": total.item() / seen,
            "images_per_second": round(seen / seconds, 1),
            "seconds": round(seconds, 3),
            "learning_rate": learning_rate(self.recipe, epoch, epoch / self.recipe.epochs),
            "eps": budget(self.recipe, epoch / self.recipe.epochs),
        }

    def _step(self, rows: Tensor, epoch: int, done: float, adversary: Adversary | None) -> Tensor:
        """Learn from one batch; its mean loss. The adversary works on the bare module, with input gradients only."""
        seeds = derive(self.recipe.seed, epoch, self.split.index[rows])
        x, y = augment(self.split.images[rows], seeds, kind=self.recipe.augmentation), self.split.labels[rows]
        with self.fabric.autocast():
            if adversary is not None:
                x = adversary(self.model.module, x, y, derive(seeds, 1), budget(self.recipe, done))
            loss = self.model.module.loss(x, y).mean()
        for group in self.optimizers[0].param_groups:
            group["lr"] = learning_rate(self.recipe, epoch, done)
        self.fabric.backward(loss)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    def _order(self, epoch: int) -> Tensor:
        """The epoch's order of images: a permutation that depends on the seed and the epoch alone."""
        generator = torch.Generator().manual_seed(int(derive(self.recipe.seed, epoch, -1)))
        return torch.randperm(len(self.split.labels), generator=generator).to(self.split.labels.device)

    def _report(self, loss: float, epoch: int, step: int, steps: int, speed: float) -> None:
        if not math.isfinite(loss):
            raise TrainingDiverged(f"loss is {loss} in epoch {epoch + 1}, by step {step}: {self.remedy}")
        if self.progress is not None:
            where = {"epoch": epoch, "epochs": self.recipe.epochs, "step": step, "steps": steps}
            self.progress(where | {"loss": loss, "images_per_second": speed, "epoch_done": False})


def _logits(model: Classifier, split: Split, rows: Tensor) -> Tensor:
    """Logits of a model in evaluation mode, on the CPU."""
    device = next(model.parameters()).device
    with undisturbed(model), torch.no_grad():
        return model(as_pixels(split.images[rows].to(device))).cpu()


def _is_finite(model: Classifier, split: Split) -> bool:
    weights = all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    return weights and bool(torch.isfinite(_logits(model, split, torch.arange(min(512, len(split.labels))))).all())


def _on(device: torch.device, split: Split) -> Split:
    return Split(*(tensor.to(device) for tensor in split))
