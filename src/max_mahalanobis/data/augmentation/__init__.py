"""What training does to its images, drawn for each image from its own seed: the neighbours in a batch do not matter."""

from .batch import AUGMENTATIONS, Batch, augment, prepare
from .cutout import cutout
from .mixing import cutmix, mix_shares, mixup, partners
from .moves import crop, flip, shift
from .operations import OPERATIONS, random_operations

__all__ = [
    "AUGMENTATIONS",
    "OPERATIONS",
    "Batch",
    "augment",
    "crop",
    "cutmix",
    "cutout",
    "flip",
    "mix_shares",
    "mixup",
    "partners",
    "prepare",
    "random_operations",
    "shift",
]
