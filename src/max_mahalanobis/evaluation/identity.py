"""Which model and which images a row speaks of, as short hashes; which settings an attack had, as plain values."""

import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from ..attacks import every_target, nearest_targets, toward_random_class
from ..attacks.manners import slope, undisturbed
from ..types import Attack, Model, Split, as_pixels

_ABOUT_THE_CALL = ("threat", "targets", "seeds", "smallest")


def weights_hash(model: Model) -> str:
    """Sixteen hexadecimal digits of a module's state_dict: names, shapes and values; of a plain function, nothing."""
    if not isinstance(model, nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def behavior_hash(model: Model, split: Split, device: torch.device | str) -> str:
    """Sixteen hexadecimal digits of what a model does to eight random images: logits, and their slope in the pixels.

    Code that changed while the weights did not shows here. Rounded to three digits, so that threads do not tell.
    """
    shape = (8, *split.images.shape[1:])
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(as_pixels(split.images[:1]).dtype).to(device)
    with undisturbed(model):
        logits, _, gradient = slope(model, x, lambda logits: logits.max(dim=1).values)
    numbers = [f"{number:.2e}" for number in (*logits.flatten().tolist(), *gradient.flatten(1).sum(dim=1).tolist())]
    return hashlib.sha256(" ".join([repr(model), *numbers]).encode()).hexdigest()[:16]


def data_hash(split: Split) -> str:
    """Sixteen hexadecimal digits of the images and labels evaluated."""
    digest = hashlib.sha256()
    for tensor in (split.images, split.labels):
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def describe(attack: Attack, *, leave_out: Sequence[str] = _ABOUT_THE_CALL) -> dict:
    """All settings of an attack as plain values: the function's name, its defaults, and what `partial` has bound.

    An attack made of one other is described by the settings of both and says so under `composed`, from the inside out;
    where a setting of one name has two values, that of the outer stands there and the inner attack under `inner`. One
    made of several lists them under `parts`.
    """
    if not isinstance(attack, partial):
        return {"attack": _name(attack)}
    own = _settings(attack.func) | attack.keywords
    own = {key: _plain(value) for key, value in own.items() if key not in leave_out}
    if not attack.args:
        return {"attack": _name(attack.func)} | own
    if isinstance(attack.args[0], Sequence):
        parts = [describe(part, leave_out=leave_out) for part in attack.args[0]]
        return {"attack": _name(attack.func), "parts": parts} | own
    inner = describe(attack.args[0], leave_out=leave_out)
    own |= _targets(attack)
    hidden = {"inner": inner} if any(name in inner and inner[name] != own[name] for name in own) else {}
    return inner | own | hidden | {"composed": [*inner.get("composed", []), _name(attack.func)]}


def _targets(attack: partial) -> dict:
    if attack.func is toward_random_class:
        return {"targeted": "one random wrong class"}
    if attack.func is every_target:
        top = attack.keywords.get("top", _settings(every_target)["top"])
        return {"targeted": "every wrong class" if top is None else f"the {top} likeliest wrong classes"}
    if attack.func is nearest_targets:
        top = attack.keywords.get("top", _settings(nearest_targets)["top"])
        return {"targeted": f"the {top} nearest of the likeliest wrong classes"}
    return {}


def _settings(function: Callable) -> dict:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int | float | str | bool | None):
        return value
    if isinstance(value, partial):
        return describe(value)
    if isinstance(value, nn.Module):
        return f"{type(value).__name__} {weights_hash(value)}"
    return _name(value) if callable(value) else repr(value)


def _name(thing: object) -> str:
    name = getattr(thing, "__name__", type(thing).__name__)
    return name if name != "<lambda>" else f"lambda {hashlib.sha256(thing.__code__.co_code).hexdigest()[:8]}"
