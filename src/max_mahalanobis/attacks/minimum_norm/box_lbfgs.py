"""The first attack on deep networks: L-BFGS inside the box, with a search over the constant."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import Bounds, OptimizeResult, minimize
from torch import Tensor

from ...errors import one_of
from ...threats import ThreatModel
from ...types import Model, Objective
from ..manners import check_call, is_fooled, look, slope, undisturbed
from ..objectives import cross_entropy
from .constant import check_search, narrowed
from .saliency_map import runner_up

_LARGE = 1e30


def lbfgs(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    threat: ThreatModel,
    targets: Tensor | None = None,
    seeds: Tensor | None = None,
    objective: Objective = cross_entropy,
    steps: int = 100,
    search_steps: int = 10,
    initial_constant: float | int = 0.01,
    stop_when_fooled: bool = False,
) -> Tensor:
    """The closest fooling image seen by box-constrained L-BFGS (Szegedy et al. 2014, https://arxiv.org/abs/1312.6199).

        minimize  ||x_adv - x||^2 - constant * objective   inside the box

    from the image itself, once per constant; the constant is searched for as in `constant`, by whether the minimizer
    fools. Aims at one class: the target, or the strongest wrong one of the clean image. Nothing is random: `seeds` is
    not used.

    Image by image, by scipy's L-BFGS-B in float64 on the CPU; meant for dozens of images. About search_steps * steps
    forwards and backwards of a single image each, every one with a wait for the device, and 1 + search_steps forwards.

    Args:
        threat: an `L2`; nothing found within its eps returns the image unchanged.
        objective: smooth, and with targets: cross_entropy as in the paper.
        steps: evaluations of the model per constant (a line search in progress is finished).
        stop_when_fooled: images leave with the first success within eps.
    """
    check_call(model, x, y, targets, seeds)
    check_search(steps, search_steps, initial_constant, 0.0)
    one_of("threat for lbfgs", threat.name, ("L2",))
    x, y = x.detach(), y.long()
    x_adv, nearest = x.clone(), [float(threat.eps)] * len(x)
    constant = torch.full((len(x),), float(initial_constant), dtype=torch.float64)
    lower, upper = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
    minimizer_fools = torch.zeros(len(x), dtype=torch.bool)
    with undisturbed(model):
        logits = look(model, x)
        aims = runner_up(logits, y) if targets is None else targets
        held = (~is_fooled(logits, y)).nonzero().squeeze(1).tolist()
        for _ in range(search_steps):
            for i in held:
                one = slice(i, i + 1)
                seen = _Descent(model, x[one], y[one], aims[one], objective, constant[i].item(), threat, nearest[i])
                minimizer_fools[i] = seen.run(steps, stop_when_fooled=stop_when_fooled)
                if seen.best is not None:
                    x_adv[one], nearest[i] = seen.best, seen.nearest
            constant, lower, upper = narrowed(constant, lower, upper, minimizer_fools)
            if stop_when_fooled:
                held = [i for i in held if bool((x_adv[i] == x[i]).all())]
    return x_adv


@dataclass
class _Descent:
    """One image, one constant: what is minimized, and the nearest fooling image among all it was evaluated at."""

    model: Model
    x: Tensor
    y: Tensor
    targets: Tensor
    objective: Objective
    constant: float
    threat: ThreatModel
    nearest: float  # larger perturbations are of no use
    best: Tensor | None = None

    def run(self, steps: int, *, stop_when_fooled: bool) -> bool:
        """Minimize; does the minimizer fool?"""

        def leave(intermediate_result: OptimizeResult) -> None:
            if stop_when_fooled and self.best is not None:
                raise StopIteration

        start = self.x.flatten().double().cpu().numpy()
        options = {"maxfun": steps, "maxiter": steps, "gtol": 1e-8}
        end = minimize(
            self.evaluate, start, jac=True, method="L-BFGS-B", bounds=Bounds(0, 1), callback=leave, options=options
        )
        return bool(is_fooled(look(self.model, self.image(end.x)), self.y))

    def evaluate(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient, for scipy; a value that is no number is larger than any."""
        x_adv = self.image(point)
        logits, score, gradient = slope(self.model, x_adv, lambda logits: self.objective(logits, self.y, self.targets))
        delta = x_adv - self.x
        distance = self.threat.size(delta).item()
        if bool(is_fooled(logits, self.y)) and distance <= self.nearest:
            self.best, self.nearest = x_adv, distance
        value = delta.double().square().sum().item() - self.constant * score.double().item()
        gradient = (2 * delta - self.constant * gradient).flatten().double().cpu().numpy()
        return value if math.isfinite(value) else _LARGE, gradient

    def image(self, point: np.ndarray) -> Tensor:
        """A vector of scipy's as a batch of one."""
        return torch.tensor(point).to(self.x).view_as(self.x)
