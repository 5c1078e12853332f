"""Epoch after epoch: each is judged on the validation images and saved, until there is a reason to stop."""

from dataclasses import dataclass

from torch import Tensor

from ..errors import TrainingDiverged, UserError
from ..models import Classifier
from ..recipe import Recipe
from ..runs import Run, load_tensors, read_metrics, save_tensors, write_metrics
from ..types import Split
from .loop import Loop
from .state import Progress
from .validation import is_finite, validate

OVERFITTED = "catastrophic overfitting"  # a reason to stop, with the best weights


@dataclass
class Epochs:
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
        best = self._best_so_far(at, lines)
        stopped = any(line.get("event") == "stopped" for line in lines)
        while at.epoch < recipe.epochs and not stopped:
            line = loop.run_epoch(at)
            loop.average.after_epoch((at.epoch + 1) / recipe.epochs, loop.clean_images(at.epoch))
            judged = loop.average.judged
            line |= validate(judged, self.validation, recipe, loop.fabric)
            if not is_finite(judged, self.validation):
                raise TrainingDiverged(f"weights after epoch {at.epoch + 1} give no finite logits: {loop.remedy}")
            lines += [*at.events, line]
            reason = _reason_to_stop(recipe, lines)
            if reason is not None:
                weights = "best" if reason.startswith(OVERFITTED) else recipe.checkpoint
                lines.append({"event": "stopped", "epoch": at.epoch, "reason": reason, "weights": weights})
            stopped = reason is not None
            at = Progress(at.epoch + 1, parts=at.parts)
            best = _copied(judged) if _best(lines) == at.epoch else best
            self._record(at, lines, best)
            loop.show(line | {"epochs": recipe.epochs, "epoch_done": True} | ({"event": reason} if stopped else {}))
            if loop.asked_to_stop():
                loop.interruption.stop()
        if "best" in (recipe.checkpoint, *(line.get("weights") for line in lines)):
            return best, _best(lines)
        return loop.average.judged.state_dict(), at.epoch

    def _best_so_far(self, at: Progress, lines: list[dict]) -> dict[str, Tensor]:
        """The best weights of a resumed run; what a crash right after the state kept from being written is written."""
        if not lines:
            return {}
        best, file = {}, self.run.checkpoint_file("best")
        if file.exists():
            best, header = load_tensors(file)
            best = best if header.get("epoch") == str(_best(lines)) else {}
        if not best and (at.step > 0 or _best(lines) != at.epoch):
            raise UserError(f"{file} is not of the best epoch, {_best(lines)}: restore it, or --overwrite the run")
        best = best or _copied(self.loop.average.judged)
        if at.step == 0:
            self._keep(at, lines, best)
        return best

    def _record(self, at: Progress, lines: list[dict], best: dict[str, Tensor]) -> None:
        """Everything an epoch leaves on disk; what must be there to go on comes first."""
        if self.writes:
            write_metrics(self.run, lines)
            self.loop.save(at)
        self._keep(at, lines, best)

    def _keep(self, at: Progress, lines: list[dict], best: dict[str, Tensor]) -> None:
        """The weights in checkpoints/ after `at.epoch` epochs."""
        if not self.writes:
            return
        weights, header = self.loop.average.judged.state_dict(), {"recipe": self.run.recipe.fingerprint}
        if _best(lines) == at.epoch:
            save_tensors(self.run.checkpoint_file("best"), best, header | {"epoch": str(at.epoch)})
        which, epochs = ["last"], self.loop.recipe.epochs
        if at.epoch in {-(-epochs * number // self.keep) for number in range(1, self.keep + 1)}:
            which.append(at.epoch)
        for name in which:
            save_tensors(self.run.checkpoint_file(name), weights, header | {"epoch": str(at.epoch)})


def _copied(model: Classifier) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _curve(lines: list[dict]) -> list[float]:
    """What an epoch is judged by: accuracy on the validation images under attack, or clean where none is fought."""
    key = "robust_validation_accuracy"
    return [line.get(key, line["validation_accuracy"]) for line in lines if "event" not in line]


def _best(lines: list[dict]) -> int:
    """The first epoch of the highest accuracy, counted from 1."""
    curve = _curve(lines)
    return curve.index(max(curve)) + 1


def _reason_to_stop(recipe: Recipe, lines: list[dict]) -> str | None:
    curve, best = _curve(lines), _best(lines)
    fallen = curve[best - 1] - curve[-1]
    if recipe.adversary in ("fgsm", "free") and fallen > recipe.guard:
        return f"{OVERFITTED}: {100 * fallen:.1f} points below epoch {best}, whose weights are kept"
    if recipe.patience is not None and len(curve) - best >= recipe.patience:
        return f"no better validation since epoch {best}"
    return None
