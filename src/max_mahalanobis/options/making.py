"""Options of the commands that make things: quickstart, centers, train, import-keras."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..recipe import Recipe
from .shared import Files, Flat, Machine


@dataclass(frozen=True)
class Quickstart:
    """Train and attack SCE and MMC, with and without adversarial training, on real handwritten digits."""

    out: Path = Path("quickstart")
    """folder for the four runs and the page; replaced when it is a quickstart's own"""
    seed: int = 0
    """of everything"""
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Centers:
    """Where class centers stand: their geometry beside the best possible, a .npy file and a picture of them."""

    classes: int | None = None
    """number of classes (10; hierarchical and file: what they have)"""
    dim: int | None = None
    """number of features (classes - 1, enough for a simplex; orthonormal: classes; file: what it has)"""
    norm: float = 10.0
    """length of each center"""
    kind: Literal["maximal", "random", "orthonormal", "hierarchical", "file"] = "maximal"
    """maximal: as far apart as geometry allows; random: uniform on the sphere; orthonormal: on the axes; hierarchical:
    classes near their superclass; file: those of --file"""
    file: Path | None = None
    """centers to look at, .npy or the authors' .mat, scaled to --norm"""
    superclasses: tuple[int, ...] = ()
    """hierarchical: the superclass of each class, from 0 (CIFAR-100's where there are 100 classes)"""
    out: Path | None = None
    """write them here (.npy, float64, classes x dim)"""
    plot: Path | None = None
    """draw them here (.svg): points in up to 3 dimensions, beyond that the cosines of all pairs"""
    overwrite: bool = False
    """replace the files"""
    seed: int = 0
    """of random centers, and of the search where more than 2 dim classes have no closed form"""
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Train:
    """Train a classifier by a recipe into a run folder."""

    out: Path
    """the run folder"""
    recipe: Annotated[Recipe, Flat] = field(default_factory=Recipe)
    recipe_file: Path | None = None
    """start from this recipe.toml; options override it"""
    overwrite: bool = False
    """replace the run at --out"""
    resume: bool = False
    """continue the run at --out with its own recipe"""
    keep: int = 0
    """epochs whose weights are kept in checkpoints/, spread evenly over the training"""
    devices: int = 1
    """processes (and accelerators) on this machine that share every batch; torchrun and Slurm start their own"""
    nodes: int = 1
    """machines"""
    compile: bool = False
    """run the network through torch.compile: slow to start, faster where networks are large"""
    log: Literal["none", "csv", "tensorboard"] = "none"
    """also write every epoch's numbers into the run's folder logs/ (tensorboard needs the extra of that name)"""
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class ImportKeras:
    """Make a run of the paper's authors' Keras weights (their ResNets on MNIST or CIFAR), to be evaluated as ours."""

    file: tyro.conf.Positional[Path]
    """the .h5 file, of Keras 2 or of Keras 3's legacy writer"""
    out: Path
    """the run folder"""
    version: Literal[1, 2] = 2
    """of the ResNet"""
    depth_n: int | None = None
    """n: depth 6n+2 (version 1) or 9n+2 (version 2); read off the file when omitted"""
    head: Literal["mmc", "softmax"] = "mmc"
    """what the network was trained with"""
    norm: float = 10.0
    """length of the class centers"""
    data: str = "cifar10"
    """what it was trained on; the mean of all its training images is subtracted"""
    adversary: Literal["none", "untargeted", "targeted"] = "none"
    """what it was trained against, for the tables: nothing, or PGD-10 at 8/256"""
    overwrite: bool = False
    """replace the run at --out"""
    seed: int = 0
    """of the cut between training and validation images; the authors trained on both"""
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)
