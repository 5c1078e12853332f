"""What every kind of centers refuses."""

import math

from ..errors import UserError


def check_sizes(num_classes: int, dim: int) -> None:
    """At least one class and one dimension."""
    if num_classes < 1 or dim < 1:
        raise UserError(f"num_classes and dim must be at least 1, got {num_classes} and {dim}")


def check_norm(norm: float | int) -> None:
    """A length, above 0."""
    if not (math.isfinite(norm) and norm > 0):
        raise UserError(f"norm must be positive, got {norm}")
