"""The one loop: clean or against an adversary, the same recipe gives the same weights."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from ..data import Dataset, augment
from ..draws import derive
from ..errors import TrainingDiverged
from ..models import Classifier, build, mean_image
from ..recipe import Recipe
from ..runs import Run, read_metrics, save_tensors, write_metrics
from ..types import Split, as_pixels
from .adversary import budget, make_adversary
from .schedule import fill_defaults, learning_rate, make_optimizer
from .state import restore_state, save_state

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
    fabric = Fabric(accelerator=device, devices=1, precision=recipe.precision)
    model = build(recipe, data.image_shape, data.num_classes, mean=mean_image(data.train.images))
    model.to(fabric.device)
    optimizer = make_optimizer(model, recipe)
    first = restore_state(run, model, optimizer, recipe) if run is not None and resume else 0
    wrapped, optimizer = fabric.setup(model, optimizer)
    wrapped.mark_forward_method("loss")
    metrics = [line for line in read_metrics(run) if line["epoch"] < first] if run is not None else []
    split = Split(*(tensor.to(fabric.device) for tensor in data.train))
    for epoch in range(first, recipe.epochs):
        line = _train_epoch(fabric, wrapped, model, optimizer, recipe, split, epoch, progress)
        line["validation_accuracy"] = accuracy(model, data.validation)
        metrics.append(line)
        if progress is not None:
            progress(line | {"epochs": recipe.epochs, "epoch_done": True})
        if run is not None:
            write_metrics(run, metrics)
            save_state(run, model, optimizer.optimizer, recipe, epoch + 1)
    model = model.cpu().eval()
    if run is not None:
        save_tensors(run.weights_file, model.state_dict(), {"recipe": recipe.fingerprint})
    return model


def accuracy(model: Classifier, split: Split, *, batch_size: int = 512) -> float:
    """Share of the images that a model in evaluation mode classifies rightly, in [0, 1]."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(split.images), batch_size):
            part = slice(start, start + batch_size)
            predictions = model(as_pixels(split.images[part].to(device))).argmax(dim=1).cpu()
            right += int((predictions == split.labels[part]).sum())
    model.train(training)
    return right / len(split.images)


def _train_epoch(fabric, wrapped, model, optimizer, recipe: Recipe, split: Split, epoch: int, progress) -> dict:
    """One pass over the training images; the epoch's line of metrics."""
    adversary = make_adversary(recipe)
    batches = _order(recipe, len(split.labels), epoch).to(split.labels.device).split(recipe.batch_size)
    began, total, seen = time.perf_counter(), torch.zeros((), device=split.labels.device), 0
    model.train()
    for step, rows in enumerate(batches):
        done = (epoch + step / len(batches)) / recipe.epochs
        seeds = derive(recipe.seed, epoch, split.index[rows])
        x, y = augment(split.images[rows], seeds, kind=recipe.augmentation), split.labels[rows]
        if adversary is not None:
            with fabric.autocast():
                x = adversary(model, x, y, derive(seeds, 1), budget(recipe, done))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, epoch, done)
        loss = wrapped.loss(x, y).mean()
        fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.detach() * len(rows)
        seen += len(rows)
        if step % CHECK_EVERY == CHECK_EVERY - 1 or step == len(batches) - 1:
            _report(total, seen, epoch, step, len(batches), recipe, began, progress)
    return {
        "epoch": epoch,
        "loss": total.item() / seen,
        "images_per_second": round(seen / (time.perf_counter() - began), 1),
        "seconds": round(time.perf_counter() - began, 3),
        "learning_rate": learning_rate(recipe, epoch, epoch / recipe.epochs),
        "eps": budget(recipe, (epoch + 1) / recipe.epochs),
    }


def _report(
    total: Tensor, seen: int, epoch: int, step: int, steps: int, recipe: Recipe, began: float, progress
) -> None:
    loss = total.item() / seen
    if not torch.isfinite(total):
        raise TrainingDiverged(
            f"loss is {loss} in epoch {epoch + 1}, by step {step + 1}: lower --learning-rate "
            f"(now {recipe.learning_rate}); the last finished epoch is kept"
        )
    if progress is not None:
        speed = seen / (time.perf_counter() - began)
        progress(
            {"epoch": epoch, "epochs": recipe.epochs, "step": step + 1, "steps": steps, "loss": loss}
            | {"images_per_second": speed, "epoch_done": False}
        )


def _order(recipe: Recipe, count: int, epoch: int) -> Tensor:
    """The epoch's order of images: a permutation that depends on the seed and the epoch alone."""
    generator = torch.Generator().manual_seed(int(derive(recipe.seed, epoch, -1)))
    return torch.randperm(count, generator=generator)
