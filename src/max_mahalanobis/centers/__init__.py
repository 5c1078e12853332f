"""Where class centers stand: as far apart as geometry allows, or where a rival wants them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from ..errors import UserError, one_of
from .given import read_centers
from .hierarchical import CIFAR100_SUPERCLASSES, hierarchical_centers
from .maximal import max_mahalanobis_centers
from .orthonormal import orthonormal_centers
from .random import random_centers

__all__ = [
    "CENTERS",
    "CIFAR100_SUPERCLASSES",
    "hierarchical_centers",
    "make_centers",
    "max_mahalanobis_centers",
    "orthonormal_centers",
    "random_centers",
    "read_centers",
]


def make_centers(
    kind: str,
    num_classes: int,
    dim: int,
    *,
    norm: float | int = 10.0,
    seed: int = 0,
    superclasses: Sequence[int] | None = None,
    file: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The centers of a kind of `CENTERS`, shape (num_classes, dim), float64; settings a kind lacks are not passed on.

    Args:
        kind: a name in `CENTERS`.
        num_classes: of the data.
        dim: number of features.
        norm: length of the centers; of the longest, where they come from a file.
        seed: of "random", and of what is optimized.
        superclasses: of each class, for "hierarchical", which needs them; CIFAR-100's when there are 100 classes.
        file: for "file", which needs it; refused elsewhere.
        progress: told (steps done, steps in all) while "maximal" optimizes.
    """
    one_of("kind of centers", kind, CENTERS)
    if (file is not None) != (kind == "file"):
        raise UserError(
            f"{kind} centers come from no file: choose the kind file"
            if file is not None
            else "file centers need a file"
        )
    if kind == "hierarchical":
        superclasses = _superclasses(superclasses, num_classes)
    asked = {"norm": norm, "seed": seed, "superclasses": superclasses, "file": file, "progress": progress}
    return CENTERS[kind](num_classes, dim, asked)


def _superclasses(given: Sequence[int] | None, num_classes: int) -> Sequence[int]:
    if given is None and num_classes == len(CIFAR100_SUPERCLASSES):
        return CIFAR100_SUPERCLASSES
    if given is None:
        raise UserError("hierarchical centers need the superclass of each class")
    if len(given) != num_classes:
        raise UserError(f"{len(given)} superclasses for {num_classes} classes: give one for each class")
    return given


def _of(make: Callable[..., Tensor], *settings: str) -> Callable[[int, int, dict], Tensor]:
    """A maker of centers from their sizes and those of the settings asked for that it has."""
    return lambda num_classes, dim, asked: make(num_classes, dim, **{name: asked[name] for name in settings})


CENTERS: dict[str, Callable[[int, int, dict], Tensor]] = {
    "maximal": _of(max_mahalanobis_centers, "norm", "seed", "progress"),
    "random": _of(random_centers, "norm", "seed"),
    "orthonormal": _of(orthonormal_centers, "norm"),
    "hierarchical": lambda _, dim, asked: hierarchical_centers(
        asked["superclasses"], dim, norm=asked["norm"], seed=asked["seed"]
    ),
    "file": lambda num_classes, dim, asked: read_centers(
        asked["file"], num_classes=num_classes, dim=dim, norm=asked["norm"]
    ),
}
