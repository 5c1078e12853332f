"""Class centers as a picture: points on a circle or a sphere, or the cosines of all pairs."""

import math

import numpy as np
from matplotlib.axes import Axes

from .canvas import CLASS_COLORS, GRID, INK, Drawing, canvas, color_of, render

MOST_LABELS = 30  # numbers written beside points; more hide each other
VIEW = np.linalg.qr([[0.5, 0.1, 0.86], [0.87, -0.25, -0.4], [0.2, 0.96, -0.2]])[0]  # right, up, toward the reader


def centers_drawing(centers: np.ndarray, key: str = "centers") -> Drawing:
    """Centers (classes, dim): drawn where they stand in up to 3 dimensions, beyond that as a map of their cosines."""
    count, dim = centers.shape
    with canvas(6.4, 5.6) as (figure, (axes,)):
        if dim <= 3:
            _draw_points(axes, centers)
            caption = "Class centers; lines join those with the smallest angle."
            caption += " Points on the far side of the sphere are pale." if dim == 3 else ""
        else:
            image = axes.imshow(cosines_of(centers), cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
            figure.colorbar(image, ax=axes, label="cosine")
            axes.set(xlabel="class", ylabel="class")
            caption = "Cosines of all pairs of class centers."
        largest = (cosines_of(centers) - 3 * np.eye(count)).max() if count > 1 else math.nan
        alt = f"{count} class centers in {dim} dimensions"
        alt += f", largest cosine of two {largest:.4g}." if count > 1 else "."
        return render(figure, key, alt, caption)


def as_document(drawing: Drawing) -> str:
    """The drawing as an SVG file of its own: on white, with its description inside."""
    head = f'<title>{drawing.alt}</title><rect width="100%" height="100%" fill="white"/><defs>'
    shown = drawing.svg.replace('aria-hidden="true"', 'role="img"', 1).replace("currentColor", INK)
    return shown.replace("<defs>", head, 1)


def cosines_of(centers: np.ndarray) -> np.ndarray:
    """The cosines of all pairs of rows, (classes, classes)."""
    unit = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    return unit @ unit.T


def _draw_points(axes: Axes, centers: np.ndarray) -> None:
    count, dim = centers.shape
    radius = np.linalg.norm(centers, axis=1).max()
    if dim == 3:
        seen = centers @ VIEW
    else:
        seen = np.column_stack([centers, np.zeros((count, 2 - dim)), np.full(count, radius)])  # all of it is near
    round_ = np.linspace(0, 2 * math.pi, 241)
    axes.plot(radius * np.cos(round_), radius * np.sin(round_), color=GRID, linewidth=1)
    for i, j in _closest(cosines_of(centers)):
        axes.plot(*seen[[i, j], :2].T, color=INK, linewidth=0.7, alpha=_shown(min(seen[i, 2], seen[j, 2]) / radius) / 2)
    for k in np.argsort(seen[:, 2]):
        alpha = _shown(seen[k, 2] / radius)
        axes.plot(*seen[k, :2], "o", color=color_of(int(k), CLASS_COLORS), markersize=4 + 4 * alpha, alpha=alpha)
        if count <= MOST_LABELS:
            axes.annotate(str(k), seen[k, :2], xytext=(5, 5), textcoords="offset points", fontsize=9, alpha=alpha)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _closest(cosines: np.ndarray) -> list[tuple[int, int]]:
    """The pairs whose cosine is the largest, up to rounding; none where that is every pair of many."""
    pairs = np.triu(np.ones_like(cosines, dtype=bool), 1)
    if not pairs.any():
        return []
    touching = np.argwhere(pairs & (cosines >= cosines[pairs].max() - 1e-4))
    return [(int(i), int(j)) for i, j in touching[:2000]]


def _shown(depth: float) -> float:
    """How opaque what lies at this depth is, from -1 (far) to 1 (near)."""
    return float(np.clip(0.65 + 0.35 * depth, 0.3, 1.0))
