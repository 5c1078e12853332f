"""Random points near the image: what every attack with a direction must beat."""

from torch import Tensor

from ...draws import normal
from ...errors import UserError, at_least_one
from ...threats import L0, ThreatModel
from ...types import Model, Objective
from ..objectives import margin
from .best_of import best_of


def gaussian_noise(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    std: float | int = 0.05,
    draws: int = 1,
    stop_when_fooled: bool = True,
) -> Tensor:
    """Normal noise, x + N(0, std^2) per pixel, brought back into the threat's ball and the box; the worst of `draws`.

    Under `Linf(1.0)` it is plain noise, clipped to the box. Costs 1 + draws forwards per image at most.

    Args:
        std: in pixels of [0, 1].

    Raises:
        UserError: std is negative or draws below 1.
    """
    at_least_one(draws=draws)
    if not std >= 0:
        raise UserError(f"std must not be negative, got {std}")

    def noisy(x: Tensor, seeds: Tensor, number: int) -> Tensor:
        return threat.project(x + std * normal(seeds, x.shape[1:].numel()).to(x.dtype).view_as(x), x)

    settings = {"threat": threat, "targets": targets, "seeds": seeds, "objective": objective}
    return best_of(model, x, y, noisy, draws, stop_when_fooled=stop_when_fooled, **settings)


def uniform_noise(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    draws: int = 1,
    stop_when_fooled: bool = True,
) -> Tensor:
    """A uniformly random point of the ball (`threat.sample`), the worst of `draws`.

    Costs 1 + draws forwards per image at most.

    Raises:
        UserError: draws is below 1.
    """
    at_least_one(draws=draws)
    settings = {"threat": threat, "targets": targets, "seeds": seeds, "objective": objective}
    return best_of(model, x, y, _inside(threat), draws, stop_when_fooled=stop_when_fooled, **settings)


def random_search(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = margin,
    queries: int = 1000,
    corners: bool = True,
    stop_when_fooled: bool = True,
) -> Tensor:
    """The worst of many independent random points of the ball: the baseline of every attack.

    With `corners` they lie where a linear model is worst for some direction, x + eps * steepest(random direction):
    the corners of the Linf cube, the L2 sphere. L0 has its points drawn inside either way.

    Costs 1 + queries forwards per image at most.

    Raises:
        UserError: queries is below 1.
    """
    at_least_one(queries=queries)

    def extreme(x: Tensor, seeds: Tensor, number: int) -> Tensor:
        direction = normal(seeds, x.shape[1:].numel()).to(x.dtype).view_as(x)
        return threat.project(x + threat.eps * threat.steepest(direction), x)

    points = extreme if corners and not isinstance(threat, L0) else _inside(threat)
    settings = {"threat": threat, "targets": targets, "seeds": seeds, "objective": objective}
    return best_of(model, x, y, points, queries, stop_when_fooled=stop_when_fooled, **settings)


def _inside(threat: ThreatModel):
    return lambda x, seeds, number: threat.sample(x, seeds)
