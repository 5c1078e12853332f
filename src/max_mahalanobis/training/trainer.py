"""From a recipe to a trained classifier."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..data import Dataset, join, load_extra
from ..errors import UserError
from ..models import Classifier, build, compiled, load_pretrained, mean_image
from ..recipe import Recipe
from ..runs import Run, save_tensors
from ..types import Split
from .adversary import make_adversary
from .averaging import Average
from .epochs import Epochs
from .interruption import interruptible
from .loop import Loop
from .robust_loss import RobustLoss
from .schedule import fill_defaults, make_optimizers
from .state import Progress, restore_state, save_state

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
        keep: epochs whose weights are kept, spread evenly over the epochs planned, the last of them included.
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
    loop, at = make_loop(recipe, data, fabric, run=run, resume=resume, compile=compile, show=progress)
    writes = run is not None and fabric.global_rank == 0
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices), interruptible(loop.interruption, active=run is not None):
        weights, epoch = Epochs(loop, data.validation, run, keep, writes).finish(at)
    if writes:
        save_tensors(run.weights_file, weights, {"recipe": run.recipe.fingerprint, "epoch": str(epoch)})
    trained = build(recipe, data.image_shape, data.num_classes)
    trained.load_state_dict(weights)
    return trained.eval()


def make_loop(
    recipe: Recipe,
    data: Dataset,
    fabric: "Fabric",
    *,
    run: Run | None = None,
    resume: bool = False,
    compile: bool = False,
    show: Callable[[dict], None] | None = None,
) -> tuple[Loop, Progress]:
    """What takes the steps of a training, and where it stands: `train` without what is judged and kept.

    The recipe's defaults must be filled in (`fill_defaults`).
    """
    model = _built(recipe, data, fabric, fresh=run is None or not (resume and run.state_file.exists()))
    optimizers, average = make_optimizers(model, recipe), Average(model, recipe)
    at = restore_state(run, model, optimizers, average) if run is not None and resume else None
    at = Progress(parts=recipe.accumulate) if at is None else at
    adversary = make_adversary(recipe, model, compile=compile)
    learner = compiled(model) if compile else model
    loss, *steppers = fabric.setup(RobustLoss(learner, recipe), *optimizers)
    writes = run is not None and fabric.global_rank == 0
    loop = Loop(
        **{"recipe": recipe, "fabric": fabric, "model": model, "loss": loss, "optimizers": steppers},
        **{"average": average, "adversary": adversary, "num_own": len(data.train.labels)},
        split=_images(recipe, data, fabric.device),
        save=partial(save_state, run, model, optimizers, average) if writes else _ignore,
        show=show or _ignore,
    )
    return loop, at


def _built(recipe: Recipe, data: Dataset, fabric: "Fabric", *, fresh: bool) -> Classifier:
    """The model where and how it will be trained; pretrained weights are for a fresh start alone."""
    model = build(recipe, data.image_shape, data.num_classes, mean=mean_image(data.train.images))
    if recipe.pretrained is not None and fresh:
        load_pretrained(model, recipe.pretrained)
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        model = model.to(memory_format=torch.channels_last)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(fabric.device)


def _images(recipe: Recipe, data: Dataset, device: torch.device) -> Split:
    """What is learned from, where it is learned: the training split, then the extra images."""
    split = data.train if recipe.extra_data is None else join(data.train, load_extra(recipe.extra_data, data))
    return Split(*(tensor.to(device) for tensor in split))


def _ignore(what: object) -> None:
    """Nothing is saved, nothing shown."""
