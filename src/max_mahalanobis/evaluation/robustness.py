"""Attack every image, verify what came back, record it: nothing an attack says about itself is believed."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import __version__
from ..attacks import is_fooled, undisturbed
from ..draws import derive
from ..errors import AttackCheated, UserError
from ..results import AttackResult
from ..threats import ThreatModel, check_images
from ..types import Attack, Model, Split, as_pixels
from .passes import PassCounter
from .suites import describe, make_suite

Progress = Callable[[str, int, int], None]  # (attack, images done, images in all)


def evaluate(
    model: Model,
    split: Split | tuple[Tensor, Tensor],
    *,
    threat: ThreatModel,
    suite: str | Mapping[str, Attack] = "quick",
    batch_size: int = 256,
    seed: int = 0,
    device: torch.device | str = "cpu",
    names: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> list[AttackResult]:
    """Robust accuracy of any `images -> logits` function, one result per attack, image by image.

    Every attack meets every image that is classified rightly when clean (the others count as fooled at size 0). What
    it hands back is checked here: shape, box, ball (tolerance 1e-6), label. The robust accuracy of the suite is the
    per-image worst case, `results.worst_case`; it is an upper bound, as that of every attack is.

    Args:
        model: in evaluation mode while it is attacked, and put back afterwards.
        split: images (uint8, or float in [0, 1]), labels, index; a plain pair (x, y) works too.
        threat: what the adversary may do, for example `Linf(8 / 255)`.
        suite: a name (quick, paper, curve) or a dict of your own attacks, `{"mine": partial(pgd, threat=...)}`.
        batch_size: images at a time; verdicts do not depend on it, up to rounding.
        seed: with each image's index the only source of randomness.
        names: run, data, split: how the rows name what was evaluated.
        progress: called after every batch.

    Raises:
        UserError: images, labels or model output that cannot be judged.
        AttackCheated: an attack returned an image outside its threat model.
    """
    split = _as_split(split)
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, got {batch_size}")
    attacks = make_suite(suite, threat) if isinstance(suite, str) else dict(suite)
    names = {"run": "", "data": "", "split": "test"} | dict(names or {})
    shared = names | {
        "suite": suite if isinstance(suite, str) else "custom",
        "data_hash": data_hash(split),
        "weights_hash": weights_hash(model),
        "threat": threat.name,
        "eps": float(threat.eps),
        "seed": seed,
        "version": __version__,
        "index": split.index.tolist(),
    }
    judge = _Judge(model, split, threat, batch_size, seed, device, progress)
    with undisturbed(model):
        correct = ~judge.mistakes()
        rows = []
        for name, attack in attacks.items():
            measured = judge.run(name, attack, correct)
            if weights_hash(model) != shared["weights_hash"]:
                raise AttackCheated(f"{name} changed the model's weights: load the model again")
            settings = describe(attack) | {"batch_size": batch_size}
            rows.append(AttackResult(attack=name, settings=settings, correct=correct.tolist(), **shared, **measured))
    return rows


def weights_hash(model: Model) -> str:
    """Sixteen hexadecimal digits of a module's state_dict: names, shapes and values; of a plain function, nothing."""
    if not isinstance(model, nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def data_hash(split: Split) -> str:
    """Sixteen hexadecimal digits of the images and labels evaluated."""
    digest = hashlib.sha256()
    for tensor in (split.images, split.labels):
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _as_split(split: Split | tuple[Tensor, Tensor]) -> Split:
    if not isinstance(split, Split):
        images, labels = split
        split = Split(images, labels, torch.arange(len(images)))
    split = split._replace(labels=split.labels if split.labels.is_floating_point() else split.labels.long())
    if len(split.images) == 0:
        raise UserError("no images to evaluate")
    for start in range(0, len(split.images), 4096):
        part = slice(start, start + 4096)
        check_images(as_pixels(split.images[part]), split.labels[part])
    return split


@dataclass(frozen=True)
class _Judge:
    """Runs attacks on one model and split, and looks at what they hand back with its own eyes."""

    model: Model
    split: Split
    threat: ThreatModel
    batch_size: int
    seed: int
    device: torch.device | str
    progress: Progress | None

    def mistakes(self) -> Tensor:
        """Per image, on the CPU: whether the clean image is classified wrongly."""
        return torch.cat(
            [self._fooled(*self._batch(rows)).cpu() for rows in self._rows(torch.arange(len(self.split.labels)))]
        )

    def run(self, name: str, attack: Attack, correct: Tensor) -> dict:
        """One attack over all rightly classified images: what it fooled, at which size, for how many passes."""
        fooled, size = ~correct, torch.zeros(len(correct))
        attacked = correct.nonzero().squeeze(1)
        counter, seconds, done = PassCounter(self.model), 0.0, 0
        for rows in self._rows(attacked):
            x, y = self._batch(rows)
            seeds = derive(self.seed, self.split.index[rows]).to(self.device)
            began = time.perf_counter()
            x_adv = attack(counter, x.clone(), y.clone(), seeds=seeds).detach()
            seconds += time.perf_counter() - began
            _verify(name, x_adv, x, self.threat)
            fooled[rows] = self._fooled(x_adv, y).cpu()
            size[rows] = self.threat.size(x_adv - x).float().cpu()
            done += len(rows)
            if self.progress is not None:
                self.progress(name, done, len(attacked))
        return {
            "fooled": fooled.tolist(),
            "size": size.tolist(),
            "forwards": counter.forwards,
            "backwards": counter.backwards,
            "seconds": round(seconds, 3),
        }

    def _rows(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(self.batch_size) if len(rows) else ()

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return as_pixels(self.split.images[rows]).to(self.device), self.split.labels[rows].to(self.device)

    def _fooled(self, x: Tensor, y: Tensor) -> Tensor:
        with undisturbed(self.model), torch.no_grad():
            logits = self.model(x)
        if logits.ndim != 2 or len(logits) != len(y):
            raise UserError(f"the model must return logits (batch, classes), got shape {tuple(logits.shape)}")
        if y.min() < 0 or y.max() >= logits.shape[1]:
            raise UserError(f"labels reach from {y.min()} to {y.max()}, but the model has {logits.shape[1]} classes")
        return is_fooled(logits, y)


def _verify(name: str, x_adv: Tensor, x: Tensor, threat: ThreatModel) -> None:
    if x_adv.shape != x.shape or x_adv.dtype != x.dtype:
        raise AttackCheated(
            f"{name} returned {x_adv.dtype} {tuple(x_adv.shape)} for images of {x.dtype} {tuple(x.shape)}"
        )
    refused = (~threat.allows(x_adv, x)).nonzero().squeeze(1)
    if len(refused):
        first = refused[:1]
        raise AttackCheated(
            f"{name} left the threat model on {len(refused)} of {len(x)} images: size "
            f"{threat.size(x_adv[first] - x[first]).item():.6g} (allowed {threat.eps:.6g}), "
            f"pixels in [{x_adv[first].min():.6g}, {x_adv[first].max():.6g}]"
        )
