"""Words on the command line become one of the options."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, get_args

import tyro

from .options import COMMANDS, Command, Precision, Train
from .recipe import Recipe


def parse(arguments: list[str]) -> Command:
    """The command a user asked for; exits with 2 and a short message when it cannot be understood."""
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_fraction_rule)
    registry.primitive_rule(_precision_rule)
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


def _precision_rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
    """The names are lightning-fabric's; the field's word bf16 is understood."""
    if info.type != Precision:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(get_args(Precision))}}}",
        instance_from_str=lambda words: _precision(words[0]),
        is_instance=lambda value: value in get_args(Precision),
        str_from_instance=lambda value: [value],
    )


def _precision(word: str) -> str:
    name = "bf16-mixed" if word == "bf16" else word
    if name not in get_args(Precision):
        raise ValueError(f"unknown precision {word!r}: choose from {', '.join(get_args(Precision))}")
    return name


def _number(word: str) -> float:
    try:
        return float(Fraction(word)) if "/" in word else float(word)
    except ZeroDivisionError:
        raise ValueError(f"{word} divides by zero") from None
    except OverflowError:
        raise ValueError(f"{word} is too large") from None
