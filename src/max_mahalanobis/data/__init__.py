"""Images as tensors in memory: known sets, your files, downloads, splits and augmentation.

Names load on first use: the catalogue (budgets, class names) is quick, the rest brings in torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .catalogue import SOURCES, default_eps

if TYPE_CHECKING:  # what a reader or an editor follows; at run time __getattr__ does the same, later
    from .augmentation import AUGMENTATIONS, Batch, augment, prepare
    from .extra import batches, join, load_extra
    from .sources import Dataset, load_dataset

__all__ = [
    "AUGMENTATIONS",
    "SOURCES",
    "Batch",
    "Dataset",
    "augment",
    "batches",
    "default_eps",
    "join",
    "load_dataset",
    "load_extra",
    "prepare",
]

_HOME = {
    "AUGMENTATIONS": "augmentation",
    "Batch": "augmentation",
    "Dataset": "sources",
    "augment": "augmentation",
    "batches": "extra",
    "join": "extra",
    "load_dataset": "sources",
    "load_extra": "extra",
    "prepare": "augmentation",
}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
