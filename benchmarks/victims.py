"""The models that benchmarks attack, each with images that it classifies rightly."""

import argparse
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from max_mahalanobis import Linf, Recipe, evaluate, load_dataset, train
from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.data import Dataset
from max_mahalanobis.models import accelerated, build
from max_mahalanobis.results import worst_case
from max_mahalanobis.runs import load_classifier, open_run
from max_mahalanobis.types import Split, as_pixels

ADVERSARIAL = {"adversary": "pgd", "eps": 0.15, "adversary_steps": 5, "epochs": 10, "normalization": "none"}


class Victim(NamedTuple):
    """A model and a batch it classifies rightly."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor


def add_options(parser: argparse.ArgumentParser) -> None:
    """Runs of `mmc train` to take in place of models trained on the spot."""
    parser.add_argument("--run", type=Path, help="the model attacked (default: a small_cnn, trained now on digits)")
    parser.add_argument("--data-dir", type=Path, help="where the images of runs lie")


def resnet_on_noise(count: int) -> Victim:
    """ResNet-32 with its first weights, random images, and the labels it gives them: about half fall."""
    model = build(Recipe(model="resnet_v1", blocks=5, head="softmax"), (3, 32, 32), 10).eval()
    x = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    return Victim("resnet_v1", model, x, y)


def victim_of(run: Path | None, data_dir: Path | None, count: int, **recipe) -> Victim:
    """The model of a run on its test images; without a run a small_cnn, trained for seconds on enlarged digits."""
    if run is not None:
        found = open_run(run)
        split = load_dataset(found.recipe.data, data_dir=data_dir).test
        return _rightly_classified(found.name, load_classifier(found), split, count)
    data, recipe = _enlarged_digits(), {"head": "softmax", "epochs": 5} | recipe
    print(f"training a small_cnn on digits: {recipe}", file=sys.stderr)
    model = train(Recipe(model="small_cnn", **recipe), data, device="cpu")
    kind = "adversarial" if "adversary" in recipe else "plain"
    return _rightly_classified(f"small_cnn, {recipe['head']}, {kind}", model, data.train, count)


def robust_share(victim: Victim, eps: float, suite: str = "auto_fast") -> float:
    """Share of the images that hold under a suite."""
    rows = evaluate(victim.model, (victim.x, victim.y), threat=Linf(eps), suite=suite, faster=accelerated)
    return 1 - sum(worst_case(rows)) / len(victim.y)


def eps_where_half_hold(victim: Victim) -> float:
    """A budget in Linf under which about half of the images hold, by bisection with `auto_fast`."""
    low, high, shares = 0.0, 0.5, {}
    while len(shares) < 6 and all(abs(share - 0.5) > 0.04 for share in shares.values()):
        middle = (low + high) / 2
        shares[middle] = robust_share(victim, middle)
        print(f"{victim.name}: {100 * shares[middle]:.1f} % hold at {middle:g}", file=sys.stderr)
        low, high = (middle, high) if shares[middle] > 0.5 else (low, middle)
    return min(shares, key=lambda eps: abs(shares[eps] - 0.5))


@cache
def _enlarged_digits() -> Dataset:
    """Real digits at 28 x 28."""
    digits = load_dataset("digits")

    def enlarged(split: Split) -> Split:
        images = F.interpolate(split.images.float(), size=(28, 28), mode="bilinear")
        return split._replace(images=images.clamp(0, 255).to(torch.uint8))

    return replace(digits, **{name: enlarged(getattr(digits, name)) for name in ("train", "validation", "test")})


def _rightly_classified(name: str, model: nn.Module, split: Split, count: int) -> Victim:
    x, y = as_pixels(split.images[: 2 * count]), split.labels[: 2 * count].long()
    with torch.no_grad():
        right = (~is_fooled(model(x), y)).nonzero().squeeze(1)[:count]
    return Victim(name, model, x[right], y[right])
