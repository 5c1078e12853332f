"""From a recipe to a trained classifier: epoch by epoch, judged on the validation images, saved."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..data import Dataset, join, load_extra
from ..errors import TrainingDiverged, UserError
from ..models import Classifier, build, load_pretrained, mean_image
from ..recipe import Recipe
from ..runs import Run, load_tensors, read_metrics, save_tensors, write_metrics
from ..types import Split
from .adversary import make_adversary
from .averaging import Average
from .interruption import interruptible
from .loop import Loop
from .robust_loss import RobustLoss
from .schedule import fill_defaults, make_optimizers
from .state import Progress, restore_state, save_state
from .validation import is_finite, validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(
    recipe: Recipe,
    data: Dataset,
    *,
    run: Run | None = None,
    resume: bool = False,
    device: str = "auto",
    fabric: "Fabric | None" = None,
    keep: int = 0,
    compile: bool = False,
    progress: Callable[[dict], None] | None = None,
) -> Classifier:
    """The classifier a recipe makes of a data set, in evaluation mode on the CPU.

    Same recipe, data and thread count: the same weights, bit for bit on a CPU, also when `resume` continues a run that
    was stopped at any moment. With `run`, every epoch is saved; SIGTERM and Ctrl-C save the step they come in. The test
    split is never touched: what is "best" is judged on the validation images.

    Several processes (`fabric`) share every batch and reach the weights of one, to rounding, as each image's draws are
    its own. BatchNorm's statistics are synchronized on GPUs; on a CPU each process uses its share of the batch, and the
    first one's running statistics are kept. The centers of center loss follow the mean of the processes' rules.

    Args:
        device: auto, cpu, cuda or mps, as lightning-fabric names accelerators.
        fabric: of processes that were started together (`processes.start_processes`); one process without.
        keep: epochs whose weights are kept, spread evenly over the training, the last among them.
        compile: run the network and the adversary's copy through torch.compile.
        progress: called every few steps with a dict of plain values.

    Raises:
        TrainingDiverged: the loss is no longer finite; the last finished epoch stays in `run`.
    """
    recipe = fill_defaults(recipe)
    if run is not None and fill_defaults(run.recipe) != recipe:
        raise UserError(f"{run.path} was made for another recipe: make one for this recipe with create_run")
    if fabric is None:
        from lightning_fabric import Fabric

        fabric = Fabric(accelerator=device, devices=1, precision=recipe.precision)
    model = _built(recipe, data, fabric)
    optimizers, average = make_optimizers(model, recipe), Average(model, recipe)
    at = restore_state(run, model, optimizers, average) if run is not None and resume else Progress()
    if compile:
        model.backbone.compile()
    wrapped, *steppers = fabric.setup(RobustLoss(model, recipe), *optimizers)
    split = data.train if recipe.extra_data is None else join(data.train, load_extra(recipe.extra_data, data))
    writes = run is not None and fabric.global_rank == 0
    save = partial(save_state, run, model, optimizers, average) if writes else lambda at: None
    loop = Loop(
        recipe=recipe,
        fabric=fabric,
        model=model,
        loss=wrapped,
        optimizers=steppers,
        average=average,
        adversary=make_adversary(recipe, model, compile=compile),
        split=Split(*(tensor.to(fabric.device) for tensor in split)),
        num_own=len(data.train.labels),
        save=save,
        show=progress or (lambda event: None),
    )
    with interruptible(loop.interruption, active=run is not None):
        weights, epoch = _Training(loop, data.validation, run, keep, writes).finish(at)
    if writes:
        save_tensors(run.weights_file, weights, {"recipe": run.recipe.fingerprint, "epoch": str(epoch)})
    trained = build(recipe, data.image_shape, data.num_classes)
    trained.load_state_dict(weights)
    return trained.eval()


def _built(recipe: Recipe, data: Dataset, fabric: "Fabric") -> Classifier:
    """The untrained model where and how it will be trained."""
    model = build(recipe, data.image_shape, data.num_classes, mean=mean_image(data.train.images))
    if recipe.pretrained is not None:
        load_pretrained(model, recipe.pretrained)
    if _has_batchnorm(model):
        model = model.to(memory_format=torch.channels_last)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(fabric.device)


def _has_batchnorm(model: Classifier) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@dataclass
class _Training:
    """The epochs of a run: what is judged, kept, and when to stop."""

    loop: Loop
    validation: Split
    run: Run | None
    keep: int
    writes: bool

    def finish(self, at: Progress) -> tuple[dict[str, Tensor], int]:
        """Train until the epochs are over or a rule stops; the weights to end with, and their epoch, from 1."""
        recipe, loop, run = self.loop.recipe, self.loop, self.run
        known = read_metrics(run, events=True) if run is not None else []
        lines = [line for line in known if line["epoch"] < at.epoch]
        best = load_tensors(run.checkpoint_file("best"))[0] if lines else None
        stopped = any(line.get("event") == "stopped" for line in lines)
        while at.epoch < recipe.epochs and not stopped:
            line = loop.run_epoch(at)
            loop.average.after_epoch((at.epoch + 1) / recipe.epochs, loop.clean_images(at.epoch))
            judged = loop.average.judged
            line |= validate(judged, self.validation, recipe, loop.fabric)
            if not is_finite(judged, self.validation):
                raise TrainingDiverged(f"weights after epoch {at.epoch + 1} give no finite logits: {loop.remedy}")
            lines += [*loop.events, line]
            if len(_curve(lines)) - 1 == _best(lines):
                best = {name: tensor.detach().cpu().clone() for name, tensor in judged.state_dict().items()}
            reason = _reason_to_stop(recipe, lines)
            if reason is not None:
                lines.append({"event": "stopped", "epoch": at.epoch, "reason": reason})
            stopped = reason is not None
            at = Progress(at.epoch + 1)
            self._record(at, lines, judged, best)
            loop.show(line | {"epochs": recipe.epochs, "epoch_done": True} | ({"event": reason} if stopped else {}))
            if loop.asked_to_stop():
                loop.interruption.stop()
        overfitted = any("catastrophic" in line.get("reason", "") for line in lines)
        if recipe.checkpoint == "best" or overfitted:
            return best, _best(lines) + 1
        return loop.average.judged.state_dict(), at.epoch

    def _record(self, at: Progress, lines: list[dict], judged: Classifier, best: dict[str, Tensor]) -> None:
        """Everything an epoch leaves on disk; the state last, so that what a crash tears is done again."""
        if not self.writes:
            return
        header = {"recipe": self.run.recipe.fingerprint, "epoch": str(at.epoch)}
        if len(_curve(lines)) - 1 == _best(lines):
            save_tensors(self.run.checkpoint_file("best"), best, header)
        save_tensors(self.run.checkpoint_file("last"), judged.state_dict(), header)
        epochs = self.loop.recipe.epochs
        if at.epoch in {-(-epochs * number // self.keep) for number in range(1, self.keep + 1)}:
            save_tensors(self.run.checkpoint_file(at.epoch), judged.state_dict(), header)
        write_metrics(self.run, lines)
        self.loop.save(at)


def _curve(lines: list[dict]) -> list[float]:
    """What an epoch is judged by: accuracy on the validation images under attack, or clean where none is fought."""
    key = "robust_validation_accuracy"
    return [line.get(key, line["validation_accuracy"]) for line in lines if "event" not in line]


def _best(lines: list[dict]) -> int:
    """The first epoch of the highest accuracy."""
    curve = _curve(lines)
    return curve.index(max(curve))


def _reason_to_stop(recipe: Recipe, lines: list[dict]) -> str | None:
    curve, best = _curve(lines), _best(lines)
    fallen = curve[best] - curve[-1]
    if recipe.adversary in ("fgsm", "free") and fallen > recipe.guard:
        return f"catastrophic overfitting: {100 * fallen:.1f} points below epoch {best + 1}, whose weights are kept"
    if recipe.patience is not None and len(curve) - 1 - best >= recipe.patience:
        return f"no better validation since epoch {best + 1}"
    return None
