"""Epoch after epoch: each is judged on the validation images and saved, until there is a reason to stop."""

from dataclasses import dataclass

from torch import Tensor

from ..errors import TrainingDiverged
from ..models import Classifier
from ..recipe import Recipe
from ..runs import Run, load_tensors, read_metrics, save_tensors, write_metrics
from ..types import Split
from .loop import Loop
from .state import Progress
from .validation import is_finite, validate


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
