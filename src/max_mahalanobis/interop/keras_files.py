"""Reads the weights of a Keras HDF5 file, layer by layer; the model's configuration is never opened.

Keras 2 (`save_weights("x.h5")`, `save("x.h5")`) and the legacy writer of Keras 3 share one layout: the attribute
`layer_names` of the root (of its group `model_weights` in a whole-model file), then in each layer's group the attribute
`weight_names` and a data set for each. Names differ: `conv2d_1/kernel:0` in Keras 2.2, `conv2d/kernel` in Keras 3. So
does the order of the layers, which is that of the graph. What stays is that a layer is named by its kind and counted in
the order of creation.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    import h5py

LARGEST = 2**26  # bytes of one array; the largest in these networks has a hundredth of that


@dataclass(frozen=True)
class KerasLayer:
    """The arrays of one layer by short name (kernel, bias, gamma, ...), in Keras's shapes, float32."""

    name: str
    weights: dict[str, np.ndarray] = field(compare=False)

    @property
    def kind(self) -> str:
        """The name without its number: conv2d of conv2d_12."""
        return re.sub(r"_\d+$", "", self.name)

    @property
    def number(self) -> int:
        """When it was created among layers of its kind: 12 of conv2d_12, 0 of conv2d."""
        return int(self.name[len(self.kind) + 1 :] or 0)


@dataclass(frozen=True)
class KerasFile:
    """Every layer of a file that has weights."""

    path: Path
    layers: tuple[KerasLayer, ...]

    def of(self, kind: str) -> list[KerasLayer]:
        """The layers of one kind, in the order of their creation."""
        return sorted((layer for layer in self.layers if layer.kind == kind), key=lambda layer: layer.number)


def read_keras(path: Path) -> KerasFile:
    """The weights in a file of Keras 2, or of Keras 3's legacy writer. Nothing in it is executed.

    Raises:
        UserError: h5py is not installed; the file is damaged, cut short or has another layout; an array is not of
            finite floating-point numbers.
    """
    h5py = _h5py()
    if not path.is_file():
        raise UserError(f"there is no file {path}: give the .h5 that Keras wrote")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            names = _names(root, "layer_names")
            layers = tuple(KerasLayer(name, _arrays(path, _member(path, root, name))) for name in names)
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no whole HDF5 file of Keras ({reason}): fetch it again") from error
    if not names:
        raise UserError(f"{path} has no layer_names: it needs the layout of Keras 2's save_weights('FILE.h5')")
    return KerasFile(path, tuple(layer for layer in layers if layer.weights))


def _h5py():
    try:
        import h5py
    except ImportError as error:
        raise UserError("reading .h5 files needs h5py: pip install 'max-mahalanobis[interop]'") from error
    return h5py


def _names(group: "h5py.Group", attribute: str) -> list[str]:
    """A list of names; Keras cuts a long one into attributes numbered from 0."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    parts = []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [_text(name) for part in parts for name in part]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _arrays(path: Path, group: "h5py.Group") -> dict[str, np.ndarray]:
    return {name.split("/")[-1].split(":")[0]: _array(path, name, _member(path, group, name))
            for name in _names(group, "weight_names")}  # fmt: skip


def _member(path: Path, group: "h5py.Group", name: str) -> "h5py.Group | h5py.Dataset":
    if name not in group:
        raise UserError(f"{path} names {name} and does not hold it: fetch it again")
    return group[name]


def _array(path: Path, name: str, found: "h5py.Dataset") -> np.ndarray:
    if found.dtype.kind != "f" or found.nbytes > LARGEST:
        raise UserError(f"{path}: {name} is {found.dtype} of shape {found.shape}: not a weight of these networks")
    array = np.asarray(found[()], np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} holds NaN or infinity: its training diverged, take an earlier checkpoint")
    return array
