"""What the command line can be told: one frozen dataclass per command, its fields are the options."""

from dataclasses import dataclass, field
from fractions import Fraction
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
    """Where class centers stand: their geometry, and a .npy file of them."""

    classes: int = 10
    """number of classes"""
    dim: int | None = None
    """number of features (classes - 1)"""
    norm: float = 10.0
    """length of each center"""
    out: Path | None = None
    """write them here (.npy, float64, classes x dim)"""
    overwrite: bool = False
    """replace the file"""
    seed: int = 0
    """unused: the simplex has nothing random"""
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
class Report:
    """Make a table and one self-contained page of evaluated runs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, or .jsonl files of result rows"""
    out: Path = Path("report.html")
    """the page"""
    table: Literal["terminal", "markdown"] = "terminal"
    """how the table is printed"""
    seed: int = 0
    """unused: a report has nothing random"""
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


Command = Quickstart | Centers | Train | Evaluate | Report | Density
COMMANDS: dict[str, type[Command]] = {
    "quickstart": Quickstart,
    "centers": Centers,
    "train": Train,
    "evaluate": Evaluate,
    "report": Report,
    "density": Density,
}


def parse(arguments: list[str]) -> Command:
    """The command a user asked for; exits with 2 and a short message when it cannot be understood."""
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_fraction_rule)
    kinds = tuple(
        Annotated[kind, tyro.conf.subcommand(name, default=_default(kind, arguments))]
        if _default(kind, arguments) is not None
        else Annotated[kind, tyro.conf.subcommand(name)]
        for name, kind in COMMANDS.items()
    )
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return tyro.cli(
        union,
        prog="mmc",
        args=arguments,
        description="Max-Mahalanobis centers: train, attack, and say how far to trust the number.",
        config=(tyro.conf.FlagCreatePairsOff,),
        registry=registry,
    )


def _default(kind: type[Command], arguments: list[str]) -> Command | None:
    """`mmc train` starts from a recipe file, or with --resume from the run's own recipe."""
    if kind is not Train or arguments[:1] != ["train"]:
        return None
    source = _value(arguments, "--recipe-file")
    if source is None and "--resume" in arguments and (out := _value(arguments, "--out")) is not None:
        from .runs import open_run

        source = str(open_run(Path(out)).recipe_file)
    return None if source is None else Train(out=tyro.MISSING, recipe=Recipe.from_toml(Path(source)))


def _value(arguments: list[str], name: str) -> str | None:
    """The value an option has on the command line: the last one counts, and _ is as good as - (tyro's rules)."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        option, equals, after = argument.partition("=")
        if option.replace("_", "-") == name:
            value = after if equals else following
    return value


def _fraction_rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
    """Every number may be written as a fraction: 8/255."""
    if info.type is not float:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NUMBER",
        instance_from_str=lambda words: _number(words[0]),
        is_instance=lambda value: isinstance(value, float | int),
        str_from_instance=lambda value: [f"{value:g}" if isinstance(value, float) else str(value)],
    )


def _number(word: str) -> float:
    try:
        return float(Fraction(word)) if "/" in word else float(word)
    except ZeroDivisionError:
        raise ValueError(f"{word} divides by zero") from None
    except OverflowError:
        raise ValueError(f"{word} is too large") from None
