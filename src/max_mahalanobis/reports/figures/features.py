"""Features around their centers, clean and attacked, in the plane that shows most of them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..conditions import attack_text
from ..reading import RunRecord
from .canvas import CLASS_COLORS, INK, Drawing, canvas, color_of, has_own_color, render, shared_colors

MOST = 400  # images drawn; more hide each other


def features_drawing(run: RunRecord, key: str) -> Drawing | None:
    """The features of a run on their first two principal axes; none when the run kept no pictures of them."""
    pictures = run.pictures or {}
    if not {"features", "features_adv", "centers", "labels"} <= pictures.keys() or len(pictures["features"]) == 0:
        return None
    keep = np.isfinite(pictures["features"] + pictures["features_adv"]).all(axis=1).nonzero()[0]
    keep = keep[:: max(1, -(-len(keep) // MOST))]
    clean, adv, labels = (pictures[name][keep] for name in ("features", "features_adv", "labels"))
    project, share = principal_plane(clean, pictures["centers"])
    kind = {"preset": "preset centers", "learned": "learned centers"}.get(
        found := _text(pictures, "centers_are", "centers"), found
    )
    attack = attack_text(_text(pictures, "attack", "an attack"))
    with canvas(7.2, 5.2) as (figure, (axes,)):
        for label in np.unique(labels):
            mine = labels == label
            color = color_of(int(label), CLASS_COLORS)
            _draw_class(axes, project(clean[mine]), project(adv[mine]), color)
        stars = project(pictures["centers"])
        axes.plot(*stars.T, "*", color=INK, markersize=13, markeredgecolor="white", markeredgewidth=0.7, zorder=5)
        axes.set(xlabel="first principal axis", ylabel="second principal axis")
        axes.set_aspect("equal", adjustable="datalim")
        figure.legend(handles=_handles(run, np.unique(labels), kind), loc="outside right upper")
        alt = f"{run.name}: features of {len(keep)} images before and after {attack}, around {len(stars)} {kind}."
        caption = (
            f"Features of {len(keep)} images, clean (dots) and after {attack} (crosses), colored by true "
            f"class{shared_colors(labels)}; stars are the {kind}. This plane holds {100 * share:.0f} % of the variance."
        )
        return render(figure, key, alt, caption, run.name)


def principal_plane(features: np.ndarray, centers: np.ndarray):
    """A projection onto the two main axes of features and centers together, and the share of variance it keeps."""
    points = np.concatenate([features, centers]).astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    middle = points.mean(axis=0)
    _, lengths, axes = np.linalg.svd(points - middle, full_matrices=False)
    axes, total = axes[:2], np.sum(lengths**2)
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]  # SVD leaves signs open
    axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
    return lambda x: (x.astype(np.float64) - middle) @ axes.T, float(np.sum(lengths[:2] ** 2) / total) if total else 1.0


def _draw_class(axes: Axes, clean: np.ndarray, adv: np.ndarray, color: str) -> None:
    axes.plot(*clean.T, "o", color=color, markersize=4, alpha=0.75, markeredgewidth=0)
    axes.plot(*adv.T, "x", color=color, markersize=5, alpha=0.75, markeredgewidth=1.1)


def _handles(run: RunRecord, labels: np.ndarray, kind: str) -> list[Line2D]:
    shapes = [("o", 5, "clean"), ("x", 6, "attacked"), ("*", 11, kind)]
    handles = [Line2D([], [], color=INK, marker=m, markersize=s, linestyle="", label=text) for m, s, text in shapes]
    for label in labels if has_own_color(labels) else ():
        color = color_of(int(label), CLASS_COLORS)
        handles.append(
            Line2D([], [], color=color, marker="s", linestyle="", label=f"class {run.class_name(int(label))}")
        )
    return handles


def _text(pictures: dict[str, np.ndarray], key: str, otherwise: str) -> str:
    return str(pictures[key]) if key in pictures else otherwise
