"""One short reader a file format: each returns images and labels as checked arrays, or a UserError in one line."""

from .arrays import Arrays
from .cifar_binary import read_cifar10_binary, read_cifar100_binary
from .cifar_pickle import read_cifar10_pickle, read_cifar100_pickle
from .digits import read_digits
from .folder import read_folder
from .idx import read_idx
from .npz import read_npz

READERS = {
    "idx": read_idx,
    "cifar10_binary": read_cifar10_binary,
    "cifar100_binary": read_cifar100_binary,
    "cifar10_pickle": read_cifar10_pickle,
    "cifar100_pickle": read_cifar100_pickle,
}
"""By the name a layout of the catalogue gives: (paths of one split, number of classes) -> Arrays."""

__all__ = ["READERS", "Arrays", "read_digits", "read_folder", "read_npz"]
