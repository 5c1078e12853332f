"""What a step of training costs, beside the same work in a bare loop and beside the usual loop of published code.

The bare loop takes, on the plain eager model: for every step of PGD forward, cross-entropy and the gradient of the
input alone, in evaluation mode; then forward, backward and a step of the optimizer. It runs before every candidate in
every round. In the table, medians over the rounds:

over_bare         the candidate's time over the bare loop's: below 1 where the copy that is attacked is faster
speedup           the textbook loop's time over the candidate's, in the same round

"textbook" crafts in training mode and by `backward()`, which computes the gradients of the weights too. "ours" is
`Loop.run_epoch`, the epochs of `train` with all they do around a step; "ours, plain" the same with the model itself
attacked (no folded copy) and the usual layout of tensors in place of channels_last. All learn from the same random
images, by SGD with momentum. The bare loop is also a candidate: how far it is from 1 is the noise of the machine.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from timing import Laps, new_rows, parser, publish, race, ratio, times_of
from torch import Tensor, nn

from max_mahalanobis import Recipe
from max_mahalanobis.data import Dataset
from max_mahalanobis.models import build
from max_mahalanobis.training import adversary, fill_defaults
from max_mahalanobis.training.state import Progress
from max_mahalanobis.training.trainer import make_loop
from max_mahalanobis.types import Split, as_pixels

NETWORKS = {"resnet_v1": ("cifar10", (3, 32, 32)), "small_cnn": ("mnist", (1, 28, 28))}  # data whose eps is used, shape
STEPS = {"resnet_v1": 1, "small_cnn": 10}  # of training, in one measurement
CONTESTS = [f"{name}:{kind}" for name in NETWORKS for kind in ("pgd", "standard")]
CLASSES = 10
COMPILED = "ours, compiled"
Work = Callable[[], object]


class Task(NamedTuple):
    """What all candidates learn: a recipe with its defaults filled in, and batches of random images."""

    recipe: Recipe
    data: Dataset

    @property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Pixels in [0, 1] and labels."""
        images, labels, _ = self.data.train
        size = self.recipe.batch_size
        return list(zip(as_pixels(images).split(size), labels.split(size), strict=True))

    def model(self) -> nn.Module:
        """The untrained network, in the usual layout."""
        return build(self.recipe, self.data.image_shape, CLASSES).train()


def task_of(name: str, kind: str, options) -> Task:
    """A few batches for a network, with an adversary (pgd) or without (standard)."""
    source, shape = NETWORKS[name]
    recipe = Recipe(data=source, model=name, blocks=options.blocks, head="softmax", batch_size=options.images)
    recipe = replace(recipe, optimizer="sgd", adversary_warmup=0.0, adversary_steps=options.attack_steps)
    recipe = fill_defaults(replace(recipe, adversary="pgd" if kind == "pgd" else "none"))
    generator, count = torch.Generator().manual_seed(0), options.images * (options.steps or STEPS[name])
    images = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(count) % CLASSES, torch.arange(count))
    names = tuple(map(str, range(CLASSES)))
    return Task(recipe, Dataset("noise", split, split, split, CLASSES, names, hashes={}, published=False))


def bare(task: Task) -> Work:
    """What no training against this adversary can do without."""
    model = task.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=task.recipe.learning_rate, momentum=0.9)

    def steps() -> None:
        for x, y in task.batches:
            if task.recipe.adversary == "pgd":
                model.eval().requires_grad_(False)
                for _ in range(task.recipe.adversary_steps):
                    at = x.clone().requires_grad_(True)
                    torch.autograd.grad(F.cross_entropy(model(at), y, reduction="sum"), at)
                model.train().requires_grad_(True)
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

    return steps


