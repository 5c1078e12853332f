"""The smallest perturbation found for each image, and the accuracy it leaves at every budget."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..results import AttackResult
from ..statistics import Proportion, proportion, quantile

MOST = 400  # budgets at which a curve is given; more are closer than a pixel

Point = tuple[float, Proportion]  # budget, accuracy


class Summary(NamedTuple):
    """Where half of the images fall, and a quarter and three quarters; how many fell at all."""

    low: float
    median: float
    high: float
    fell: int
    total: int

    @property
    def held(self) -> int:
        """Images that no attack fooled, at any size."""
        return self.total - self.fell


def smallest_sizes(rows: Sequence[AttackResult]) -> list[float]:
    """Per image the least size that fooled, over all rows: 0 where wrong when clean, infinite where nothing fooled."""
    found = np.array([np.where(row.fooled, row.size, np.inf) for row in rows]).min(axis=0)
    return np.where(rows[0].correct, found, 0.0).tolist()


def summary(sizes: Sequence[float]) -> Summary:
    """The quartiles of the sizes, each the size of an image, so that infinite ones do no harm."""
    quartiles = (quantile(sizes, share) for share in (0.25, 0.5, 0.75))
    return Summary(*quartiles, fell=sum(size < np.inf for size in sizes), total=len(sizes))


def accuracy_by_budget(sizes: Sequence[float]) -> list[Point]:
    """The share of images whose size is above the budget: at 0 and at each budget where it falls, at most `MOST`."""
    budgets, fallen = np.unique([0.0, *(size for size in sizes if size < np.inf)], return_counts=True)
    left = len(sizes) - (fallen.cumsum() - 1)  # the first budget, 0, was added to the sizes
    kept = np.unique(np.linspace(0, len(budgets) - 1, min(MOST, len(budgets))).round().astype(int))
    return [(float(budgets[k]), proportion(int(left[k]), len(sizes))) for k in kept]
