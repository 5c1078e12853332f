"""Everything that decides a trained model: the recipe, what it must fulfil, its file."""

from .checks import check_eps, check_seed
from .description import describe_adversary
from .fields import HeadName, ObjectiveName, Recipe
from .files import FORMAT, read_toml

__all__ = [
    "FORMAT",
    "HeadName",
    "ObjectiveName",
    "Recipe",
    "check_eps",
    "check_seed",
    "describe_adversary",
    "read_toml",
]
