"""How fast our attacks and heads are, beside other libraries and as shares of the work nothing can avoid.

The bare loop is `steps` times forward, cross-entropy and gradient of the input alone. It runs before every candidate in
every round; a candidate's share is the bare loop's time over its own, the table has the median over the rounds. The
bare loop is also a candidate: how far its share is from 1 is the noise of the machine.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib.metadata import distributions
from itertools import product
from statistics import median
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from max_mahalanobis import Linf, MMCHead, Recipe, SoftmaxHead, load_dataset, pgd, train
from max_mahalanobis.models import build

STEPS, EPS = 10, 0.3
PEERS = ("torchattacks", "foolbox")
INSTALLED = {package.name: package.version for package in distributions()}
HEADS = ((10, 256), (1000, 2048))  # classes, features
HEAD_BATCH, HEAD_ROUNDS = 128, 15


class Victim(NamedTuple):
    """A model and a batch it classifies rightly."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor


def small_cnn_on_digits(count: int) -> Victim:
    """A network trained for seconds on real digits enlarged to 28 x 28: right when clean, fooled by the attack."""
    digits = load_dataset("digits")

    def enlarged(split):
        images = F.interpolate(split.images.float(), size=(28, 28), mode="bilinear")
        return split._replace(images=images.clamp(0, 255).to(torch.uint8))

    data = replace(digits, **{name: enlarged(getattr(digits, name)) for name in ("train", "validation", "test")})
    model = train(Recipe(model="small_cnn", head="softmax", epochs=5), data, device="cpu")
    x, y = data.train.images.float() / 255, data.train.labels
    with torch.no_grad():
        right = (model(x).argmax(dim=1) == y).nonzero().squeeze(1)[:count]
    return Victim("small_cnn", model, x[right], y[right])


def resnet_on_noise(count: int) -> Victim:
    """ResNet-32 with its first weights, random images, and the labels it gives them: about half fall."""
    model = build(Recipe(model="resnet_v1", blocks=5, head="softmax"), (3, 32, 32), 10).eval()
    x = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    return Victim("resnet_v1", model, x, y)


def bare_loop(victim: Victim) -> None:
    """What no gradient attack can do without."""
    for _ in range(STEPS):
        x = victim.x.clone().requires_grad_(True)
        torch.autograd.grad(F.cross_entropy(victim.model(x), victim.y, reduction="sum"), x)


def ours(victim: Victim, *, stop_when_fooled: bool) -> Tensor:
    """Our PGD, from the images themselves."""
    settings = {"step_size": EPS / 4, "steps": STEPS, "random_start": False}
    threat = Linf(EPS)
    return pgd(victim.model, victim.x, victim.y, threat=threat, stop_when_fooled=stop_when_fooled, **settings)


def theirs_torchattacks(victim: Victim) -> Tensor:
    """The same PGD of torchattacks."""
    from torchattacks import PGD

    attack = PGD(victim.model, eps=EPS, alpha=EPS / 4, steps=STEPS, random_start=False)
    return attack(victim.x, victim.y)


def theirs_foolbox(victim: Victim) -> Tensor:
    """The same PGD of foolbox."""
    from foolbox import PyTorchModel
    from foolbox.attacks import LinfPGD

    attack = LinfPGD(abs_stepsize=EPS / 4, steps=STEPS, random_start=False)
    return attack.run(PyTorchModel(victim.model, bounds=(0, 1), device="cpu"), victim.x, victim.y, epsilon=EPS)


CANDIDATES: dict[str, Callable[[Victim], Tensor | None]] = {
    "bare loop, again": bare_loop,
    "ours, all images kept": lambda victim: ours(victim, stop_when_fooled=False),
    "ours, fooled images leave": lambda victim: ours(victim, stop_when_fooled=True),
    "torchattacks": theirs_torchattacks,
    "foolbox": theirs_foolbox,
}


