"""The loss on a plane around an image: cross-entropy, often flat, beside the margin."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..conditions import attack_text
from ..reading import RunRecord
from .canvas import INK, Drawing, canvas, render

NEEDED = {
    "image_labels",
    *(f"surface_{name}" for name in ("cross_entropy", "margin", "size", "attacked", "of", "steps")),
}
EXACTLY_ZERO = "#b9bcc2"
ON_MAP = "#000000"  # the maps keep their colors on dark pages, so what lies on them does too
_ROUNDING = 1e-4  # budgets


def surfaces_drawing(run: RunRecord, key: str) -> Drawing | None:
    """Two maps for each image whose surroundings a run's pictures hold; none when they hold none."""
    pictures = run.pictures or {}
    if not pictures.keys() >= NEEDED or len(pictures["surface_of"]) == 0:
        return None
    labels = [run.class_name(int(label)) for label in pictures["image_labels"][pictures["surface_of"]]]
    planes = [_plane(pictures, number) for number in range(len(labels))]
    attack = attack_text(str(pictures["attack"])) if "attack" in pictures else "an attack"
    with canvas(8.2, 0.6 + 3.5 * len(planes), columns=2, rows=len(planes)) as (figure, panels):
        for plane, label, left, right in zip(planes, labels, panels[::2], panels[1::2], strict=True):
            _draw_cross_entropy(figure, left, plane)
            _draw_margin(figure, right, plane)
            left.set(title=f"class {label}: cross-entropy", ylabel="random direction, budgets")
            right.set(title="margin")
        for axes in panels[-2:]:
            axes.set_xlabel("attack's direction, budgets")
        figure.legend(handles=_handles(), loc="outside lower center", ncols=4, fontsize=10)
        numbers = " ".join(_said(plane, label) for plane, label in zip(planes, labels, strict=True))
        alt = f"{run.name}: cross-entropy and margin on a plane around {len(planes)} images. {numbers}"
        caption = (
            f"{numbers} The plane holds the way of {attack} and a random direction orthogonal to it, both one budget "
            "long; pixels stay in [0, 1]. The margin is the largest other logit minus the own: above 0 the model errs. "
            "Gray is a cross-entropy of exactly 0 as computed, which in float32 any lead above about 17 gives."
        )
        return render(figure, key, alt, caption, run.name)


def _plane(pictures: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    names = ("cross_entropy", "margin", "size", "attacked")
    plane = {name: pictures[f"surface_{name}"][number].astype(np.float64) for name in names}
    return plane | {"steps": pictures["surface_steps"].astype(np.float64)}


def _draw_cross_entropy(figure: Figure, axes: Axes, plane: dict[str, np.ndarray]) -> None:
    from matplotlib import colormaps

    values = np.ma.masked_invalid(plane["cross_entropy"])
    most, least = _ends(values)[1], np.finfo(np.float32).tiny
    colors = colormaps["YlGnBu"].with_extremes(under=EXACTLY_ZERO)
    _draw_map(figure, axes, plane, values, cmap=colors, vmin=least, vmax=max(most, 1e-3))


def _draw_margin(figure: Figure, axes: Axes, plane: dict[str, np.ndarray]) -> None:
    values = np.ma.masked_invalid(plane["margin"])
    most = max(*map(abs, _ends(values)), 1e-3)
    _draw_map(figure, axes, plane, values, cmap="RdBu_r", vmin=-most, vmax=most)


def _draw_map(figure: Figure, axes: Axes, plane: dict[str, np.ndarray], values: np.ma.MaskedArray, **colors) -> None:
    steps = plane["steps"]
    half = (steps[1] - steps[0]) / 2
    extent = (steps[0] - half, steps[-1] + half) * 2
    shown = axes.imshow(values, origin="lower", extent=extent, interpolation="none", **colors)
    figure.colorbar(shown, ax=axes, shrink=0.9)
    for level, kind, style in ((0, "margin", "-"), (1 + _ROUNDING, "size", "--")):
        heights = np.ma.masked_invalid(plane[kind])
        low, high = _ends(heights)
        if low < level < high:
            axes.contour(steps, steps, heights, levels=[level], colors=ON_MAP, linestyles=style, linewidths=1.4)
    mark = {"color": ON_MAP, "markeredgecolor": "white", "markeredgewidth": 0.8, "zorder": 5}
    axes.plot(0, 0, "o", markersize=7, **mark)
    axes.plot(plane["attacked"], 0, "X", markersize=8, clip_on=False, **mark)
    axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])


def _ends(values: np.ma.MaskedArray) -> tuple[float, float]:
    """The least and the largest; zeros where nothing is finite."""
    return (float(values.min()), float(values.max())) if values.count() else (0.0, 0.0)


def _handles() -> list[Line2D]:
    points = [("o", "", "clean"), ("X", "", "attacked")]
    lines = [("", "-", "decision boundary"), ("", "--", "edge of the budget")]
    return [Line2D([], [], color=INK, marker=mark, linestyle=line, label=text) for mark, line, text in points + lines]


def _said(plane: dict[str, np.ndarray], label: str) -> str:
    """What the maps show, in numbers."""
    zero, inside = plane["cross_entropy"] == 0, plane["size"] <= 1 + _ROUNDING
    low, high = _ends(np.ma.masked_invalid(plane["margin"]))
    least, most = _ends(np.ma.masked_invalid(plane["cross_entropy"]))
    if zero.any():
        shares = f"{_percent(zero.mean())} of the plane ({_percent(zero[inside].mean())} within the budget)"
        flat = f"is exactly 0 on {shares}"
    else:
        flat = f"is nowhere exactly 0, at least {least:.2g}"
    return f"Class {label}: cross-entropy {flat} and at most {most:.3g}; the margin goes from {low:.3g} to {high:.3g}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
