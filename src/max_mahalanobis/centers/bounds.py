"""How far apart centers stand, beside how far any could."""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincinv
from torch import Tensor

from .checks import check_sizes
from .packing import largest_cosine


class Geometry(NamedTuple):
    """Of a set of centers, over all pairs."""

    angle: float  # the smallest, in radians
    cosine: float  # the largest
    distance: float  # the smallest


class Bound(NamedTuple):
    """No centers have a larger smallest angle."""

    angle: float  # in radians
    source: str


def geometry(centers: Tensor) -> Geometry:
    """The closest two of at least 2 centers (classes, dim): by direction, and by distance."""
    points = centers.detach().double().cpu().numpy()
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    cosine = min(1.0, largest_cosine(points / lengths))
    squares = np.square(lengths) + np.square(lengths.T) - 2 * points @ points.T
    np.fill_diagonal(squares, np.inf)
    return Geometry(math.acos(cosine), cosine, math.sqrt(max(0.0, squares.min())))


def angle_bound(num_classes: int, dim: int) -> Bound:
    """The smallest known of these upper bounds on the smallest angle of at least 2 directions.

    Reached, so the optimum: the simplex and the cross-polytope (Rankin 1955), the polygon. In dim 3: Fejes Toth 1943,
    reached for 12 directions. Otherwise caps of half the angle must fit on the sphere, and Levenshtein's third bound
    (1979), L <= d (1 - s) (2 + (d + 1) s) / (1 - d s^2) for cosines s up to (sqrt(d + 3) - 1) / (d + 2).
    """
    check_sizes(num_classes, dim)
    if num_classes <= dim + 1:
        return Bound(math.acos(-1 / max(1, num_classes - 1)), "simplex")
    if num_classes <= 2 * dim:
        return Bound(math.pi / 2, "Rankin 1955")
    if dim <= 2:
        return Bound(2 * math.pi / num_classes * (dim == 2), "polygon")
    bounds = [Bound(_caps(num_classes, dim), "caps"), Bound(_levenshtein(num_classes, dim), "Levenshtein 1979")]
    if dim == 3:
        bounds.append(Bound(_fejes_toth(num_classes), "Fejes Toth 1943"))
    return min(bounds)


def _caps(num_classes: int, dim: int) -> float:
    """Caps of half the angle around L directions do not overlap: each covers at most 1 / L of the sphere."""
    return 2 * math.asin(math.sqrt(betaincinv((dim - 1) / 2, 0.5, 2 / num_classes)))


def _levenshtein(num_classes: int, dim: int) -> float:
    last = (math.sqrt(dim + 3) - 1) / (dim + 2)

    def excess(s: float) -> float:
        return dim * (1 - s) * (2 + (dim + 1) * s) - num_classes * (1 - dim * s * s)

    return math.acos(brentq(excess, 0.0, last) if excess(last) > 0 else last)


def _fejes_toth(num_classes: int) -> float:
    sine = math.sin(math.pi * num_classes / (6 * (num_classes - 2)))
    return math.acos(1 / (2 * sine**2) - 1)
