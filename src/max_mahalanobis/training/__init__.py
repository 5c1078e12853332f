"""From a recipe to a trained classifier."""

from .schedule import fill_defaults
from .trainer import train
from .validation import accuracy

__all__ = ["accuracy", "fill_defaults", "train"]
