"""The drawings of a report, each from run records to one SVG; class centers, from an array."""

from .budget import budget_drawings
from .canvas import Drawing
from .centers import as_document, centers_drawing
from .examples import examples_drawing
from .features import features_drawing
from .surfaces import surfaces_drawing
from .training import training_drawing

__all__ = [
    "Drawing",
    "as_document",
    "budget_drawings",
    "centers_drawing",
    "examples_drawing",
    "features_drawing",
    "surfaces_drawing",
    "training_drawing",
]
