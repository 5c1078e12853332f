"""The binarization test: does an attack find an adversarial example that is known to be there?"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import is_fooled, undisturbed
from ..attacks.manners import look
from ..draws import derive, uniform
from ..threats import ThreatModel
from ..types import Attack, Images

_INNER = 0.95  # of the budget: within it everything is of the image's own class


def binarization_test(
    features: Callable[[Tensor], Tensor],
    x: Images,
    *,
    threat: ThreatModel,
    attack: Attack,
    inner: int = 499,
    seed: int = 0,
) -> dict[str, int]:
    """For each image a two-class readout of the features with one adversarial example planted in the ball.

    The readout separates `inner` random points of the ball of 0.95 eps, and the image, from one point of size eps; an
    attack that works finds a point of the planted class (Zimmermann et al. 2022, https://arxiv.org/abs/2206.13991,
    section 3). Random search with as many points tells how hard that is.

    Args:
        features: images -> (batch, dim), differentiable; the model's penultimate output, or its logits.
        attack: with its threat bound; it attacks `images -> logits of two classes`.

    Returns:
        planted: images for which such a readout was found; found: by the attack; found_by_chance: by random search.
    """
    counts = {"planted": 0, "found": 0, "found_by_chance": 0}
    for number, image in enumerate(x):
        around = _points(image, derive(torch.tensor([seed]), number), threat, inner + 1)
        if around is None:
            continue
        with torch.no_grad():
            codes = torch.cat([features(part).flatten(1) for part in around.split(256)]).double()
        readout = _readout(features, codes)
        if readout is None:
            continue
        label, start = torch.zeros(1, dtype=torch.long, device=x.device), image[None]
        x_adv = attack(readout, start, label, seeds=torch.tensor([number], device=x.device))
        fresh = _points(image, derive(torch.tensor([seed + 1]), number), threat, inner + 1)[1:]
        with undisturbed(readout):
            counts["planted"] += 1
            counts["found"] += int(is_fooled(look(readout, x_adv), label))
            counts["found_by_chance"] += int((look(readout, fresh).argmax(dim=1) == 1).any())
    return counts


class _Readout(nn.Module):
    """A linear readout of two classes on features, scaled to unit spread."""

    def __init__(self, features: Callable[[Tensor], Tensor], weight: Tensor, bias: Tensor):
        super().__init__()
        self.features, self.weight, self.bias = features, weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """Logits: 0 for the image's own class, the readout for the planted one."""
        score = self.features(x).flatten(1).to(self.weight.dtype) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)


def _points(image: Tensor, seeds: Tensor, threat: ThreatModel, count: int) -> Tensor | None:
    """The planted point of size eps first, then the image and random points within 0.95 eps; all in the box."""
    draws = uniform(derive(seeds, 0).repeat(count) + torch.arange(count), image.numel()).to(image) * 2 - 1
    delta = draws.view(count, *image.shape)
    corner = delta[:1].sign() if threat.name == "Linf" else delta[:1]
    step = corner * (threat.eps / threat.size(corner)).view(-1, 1, 1, 1)
    outside = (image + step < 0) | (image + step > 1)
    planted = image + torch.where(outside, -step, step)
    radius = uniform(derive(seeds, 1).repeat(count) + torch.arange(count), 1).to(image) * _INNER * threat.eps
    inside = image + delta * (radius.flatten() / threat.size(delta)).view(-1, 1, 1, 1)
    inside[0] = image
    points = torch.cat([planted, inside]).clamp(0, 1)
    return points if threat.size(points[:1] - image)[0] > _INNER * threat.eps else None


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