def textbook(task: Task) -> Work:
    """The loop of published adversarial training (such as github.com/locuslab/robust_overfitting)."""
    model, recipe = task.model(), task.recipe
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.learning_rate, momentum=0.9)

    def crafted(x: Tensor, y: Tensor) -> Tensor:
        delta = torch.empty_like(x).uniform_(-recipe.eps, recipe.eps)
        delta = torch.clamp(delta, 0 - x, 1 - x).requires_grad_(True)
        for _ in range(recipe.adversary_steps):
            F.cross_entropy(model(x + delta), y).backward()
            size = 2.5 * recipe.eps / recipe.adversary_steps
            moved = torch.clamp(delta + size * delta.grad.sign(), -recipe.eps, recipe.eps)
            delta.data = torch.clamp(moved, 0 - x, 1 - x).detach()
            delta.grad.zero_()
        return delta.detach()

    def steps() -> None:
        for x, y in task.batches:
            x_adv = x + crafted(x, y) if recipe.adversary == "pgd" else x
            optimizer.zero_grad()
            F.cross_entropy(model(x_adv), y).backward()
            optimizer.step()

    return steps


def ours(task: Task, *, plain: bool = False, compile: bool = False) -> Work:
    """An epoch of `train`."""
    fabric = Fabric(accelerator="cpu", devices=1)
    if not plain:
        loop, _ = make_loop(task.recipe, task.data, fabric, compile=compile)
    else:
        with patch.object(adversary, "folded", lambda model, compile: None):
            loop, _ = make_loop(task.recipe, task.data, fabric)
        loop.model.to(memory_format=torch.contiguous_format)
    return lambda: loop.run_epoch(Progress())


CANDIDATES: dict[str, Callable[[Task], Work]] = {
    "bare loop, again": bare,
    "textbook": textbook,
    "ours": ours,
    "ours, plain": lambda task: ours(task, plain=True),
    COMPILED: lambda task: ours(task, compile=True),
}


def hold(contest: str, options) -> list[dict]:
    """One row per candidate of a contest."""
    name, kind = contest.split(":")
    task = task_of(name, kind, options)
    names = [each for each in CANDIDATES if each != COMPILED or options.compile]
    shared = {"benchmark": f"training_{kind}", "model": name, "repeats": options.repeats, "batch": options.images}
    if name == "resnet_v1":
        shared["blocks"] = options.blocks
    if kind == "pgd":
        shared["attack_steps"] = options.attack_steps
    work, yardstick = {each: CANDIDATES[each](task) for each in names}, bare(task)
    for first in (yardstick, *work.values()):  # whose calls compile, and choose kernels
        first()
    laps = race(contest, work, options.repeats, yardstick)
    rows = new_rows(shared, names)
    for row in rows:
        row |= figures(laps[row["candidate"]], laps["textbook"])
        row["images_per_second"] = len(task.data.train.labels) / row["seconds"]
    return rows


def figures(laps: Laps, textbook: Laps) -> dict[str, float]:
    """Times, and ratios to the two loops."""
    over_bare, over_bare_cpu = ratio(laps.own, laps.yardstick)
    speedup, speedup_cpu = ratio(textbook.own, laps.own)
    ratios = {"over_bare": over_bare, "over_bare_cpu": over_bare_cpu, "speedup": speedup, "speedup_cpu": speedup_cpu}
    return times_of(laps) | ratios


def main() -> None:
    """Measure, print a table, and write the rows where asked."""
    options = parser(__doc__, images=128, repeats=5, contests=CONTESTS)
    options.add_argument("--blocks", type=int, default=5, help="of the ResNet (depth 6 blocks + 2)")
    options.add_argument("--attack-steps", type=int, default=10, help="of PGD")
    options.add_argument("--steps", type=int, help="of training in one measurement (resnet_v1 1, small_cnn 10)")
    options.add_argument("--compile", action="store_true", help="a compiled training too: its first step takes minutes")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    rows = [row for contest in options.contests for row in hold(contest, options)]
    ratios = ["over_bare", "over_bare_cpu", "speedup", "speedup_cpu"]
    measured = ["images_per_second", "seconds", "cpu_seconds", "repeats", "batch", "attack_steps"]
    publish(rows, ["benchmark", "model", "candidate", *ratios, *measured], options)


if __name__ == "__main__":
    main()
