"""Images as tensors in memory: known sets, your files, downloads, splits and augmentation.

Names load on first use: the catalogue (budgets, class names) is quick, the rest brings in torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .catalogue import SOURCES, default_eps

if TYPE_CHECKING:  # what a reader or an editor follows; at run time __getattr__ does the same, later
    from .augmentation import AUGMENTATIONS, augment
    from .sources import Dataset, load_dataset

__all__ = ["AUGMENTATIONS", "SOURCES", "Dataset", "augment", "default_eps", "load_dataset"]

_HOME = {
    "AUGMENTATIONS": "augmentation",
    "Dataset": "sources",
    "augment": "augmentation",
    "load_dataset": "sources",
}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
