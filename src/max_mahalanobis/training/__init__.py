"""From a recipe to a trained classifier."""

from .schedule import fill_defaults
from .trainer import accuracy, train

__all__ = ["accuracy", "fill_defaults", "train"]
