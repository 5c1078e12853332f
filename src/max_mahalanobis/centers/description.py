"""The geometry of centers in words, beside the best possible."""

import math

from torch import Tensor

from .bounds import angle_bound, geometry
from .maximal import CLOSED_FORMS, construction

NAMES = {
    "simplex": "a regular simplex, the optimum",
    "cross-polytope": "corners of a cross-polytope, the optimum",
    "polygon": "a regular polygon, the optimum",
    "optimized": "optimized",
    "random": "random",
    "orthonormal": "orthonormal",
    "hierarchical": "hierarchical",
    "file": "from a file",
}


def describe(kind: str, centers: Tensor) -> list[str]:
    """What centers of a kind are (a line), the closest two of them (a line), and how far from the bound that is."""
    count, dim = centers.shape
    lengths = centers.norm(dim=1)
    low, high = float(lengths.min()), float(lengths.max())
    norm = f"{high:.6g}" if high - low < 1e-9 * high else f"{low:.6g} to {high:.6g}"
    made = construction(count, dim) if kind == "maximal" else kind
    lines = [f"{count} centers in {dim} dimension{'s' * (dim > 1)}, norm {norm}: {NAMES[made]}"]
    if count > 1 and low > 0:
        found, bound = geometry(centers), angle_bound(count, dim)
        lines.append(
            f"smallest angle {_degrees(found.angle)}, largest cosine {found.cosine:.6g}, "
            f"smallest distance {found.distance:.6g}"
        )
        if found.angle < bound.angle - 1e-6:
            lines.append(
                f"no centers have more than {_degrees(bound.angle)} ({bound.source}): "
                f"these reach {100 * found.angle / bound.angle:.2f} % of it"
            )
        elif made not in CLOSED_FORMS:
            lines.append(f"no centers have a larger smallest angle ({bound.source})")
    return lines


def _degrees(angle: float) -> str:
    return f"{math.degrees(angle):.6g} degrees"