def seconds(work: Callable, *arguments) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def race(victim: Victim, repeats: int) -> list[dict]:
    """One row per candidate."""
    shared = {"benchmark": "pgd_linf", "model": victim.name, "repeats": repeats, "batch": len(victim.x), "steps": STEPS}
    rows = [shared | {"candidate": name, "share_of_bare": None, "images_per_second": None} for name in CANDIDATES]
    for row in rows:
        absent = row["candidate"] in PEERS and row["candidate"] not in INSTALLED
        row |= {"note": "not installed: make peers"} if absent else {"held": held(victim, CANDIDATES[row["candidate"]])}
    present = [row for row in rows if "note" not in row]
    pairs: dict[str, list[tuple[float, float]]] = {row["candidate"]: [] for row in present}
    for turn, name in product(range(repeats), pairs):
        print(f"{victim.name}, round {turn + 1} of {repeats}: {name}", file=sys.stderr)
        pairs[name].append((seconds(bare_loop, victim), seconds(CANDIDATES[name], victim)))
    for row in present:
        own = pairs[row["candidate"]]
        row["share_of_bare"] = median(bare / time for bare, time in own)
        row["images_per_second"] = len(victim.x) * STEPS / median(time for _, time in own)
    return rows


def held(victim: Victim, attack: Callable[[Victim], Tensor | None]) -> float | None:
    """Share of the batch still classified rightly; this first call of every candidate is not timed."""
    x_adv = attack(victim)
    with torch.no_grad():
        return None if x_adv is None else (victim.model(x_adv).argmax(dim=1) == victim.y).double().mean().item()


def race_heads() -> list[dict]:
    """The cost of training on MMC's loss against softmax cross-entropy: forward, and backward to the features."""
    rows = []
    for num_classes, dim in HEADS:
        print(f"heads of {num_classes} classes, {dim} features", file=sys.stderr)
        features, labels = torch.randn(HEAD_BATCH, dim, requires_grad=True), torch.arange(HEAD_BATCH) % num_classes
        softmax, mmc = (
            lambda head=head, z=features, y=labels: [torch.autograd.grad(head.loss(z, y).mean(), z) for _ in range(50)]
            for head in (SoftmaxHead(dim, num_classes), MMCHead(dim, num_classes))
        )
        softmax(), mmc()
        ratio = 1 / median(seconds(softmax) / seconds(mmc) for _ in range(HEAD_ROUNDS))
        shared = {"benchmark": "head_loss", "model": f"{num_classes} x {dim}", "candidate": "MMC over SCE"}
        rows.append(shared | {"time_ratio": ratio, "repeats": HEAD_ROUNDS, "batch": HEAD_BATCH})
    return rows


def table(rows: list[dict], columns: list[str]) -> str:
    """Rows as a markdown table."""
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
    return "" if value is None else str(value)


def main() -> None:
    """Measure, print two tables, and write the rows where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=256, help="batch of the CNN; the ResNet gets a quarter")
    parser.add_argument("--repeats", type=int, default=5, help="counted rounds")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", help="append the rows to this file, as JSON lines")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shared = {name: INSTALLED.get(name) for name in ("max-mahalanobis", "torch", *PEERS)}
    shared |= {"python": platform.python_version(), "threads": options.threads, "date": date.today().isoformat()}
    attacks = race(resnet_on_noise(max(1, options.images // 4)), options.repeats)
    attacks += race(small_cnn_on_digits(options.images), options.repeats)
    heads = race_heads()
    print(" · ".join(f"{key} {value or 'absent'}" for key, value in shared.items()), end="\n\n")
    measured = ["share_of_bare", "images_per_second", "held", "repeats", "batch", "steps", "note"]
    print(table(attacks, ["model", "candidate", *measured]))
    print(table(heads, ["model", "candidate", "time_ratio", "repeats", "batch"]))
    if options.out:
        with open(options.out, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row | shared) + "\n" for row in attacks + heads)


if __name__ == "__main__":
    main()
