"""Points on a sphere whose smallest angle is large: a seeded optimizer for sizes without a closed form."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.sparse import csr_matrix

VERSION = 1  # raised when other points come out for the same sizes and seed

SHARPNESS = tuple(10.0 * 4**stage for stage in range(6))  # of the soft maximum, stage by stage
ITERATIONS = 200  # of L-BFGS in a stage
MOST_STARTS = 32
WAYS = 4  # to start: gently, or with one to three stages left out
FINALISTS = 3  # end points that are sharpened
MOST_FREEDOM = 240  # degrees of freedom up to which the linear programs stay fast
_BLOCK = 1 << 22  # cosines held in memory at a time


def pack(
    num_classes: int, dim: int, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Unit vectors (num_classes, dim), float64, whose largest cosine of two is locally the smallest.

    From several starts, L-BFGS descends the soft maximum (1 / b) log sum_{i < j} exp(b <mu_i, mu_j>), a bound of the
    largest cosine from above within log(pairs) / b, at growing sharpness b. Starts differ: every second is antipodal
    (where the number is even), which descent keeps and many of the best codes are; some begin sharp, since gentle ones
    tend to end alike. The best end points of small sizes are finished by `sharpen`, to about 1e-12. Large sizes have
    fewer starts and iterations; memory stays near 100 MB. The same every time on one machine; the rounding of another
    may lead large sizes to another optimum.
    """
    cost = num_classes**2 * (dim + 16)  # of a gradient: the exponentials take as long as 16 dimensions
    iterations = int(np.clip(2.5e11 / cost / len(SHARPNESS), 10, ITERATIONS))
    plans = [SHARPNESS[start // 2 % WAYS :] for start in range(int(np.clip(4e6 / cost, 1, MOST_STARTS)))]
    found, done = [], 0
    for start, plan in enumerate(plans):
        points = _start(num_classes, dim, seed, start)
        for sharpness in plan:
            points = _descend(points, sharpness, iterations)
            done += 1
            if progress is not None:
                progress(done, sum(map(len, plans)))
        found.append(points)
    found.sort(key=largest_cosine)
    if num_classes * (dim - 1) <= MOST_FREEDOM:
        found = sorted(map(sharpen, found[:FINALISTS]), key=largest_cosine)
    return found[0]


def largest_cosine(points: np.ndarray) -> float:
    """Of two different rows of unit vectors (points, dim); -1 where there is one row."""
    tops = [-1.0]
    for rows, cosines in _cosines(points):
        cosines[np.arange(len(cosines)), rows] = -1.0
        tops.append(float(cosines.max()))
    return max(tops)


def sharpen(points: np.ndarray, rounds: int = 40) -> np.ndarray:
    """Minimize the largest cosine itself, by linear programs within a radius that shrinks where they overreach.

    Each lowers the first-order cosines of all pairs that may become the largest; where the touching pairs pin the
    points down, as in most optimal codes, this converges quadratically.
    """
    radius, best = 1e-2, largest_cosine(points)
    for _ in range(rounds):
        if radius < 1e-13:
            break
        step, promised = _linear_step(points, best, radius)
        moved = _unit(points + step)
        gain = best - largest_cosine(moved)
        if gain > 0:
            points, best = moved, best - gain
        radius = min(radius, 4 * np.abs(step).max()) if gain > promised / 2 else radius / 4
    return points


def _linear_step(points: np.ndarray, top: float, radius: float) -> tuple[np.ndarray, float]:
    """The tangent step, at most `radius` in each coordinate, that lowers linearized cosines most; by how much."""
    count, dim = points.shape
    free = dim - 1
    bases = _tangents(points)
    cosines = points @ points.T
    i, j = np.nonzero(np.triu(cosines > top - 4 * radius * np.sqrt(dim), 1))
    pairs, width = np.arange(len(i)), np.arange(free)
    values = [np.einsum("pd,pdk->pk", points[b], bases[a]).ravel() for a, b in ((i, j), (j, i))]
    columns = [(a[:, None] * free + width).ravel() for a in (i, j)]
    row = np.repeat(pairs, free)
    cells = np.concatenate([*values, -np.ones(len(i))])
    places = np.concatenate([row, row, pairs]), np.concatenate([*columns, np.full(len(i), count * free)])
    matrix = csr_matrix((cells, places), shape=(len(i), count * free + 1))
    target = np.zeros(count * free + 1)
    target[-1] = 1.0
    bounds = [(-radius, radius)] * (count * free) + [(None, None)]
    solved = linprog(target, A_ub=matrix, b_ub=top - cosines[i, j], bounds=bounds, method="highs")
    if solved.x is None:
        return np.zeros_like(points), 0.0
    return np.einsum("ndk,nk->nd", bases, solved.x[:-1].reshape(count, free)), -solved.x[-1]


def _tangents(points: np.ndarray) -> np.ndarray:
    """Orthonormal bases of the tangent spaces, (points, dim, dim - 1): Householder reflections without a column."""
    normals = points.copy()
    normals[:, 0] += np.where(points[:, 0] >= 0, 1.0, -1.0)
    scaled = 2 * normals / np.square(normals).sum(axis=1, keepdims=True)
    return (np.eye(points.shape[1]) - scaled[:, :, None] * normals[:, None, :])[:, :, 1:]


def _start(num_classes: int, dim: int, seed: int, start: int) -> np.ndarray:
    random = np.random.default_rng([seed, start])
    if start % 2 == 0 or num_classes % 2:
        return _unit(random.standard_normal((num_classes, dim)))
    half = _unit(random.standard_normal((num_classes // 2, dim)))
    return np.concatenate([half, -half])


def _descend(points: np.ndarray, sharpness: float, iterations: int) -> np.ndarray:
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 1e-9}
    found = minimize(
        _soft_maximum, points.ravel(), args=(points.shape, sharpness), jac=True, method="L-BFGS-B", options=options
    )
    return _unit(found.x.reshape(points.shape))


def _soft_maximum(flat: np.ndarray, shape: tuple[int, int], sharpness: float) -> tuple[float, np.ndarray]:
    """The soft maximum of the cosines of rows of any length, and its gradient; in blocks of rows."""
    points = flat.reshape(shape)
    unit = _unit(points)
    top, total, pull = -2.0, 0.0, np.zeros(shape)
    for rows, cosines in _cosines(unit):
        cosines[np.arange(len(cosines)), rows] = -np.inf
        old, top = top, max(top, cosines.max())
        cosines -= top
        weights = np.exp(np.multiply(cosines, sharpness, out=cosines), out=cosines)
        fade = np.exp(sharpness * (old - top))  # what came before was relative to a lower maximum
        total = total * fade + weights.sum()
        pull *= fade
        pull[rows] += weights @ unit
    pull *= 2 / total
    pull -= (pull * unit).sum(axis=1, keepdims=True) * unit
    return top + np.log(total / 2) / sharpness, (pull / np.linalg.norm(points, axis=1, keepdims=True)).ravel()


def _cosines(unit: np.ndarray):
    """Blocks of rows of the Gram matrix, with the numbers of their rows."""
    height = max(1, _BLOCK // len(unit))
    for first in range(0, len(unit), height):
        rows = np.arange(first, min(first + height, len(unit)))
        yield rows, unit[rows] @ unit.T


def _unit(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)
