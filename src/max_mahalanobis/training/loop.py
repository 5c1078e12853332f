"""One pass over the training images: batches are drawn, attacked, learned from."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..data import Batch, batches, prepare
from ..draws import derive
from ..errors import TrainingDiverged
from ..heads import settings_of
from ..models import Classifier
from ..recipe import Recipe
from ..threats import make_threat
from ..types import Split
from .adversary import Adversary, budget, step_size
from .averaging import Average
from .interruption import Interruption
from .schedule import learning_rate
from .state import Progress
from .weight_perturbation import kernels, perturbed, slopes_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECK_EVERY = 20  # steps between looks at the loss, each of which waits for the device
SAVE_EVERY = 600.0  # seconds between two saved states within an epoch


@dataclass
class Loop:
    """Everything a pass over the training images needs."""

    recipe: Recipe
    fabric: "Fabric"
    model: Classifier
    loss: nn.Module  # the RobustLoss around the model, as fabric wrapped it
    optimizers: list  # fabric's; the first follows the schedule
    average: Average
    adversary: Adversary | None
    split: Split  # own images first, then extra ones
    num_own: int
    save: Callable[[Progress], None]
    show: Callable[[dict], None]
    interruption: Interruption = field(default_factory=Interruption)

    @property
    def remedy(self) -> str:
        """What to do about a loss that is not finite."""
        others = ["--norm"] if "norm" in settings_of(self.recipe.head) else []
        others += ["--weight-perturbation"] if self.recipe.weight_perturbation > 0 else []
        lower = " or ".join([f"--learning-rate (now {self.recipe.learning_rate:g})", *others])
        return f"lower {lower}; the last finished epoch is kept"

    def run_epoch(self, at: Progress) -> dict:
        """One pass over the training images, or the rest of one; the epoch's line of metrics."""
        epoch, every = at.epoch, self._batches(at.epoch)
        at.total = self._no_counts() if at.total is None else at.total.to(self.split.labels.device)
        recent, before, began = torch.zeros_like(at.total), at.seconds, time.perf_counter()
        saved = began
        self.loss.train()
        for step in range(at.step, len(every)):
            recent += self._step(every[step], at, (epoch + step / len(every)) / self.recipe.epochs)
            at.step, at.seen = step + 1, at.seen + len(every[step])
            if not self._is_time_to_look(at.step, len(every)):
                continue
            at.total += self._summed(recent)
            recent.zero_()
            self._check(at)  # waits for the device
            now = time.perf_counter()
            at.seconds = before + now - began
            self._tell(at, len(every))
            if self.asked_to_stop():
                self.save(at)
                self.fabric.barrier()  # nobody leaves before the state is on disk
                self.interruption.stop()
            if now - saved > SAVE_EVERY:
                self.save(at)
                saved = now
        loss, errors = (at.total / at.seen).tolist()
        return {
            "epoch": epoch,
            "loss": loss,
            "images_per_second": round(at.seen / at.seconds, 1),
            "seconds": round(at.seconds, 3),
            "learning_rate": learning_rate(self.recipe, epoch, epoch / self.recipe.epochs),
            "eps": budget(self.recipe, epoch / self.recipe.epochs),
            "adversary_success": None if self.recipe.adversary == "none" else errors,
        }

    def clean_images(self, epoch: int) -> Iterator[Tensor]:
        """The images of an epoch as augmented, before any adversary."""
        for step, rows in enumerate(self._batches(epoch)):
            yield self._prepared(rows, epoch, step)[0].x

    def _batches(self, epoch: int) -> list[Tensor]:
        """The epoch's rows, batch by batch: they depend on the seed and the epoch alone."""
        recipe, count = self.recipe, len(self.split.labels) - self.num_own
        shape = {"batch_size": recipe.batch_size, "extra_share": recipe.extra_share}
        rows = batches(self.num_own, count, **shape, seed=recipe.seed, epoch=epoch)
        return [each.to(self.split.labels.device) for each in rows]

    def _prepared(self, rows: Tensor, epoch: int, step: int) -> tuple[Batch, Tensor]:
        """The batch, and the seeds of its attack; an extra image that comes again in an epoch is drawn for anew."""
        seeds = derive(self.recipe.seed, epoch, self.split.index[rows])
        if self.num_own < len(self.split.labels):
            seeds = torch.where(rows < self.num_own, seeds, derive(seeds, step))
        return prepare(self.split, rows, seeds, self.recipe, num_own=self.num_own), derive(seeds, 1)

    def _step(self, rows: Tensor, at: Progress, done: float) -> Tensor:
        """Learn from one batch; the sums of its loss and of the model's errors on what it saw, of this process."""
        # what the network itself draws (dropout): of the step and the process, whatever came before
        torch.manual_seed(int(derive(self.recipe.seed, at.epoch, at.step, self.fabric.global_rank)))
        epoch = at.epoch
        for group in self.optimizers[0].param_groups:
            group["lr"] = learning_rate(self.recipe, epoch, done)
        share = rows[self.fabric.global_rank :: self.fabric.world_size]
        if self.recipe.adversary == "free":
            return self._learn_freely(share, rows, at, done)
        while True:
            try:
                counted = self._learn(share, rows, at, done)
                break
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not self._can_split(error, 2 * at.parts, len(share)):
                    raise
            at.parts *= 2
            self._zero()
            said = f"out of memory: batches are worked through in {at.parts} parts from here on"
            at.events.append({"event": "out of memory", "epoch": epoch, "parts": at.parts})
            self.show({"event": said, "epoch_done": False})
        self._move()
        return counted

    def _learn(self, share: Tensor, rows: Tensor, at: Progress, done: float) -> Tensor:
        """Gradients of one batch's mean loss, part by part; its counts."""
        weight = float(len(share) > 0)  # a process that has no image of a short batch joins with one that counts 0
        seen = []
        for part in (share if len(share) else rows[:1]).tensor_split(min(at.parts, len(share) or 1)):
            batch, seeds = self._prepared(part, at.epoch, at.step)
            x_adv = None
            if self.adversary is not None:
                with self.fabric.autocast():
                    x_adv = self.adversary(batch.x, batch.labels, seeds, budget(self.recipe, done))
            seen.append((batch, x_adv, weight * len(part) * self.fabric.world_size / len(rows)))
        counted = self._no_counts()
        with self._from_the_worst(seen):
            for number, (batch, x_adv, factor) in enumerate(seen):
                with self._alone(number < len(seen) - 1):
                    loss, errs = self.loss(batch, x_adv)
                    self.fabric.backward(loss.mean() * factor)
                counted += weight * _sums(loss, errs).to(counted.dtype)
        return counted

    def _learn_freely(self, share: Tensor, rows: Tensor, at: Progress, done: float) -> Tensor:
        """Every pass moves the weights and the images (Shafahi et al. 2019, https://arxiv.org/abs/1904.12843).

        Each batch starts at a random point of the ball, drawn for each image; they carry the last batch's perturbation
        over to other images. `done` and so the learning rate stay for all passes of a batch.
        """
        weight, part = float(len(share) > 0), share if len(share) else rows[:1]
        batch, seeds = self._prepared(part, at.epoch, at.step)
        eps = budget(self.recipe, done)
        threat, size = make_threat(self.recipe.threat, eps), step_size(self.recipe, eps)
        x_adv, factor = threat.sample(batch.x, seeds), weight * len(part) * self.fabric.world_size / len(rows)
        for _ in range(self.recipe.adversary_steps):
            x_adv = x_adv.detach().requires_grad_()
            loss, errs = self.loss(batch, x_adv)
            self.fabric.backward(loss.mean() * factor)
            self._move()
            climb = threat.steepest(threat.free(torch.nan_to_num(x_adv.grad), x_adv.detach()))
            x_adv = threat.project(x_adv.detach() + size * climb, batch.x)
        return weight * _sums(loss, errs).to(self._no_counts().dtype)

    def _from_the_worst(self, seen: list) -> AbstractContextManager:
        size = self.recipe.weight_perturbation
        if size == 0:
            return nullcontext()
        weights = kernels(self.model)
        return perturbed(weights, lambda: slopes_of(self.loss.module, weights, seen, self.fabric), size)

    def _move(self) -> None:
        """One step of the optimizers along the gradients."""
        if self.recipe.clip_norm is not None:
            moved = [each for group in self.optimizers[0].param_groups for each in group["params"]]
            nn.utils.clip_grad_norm_(moved, self.recipe.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self._zero()
        self.average.after_step()

    def _zero(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def _alone(self, alone: bool) -> AbstractContextManager:
        """Without a word to the other processes."""
        return self.fabric.no_backward_sync(self.loss, enabled=alone) if self.fabric.world_size > 1 else nullcontext()

    def _can_split(self, error: Exception, parts: int, images: int) -> bool:
        said = any(words in str(error) for words in ("can't allocate memory", "not enough memory"))
        short = isinstance(error, torch.OutOfMemoryError) or said
        return short and self.fabric.world_size == 1 and parts <= images

    def _no_counts(self) -> Tensor:
        """Two sums, on the device; MPS has no float64."""
        device = self.split.labels.device
        return torch.zeros(2, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)

    def _is_time_to_look(self, step: int, steps: int) -> bool:
        """Every few steps; at once where a process that is alone was asked to stop."""
        asked = self.fabric.world_size == 1 and self.interruption.signal is not None
        return step % CHECK_EVERY == 0 or step == steps or asked

    def _check(self, at: Progress) -> None:
        """Is the loss finite?"""
        loss = at.total[0].item() / at.seen
        if not math.isfinite(loss):
            raise TrainingDiverged(f"loss is {loss} in epoch {at.epoch + 1}, by step {at.step}: {self.remedy}")

    def _tell(self, at: Progress, steps: int) -> None:
        where = {"epoch": at.epoch, "epochs": self.recipe.epochs, "step": at.step, "steps": steps, "epoch_done": False}
        self.show(where | {"loss": at.total[0].item() / at.seen, "images_per_second": at.seen / at.seconds})

    def _summed(self, total: Tensor) -> Tensor:
        """Over all processes."""
        return self.fabric.all_reduce(total, reduce_op="sum") if self.fabric.world_size > 1 else total

    def asked_to_stop(self) -> bool:
        """Whether this process was; several agree, so all must ask at the same time."""
        if self.fabric.world_size > 1:
            flag = torch.tensor(float(self.interruption.signal or 0), device=self.fabric.device)
            self.interruption.signal = int(self.fabric.all_reduce(flag, reduce_op="max")) or None
        return self.interruption.signal is not None


def _sums(loss: Tensor, errs: Tensor) -> Tensor:
    """Of a batch: its losses, and the images that the model errs on."""
    return torch.stack([loss.detach().float().sum(), errs.float().sum()])
