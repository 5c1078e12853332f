"""Attack every image, verify what came back, record it: nothing an attack says about itself is believed."""

import hashlib
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from .. import __version__
from ..attacks import errs, undisturbed
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
        "weights_hash": weights_hash(model) if isinstance(model, nn.Module) else "",
        "threat": threat.name,
        "eps": float(threat.eps),
        "seed": seed,
        "version": __version__,
        "index": split.index.tolist(),
    }
    with undisturbed(model):
        correct = ~_mistakes(model, split, batch_size, device)
        rows = []
        for name, attack in attacks.items():
            measured = _run(model, split, correct, attack, threat, name, batch_size, seed, device, progress)
            settings = describe(attack) | {"batch_size": batch_size}
            rows.append(AttackResult(attack=name, settings=settings, correct=correct.tolist(), **shared, **measured))
    return rows


def weights_hash(model: nn.Module) -> str:
    """Sixteen hexadecimal digits of everything in the model's state_dict: names, shapes and values."""
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
    if len(split.images) == 0:
        raise UserError("no images to evaluate")
    for start in range(0, len(split.images), 4096):
        part = slice(start, start + 4096)
        check_images(as_pixels(split.images[part]), split.labels[part])
    return split


def _mistakes(model: Model, split: Split, batch_size: int, device: torch.device | str) -> Tensor:
    """Per image, on the CPU: is the clean image classified wrongly?"""
    flags = []
    with torch.no_grad():
        for start in range(0, len(split.images), batch_size):
            x = as_pixels(split.images[start : start + batch_size]).to(device)
            y = split.labels[start : start + batch_size].to(device)
            logits = model(x)
            _check_logits(logits, y)
            flags.append(errs(logits, y).cpu())
    return torch.cat(flags)


def _check_logits(logits: Tensor, y: Tensor) -> None:
    if logits.ndim != 2 or len(logits) != len(y):
        raise UserError(f"the model must return logits (batch, classes), got shape {tuple(logits.shape)}")
    if y.min() < 0 or y.max() >= logits.shape[1]:
        raise UserError(f"labels reach from {y.min()} to {y.max()}, but the model has {logits.shape[1]} classes")


def _run(
    model: Model,
    split: Split,
    correct: Tensor,
    attack: Attack,
    threat: ThreatModel,
    name: str,
    batch_size: int,
    seed: int,
    device: torch.device | str,
    progress: Progress | None,
) -> dict:
    """One attack over all rightly classified images: what it fooled, at which size, for how many passes."""
    fooled, size = ~correct, torch.zeros(len(correct))
    attacked = correct.nonzero().squeeze(1)
    counter, seconds = PassCounter(model), 0.0
    for start in range(0, len(attacked), batch_size):
        rows = attacked[start : start + batch_size]
        x, y = as_pixels(split.images[rows]).to(device), split.labels[rows].to(device)
        began = time.perf_counter()
        x_adv = attack(counter, x.clone(), y, seeds=derive(seed, split.index[rows]).to(device))
        seconds += time.perf_counter() - began
        _verify(name, x_adv, x, threat)
        with torch.no_grad():
            fooled[rows] = errs(model(x_adv), y).cpu()
        size[rows] = threat.size(x_adv - x).float().cpu()
        if progress is not None:
            progress(name, start + len(rows), len(attacked))
    return {
        "fooled": fooled.tolist(),
        "size": size.tolist(),
        "forwards": counter.forwards,
        "backwards": counter.backwards,
        "seconds": round(seconds, 3),
    }


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
