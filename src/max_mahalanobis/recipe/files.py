"""A recipe file, read with its format checked."""

import tomllib
from pathlib import Path

from ..errors import UserError

FORMAT = 1  # of a run folder; raised when an older mmc could not read what a newer one writes


def read_toml(path: Path) -> dict:
    """A recipe file as a dict, its format checked."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): give a recipe.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a recipe: {error}") from error
    found = values.get("format")
    if not isinstance(found, int):
        raise UserError(f"{path} is not a recipe: it has no line 'format = {FORMAT}'")
    if found > FORMAT:
        raise UserError(f"{path} has format {found}, this version reads up to {FORMAT}: update mmc")
    return values
