"""What the command line can be told: one frozen dataclass per command, its fields are the options."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .recipe import Recipe

Flat = tyro.conf.arg(name="")
ThreatName = Literal["linf", "l2", "l1", "l0"]
SuiteName = Literal[
    "quick",
    "paper",
    "paper_faithful",
    "adaptive",
    "auto",
    "auto_fast",
    "audit",
    "auto_plus",
    "exhaustive",
    "minimum_norm",
    "transformations",
]


@dataclass(frozen=True)
class Machine:
    """Where and how loudly to work."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """accelerator; auto takes the best there is"""
    threads: int | None = None
    """CPU threads (PyTorch's own choice)"""
    quiet: bool = False
    """no progress on stderr"""


@dataclass(frozen=True)
class Files:
    """Where images come from."""

    data_dir: Path | None = None
    """folder with the data files, read only; otherwise the cache (MMC_CACHE)"""
    no_download: bool = False
    """never fetch absent files"""


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
    threat: ThreatName = "linf"
    """norm that bounds the adversary"""
    eps: tyro.conf.UseAppendAction[tuple[float, ...]] = ()
    """the adversary's budget in pixels of [0, 1], for example 8/255 (the data set's usual one); may be given several
    times"""
    images: int = 1000
    """how many of the split's images, from the first"""
    split: Literal["test", "validation"] = "test"
    """which images"""
    weights: str | None = None
    """best, last or an epoch that was kept: these instead of the weights the run ends with; rows name them NAME@best"""
    curve: bool = False
    """also attack at 1/8 to 2 times the budget, for a curve"""
    batch_size: int = 256
    """images at a time; verdicts do not depend on it"""
    seed: int = 0
    """of random starts and targets"""
    devices: int = 1
    """processes (and accelerators) that share the images"""
    compile: bool = False
    """attack a compiled copy of the model"""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """what the attacked copy computes in; verdicts are always those of the model itself in float32"""
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
    suite: tyro.conf.UseAppendAction[tuple[SuiteName, ...]] = ()
    """the attacks (audit: adaptive, then auto); may be given several times"""
    threat: Literal["linf", "l2", "l1"] = "linf"
    """norm that bounds the adversary"""
    eps: float | None = None
    """the adversary's budget in pixels of [0, 1], for example 8/255 (the data set's usual one)"""
    images: int = 1000
    """how many of the split's images, from the first"""
    split: Literal["test", "validation"] = "test"
    """which images of the run's data"""
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
    batch_size: int = 256
    """images at a time; verdicts do not depend on it"""
    seed: int = 0
    """of random starts and targets"""
    compile: bool = False
    """attack a compiled copy of the model"""
    out: Path | None = None
    """folder for audit.json and the rows (the run's own; audit)"""
    format: Literal["text", "json"] = "text"
    """what is printed"""
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Report:
    """Make a table and one self-contained page of evaluated runs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, or .jsonl files of result rows"""
    out: Path = Path("report.html")
    """the page"""
    table: Literal["terminal", "markdown", "latex", "json", "csv"] = "terminal"
    """how the tables are printed; json and csv hold all of the page's, and nothing else is printed beside them"""
    seed: int = 0
    """unused: a report has nothing random"""
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


@dataclass(frozen=True)
class Plan:
    """How many images a precision needs, and what that many (or --images) can show of one model, or of two."""

    precision: float = 1.0
    """how far the 95 % interval may reach to either side, in points of accuracy"""
    accuracy: float = 50.0
    """the accuracy expected, in percent (near 50 more images are needed than elsewhere)"""
    images: int | None = None
    """what this many images can show (as many as the precision needs)"""
    seed: int = 0
    """unused: a plan has nothing random"""
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


@dataclass(frozen=True)
class Density:
    """Measure and draw how densely the features of trained runs lie: the paper's argument for its loss."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders"""
    out: Path = Path("density")
    """folder for the drawings, their numbers and the page"""
    overwrite: bool = False
    """replace an earlier one"""
    images: int = 10000
    """most images of each split, from the first; densities count them"""
    convention: Literal["volume", "surface"] = "volume"
    """number in a shell over its volume, or per unit of loss over its surface, as the paper prints"""
    seed: int = 0
    """of the animation"""
    files: Annotated[Files, Flat] = field(default_factory=Files)
    machine: Annotated[Machine, Flat] = field(default_factory=Machine)


Command = Quickstart | Centers | Train | Evaluate | Audit | Report | Density | Plan | ImportKeras
COMMANDS: dict[str, type[Command]] = {
    "quickstart": Quickstart,
    "centers": Centers,
    "train": Train,
    "evaluate": Evaluate,
    "audit": Audit,
    "report": Report,
    "plan": Plan,
    "import-keras": ImportKeras,
    "density": Density,
}
