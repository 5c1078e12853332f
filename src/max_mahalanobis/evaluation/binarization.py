"""The binarization test: does an attack find an adversarial example that is known to be there?"""

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import is_fooled, undisturbed
from ..attacks.manners import look
from ..draws import derive, uniform
from ..threats import ThreatModel
from ..types import Attack, Images

_INNER = 0.95  # of the budget: within it everything is of the image's own class
_LONGEST = 2.0**40  # times the first step: by then every pixel stands at a face
_HALVINGS = 50


def binarization_test(
    features: Callable[[Tensor], Tensor],
    x: Images,
    *,
    threat: ThreatModel,
    attack: Attack,
    inner: int = 499,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, int | float | None]:
    """For each image a two-class readout of the features with one adversarial example planted in the ball.

    The readout separates `inner` random points of the ball of 0.95 eps, and the image, from one point of size eps; an
    attack that works finds a point of the planted class (Zimmermann et al. 2022, https://arxiv.org/abs/2206.13991,
    section 3). Random search with as many points tells how hard that is. Where the box leaves less than 0.95 eps of
    room around an image, nothing is planted.

    Args:
        features: images -> (batch, dim), differentiable; the model's penultimate output, or its logits.
        attack: with its threat bound; it attacks `images -> logits of two classes`.
        batch_size: the most images `features` are asked for at once.

    Returns:
        images: how many were given; planted: those for which such a readout was found; found: by the attack;
        found_by_chance: by random search; shortest: the smallest size planted, in budgets (None: nothing planted).
    """
    counts = {"images": len(x), "planted": 0, "found": 0, "found_by_chance": 0}
    sizes = []
    for number, image in enumerate(x):
        seeds = derive(torch.tensor([seed]), number)
        point = _farthest(image, seeds, threat)
        size = (threat.size(point - image) / threat.eps).item()
        if size <= _INNER:
            continue
        around = chain([point, image[None]], _within(image, seeds, threat, inner, batch_size))
        with torch.no_grad():
            codes = torch.cat([features(part).flatten(1) for part in around]).double()
        readout = _readout(features, codes)
        if readout is None:
            continue
        label, start = torch.zeros(1, dtype=torch.long, device=x.device), image[None]
        x_adv = attack(readout, start, label, seeds=torch.tensor([number], device=x.device))
        fresh = _within(image, derive(torch.tensor([seed + 1]), number), threat, inner, batch_size)
        with undisturbed(readout):
            counts["planted"] += 1
            counts["found"] += int(is_fooled(look(readout, x_adv), label))
            counts["found_by_chance"] += int(any((look(readout, part).argmax(dim=1) == 1).any() for part in fresh))
        sizes.append(size)
    return counts | {"shortest": min(sizes, default=None)}


class _Readout(nn.Module):
    """A linear readout of two classes on features, scaled to unit spread."""

    def __init__(self, features: Callable[[Tensor], Tensor], weight: Tensor, bias: Tensor):
        super().__init__()
        self.features, self.weight, self.bias = features, weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """Logits: 0 for the image's own class, the readout for the planted one."""
        score = self.features(x).flatten(1).to(self.weight.dtype) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)


def _farthest(image: Tensor, seeds: Tensor, threat: ThreatModel) -> Tensor:
    """A random point of size eps in the box, shape (1, ...); where the box is too tight, as far as it goes.

    A pixel that would leave the box moves to its roomier side (all do, where nothing else is far enough); what its
    faces hold back, the other pixels make up for.
    """
    delta = uniform(derive(seeds, 0), image.numel()).to(image).view(1, *image.shape) * 2 - 1
    corner = delta.sign() if threat.name == "Linf" else delta
    drawn = corner * (threat.eps / threat.size(corner)).view(-1, 1, 1, 1)
    room = torch.where(drawn > 0, 1 - image, image)
    tight = room < 0.5

    def reach(step: Tensor, times: float) -> float:
        return threat.size((image + times * step).clamp(0, 1) - image).item()

    for turned in (tight & (drawn.abs() > room), tight):
        step = torch.where(turned, -drawn, drawn)
        if reach(step, _LONGEST) >= threat.eps:
            break
    low, high = 1.0, _LONGEST
    for _ in range(_HALVINGS if reach(step, low) < threat.eps else 0):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if reach(step, middle) < threat.eps else (low, middle)
    return (image + low * step).clamp(0, 1)


def _within(image: Tensor, seeds: Tensor, threat: ThreatModel, count: int, batch_size: int) -> Iterator[Tensor]:
    """Random points of the box within 0.95 eps, a batch at a time."""
    for numbers in torch.arange(1, count + 1).split(batch_size):
        delta = uniform(derive(seeds, 0) + numbers, image.numel()).to(image).view(-1, *image.shape) * 2 - 1
        radius = uniform(derive(seeds, 1) + numbers, 1).to(image).flatten() * _INNER * threat.eps
        yield (image + delta * (radius / threat.size(delta)).view(-1, 1, 1, 1)).clamp(0, 1)


def _readout(features: Callable[[Tensor], Tensor], codes: Tensor) -> _Readout | None:
    """Logistic regression, its boundary moved to nine tenths of the way to the planted point; None if not separable."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = codes.mean(dim=0), codes.std(dim=0).clamp_min(1e-12)
    scaled = ((codes - mean) / spread).cpu().numpy()
    labels = np.zeros(len(scaled), dtype=int)
    labels[0] = 1
    fit = LogisticRegression(C=1e5, class_weight="balanced", max_iter=2000).fit(scaled, labels)
    scores = torch.from_numpy(fit.decision_function(scaled))
    nearest = scores[1:].max()
    if not scores[0] > nearest:
        return None
    weight = torch.from_numpy(fit.coef_[0]).to(codes) / spread
    bias = fit.intercept_[0] - (weight.cpu() @ mean.cpu()).item() - (0.1 * nearest + 0.9 * scores[0]).item()
    weight = weight.float()
    return _Readout(features, weight, torch.tensor(bias, dtype=weight.dtype, device=weight.device))
