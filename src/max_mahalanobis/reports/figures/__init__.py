"""The drawings of a report, each from run records to one SVG."""

from .budget import budget_drawings
from .canvas import Drawing
from .examples import examples_drawing
from .features import features_drawing
from .training import training_drawing

__all__ = ["Drawing", "budget_drawings", "examples_drawing", "features_drawing", "training_drawing"]
