"""Options of the commands that attack: evaluate, audit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..results import BudgetSuiteName, SuiteName
from .shared import Files, Flat, Machine, Precision, ThreatName


@dataclass(frozen=True)
class Work:
    """On which images and weights, how, and by how many."""

    images: int = 1000
    """how many of the split's images, from the first"""
    split: Literal["test", "validation"] = "test"
    """which images of the run's data"""
    weights: str | None = None
    """best, last or an epoch that was kept: these instead of the weights the run ends with; rows name them NAME@best"""
    source: Path | None = None
    """another run of the same data, for transfer: images made against it are judged on this one"""
    batch_size: int = 256
    """images at a time; verdicts do not depend on it"""
    seed: int = 0
    """of random starts and targets"""
    devices: int = 1
    """processes (and accelerators) that share the images"""
    compile: bool = False
    """attack a compiled copy of the model"""
    precision: Precision = "32-true"
    """what the attacked copy computes in: float32, or (bf16-mixed) bfloat16 where autocast deems it safe; verdicts are
    always those of the model itself in float32"""


@dataclass(frozen=True)
class Evaluate:
    """Attack a trained run and append what each attack did, image by image, to its results."""

    run: tyro.conf.Positional[Path]
    """a run folder"""
    suite: tyro.conf.UseAppendAction[tuple[SuiteName, ...]] = ()
    """the attacks (quick); may be given several times"""
    attack: str | None = None
    """one attack by name instead of a suite, for example apgd"""
    objective: str | None = None
    """what that attack climbs (its own choice)"""
    steps: int | None = None
    """steps of that attack (its own choice)"""
    passes: int | None = None
    """most forward and backward passes per image, instead of steps"""
    every_target: bool = False
    """aim that attack at each of the 9 likeliest wrong classes"""
    samples: int | None = None
    """spsa: pairs of points per step (128)"""
    delta: float | None = None
    """spsa: half the distance between the points of a pair (0.01)"""
    kind: str | None = None
    """corrupt: the corruption (gaussian_noise); docs/attacks.md lists all"""
    severity: int | None = None
    """corrupt: 1 (mild) to 5 (3)"""
    threat: ThreatName = "linf"
    """norm that bounds the adversary"""
    eps: tyro.conf.UseAppendAction[tuple[float, ...]] = ()
    """the adversary's budget in pixels of [0, 1], for example 8/255 (the data set's usual one); may be given several
    times"""
    curve: bool = False
    """also attack at 1/8 to 2 times the budget, for a curve"""
    work: Annotated[Work, Flat] = field(default_factory=Work)
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Audit:
    """Attack a model, doubt the attacks, and say which number to report and whether to believe it."""

    run: tyro.conf.Positional[Path | None] = None
    """a run folder; or describe any model with --model and --data"""
    model: str | None = None
    """module:function that returns a function from images in [0, 1] to logits"""
    data: Path | None = None
    """.npz with x_test, y_test (or x, y) for --model"""
    suite: tyro.conf.UseAppendAction[tuple[BudgetSuiteName, ...]] = ()
    """the attacks (audit: adaptive, then auto); may be given several times"""
    threat: Literal["linf", "l2", "l1"] = "linf"
    """norm that bounds the adversary"""
    eps: float | None = None
    """the adversary's budget in pixels of [0, 1], for example 8/255 (the data set's usual one)"""
    until_decided: bool = False
    """stop once it is shown whether the model is robust, weak or broken (the number is then of fewer images)"""
    robust: float = 0.5
    """share of the clean accuracy above which a model is called robust"""
    broken: float = 0.1
    """share of the clean accuracy below which it is called broken"""
    illusion: float = 10.0
    """points by which a quoted number must be too high to be called an illusion"""
    trial_images: int = 100
    """images on which the evaluation itself is tried"""
    out: Path | None = None
    """folder for the rows, and in its audit/ a verdict for each threat, budget and number of images (the run's own, or
    audit-MODULE.FUNCTION)"""
    format: Literal["terminal", "json"] = "terminal"
    """how the verdict is printed"""
    work: Annotated[Work, Flat] = field(default_factory=Work)
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)
