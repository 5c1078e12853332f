"""Accuracy against the adversary's budget: what cross-entropy reports, and what stronger attacks leave."""

from collections.abc import Callable, Sequence
from itertools import groupby
from math import inf
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...results import cross_entropy_rows
from ...statistics import quantile
from ..conditions import CURVE, MINIMUM_NORM, Condition, conditions, is_in_levels, norm_name, rows_under, size_unit
from ..reading import RunRecord
from ..sizes import Point, accuracy_by_budget, smallest_sizes
from ..verdicts import adaptive_rows, clean_accuracy, robust_accuracy
from .canvas import INK, Drawing, canvas, color_of, marker_of, render, visible

SHOWN = 0.99  # of the sizes found lie on the axis; a few huge ones would squeeze the rest
LOOKS = {  # by the field of Curves: its line, and what it shows
    "adaptive": ("-", "worst of the adaptive objectives"),
    "cross_entropy": ("--", "cross-entropy PGD"),
    "smallest": ("-", "smallest perturbations found"),
}


class Curves(NamedTuple):
    """What a run brings to a panel; an empty list where it lacks the rows. Budgets in the panel's unit."""

    name: str
    number: int
    adaptive: list[Point]
    cross_entropy: list[Point]
    smallest: list[Point]
    median: float  # of the smallest sizes
    reach: float  # the largest budget to show

    @property
    def there(self) -> dict[str, list[Point]]:
        """The curves that are not empty, by their key in `LOOKS`."""
        return {kind: points for kind in LOOKS if (points := getattr(self, kind))}


def budget_drawings(runs: Sequence[RunRecord]) -> list[Drawing]:
    """One panel for each set of images and threat that has rows of the suites `curve` or `minimum_norm`."""
    return [_drawing(runs, list(same), f"budget{n}") for n, (_, same) in enumerate(groupby(_ordered(runs), _panel))]


def _ordered(runs: Sequence[RunRecord]) -> list[Condition]:
    return sorted(conditions(runs, CURVE, MINIMUM_NORM), key=lambda c: (_panel(c), c.eps))


def _panel(condition: Condition) -> tuple:
    return condition.data, condition.data_hash, condition.split, condition.threat, condition.index


def _drawing(runs: Sequence[RunRecord], met: list[Condition], key: str) -> Drawing:
    first = met[0]
    norm, scale = norm_name(first.threat), 255 if is_in_levels(first.threat) else 1
    drawn = [curves for number, run in enumerate(runs) if (curves := _curves(run, number, met, scale)).there]
    with canvas(8.2, 4.3) as (figure, (axes,)):
        reach = max(curves.reach for curves in drawn) or 1.0
        for curves in drawn:
            _draw_run(axes, curves, 1.02 * reach)
        axes.set(xlabel=f"budget: {norm} eps, in {size_unit(first.threat)}", ylabel="accuracy, %", ylim=(-2, 102))
        if any(curves.smallest for curves in drawn):
            axes.set_xlim(-0.02 * reach, 1.02 * reach)
        axes.grid(axis="y")
        kinds = [kind for kind in LOOKS if any(kind in curves.there for curves in drawn)]
        handles = [*map(_run_handle, drawn), *map(_kind_handle, kinds)]
        figure.legend(handles=handles, loc="outside right upper")
        alt = f"Accuracy against {norm} budget on {first.images}. " + " ".join(map(_said, drawn))
        return render(figure, key, alt, _caption(first, kinds))


def _caption(condition: Condition, kinds: Sequence[str]) -> str:
    every = (
        " The lines without markers hold for every budget: the share of images whose smallest perturbation, over all "
        f"attacks of the suite minimum_norm, is larger. The axis holds at least {100 * SHOWN:.0f} % of the sizes found."
    )
    band = f"{condition.images.capitalize()}; the band is the 95 % interval. Every point is an upper bound."
    return band + (every if "smallest" in kinds else "")


def _curves(run: RunRecord, number: int, met: list[Condition], scale: float) -> Curves:
    adaptive, plain = (_curve(run, met, choose, scale) for choose in (adaptive_rows, cross_entropy_rows))
    rows = [row for condition in met if condition.kind == MINIMUM_NORM for row in rows_under(run, condition)]
    sizes = [size * scale for size in smallest_sizes(rows)] if rows else []
    finite = [size for size in sizes if size < inf]
    reach = max([quantile(finite, SHOWN) if finite else 0.0, *(budget for budget, _ in adaptive + plain)])
    median = quantile(sizes, 0.5) if sizes else inf
    return Curves(run.name, number, adaptive, plain, accuracy_by_budget(sizes) if sizes else [], median, reach)


def _curve(run: RunRecord, met: list[Condition], choose: Callable, scale: float) -> list[Point]:
    """Accuracy at each fixed budget, over the chosen attacks' worst case; at budget 0 the clean accuracy."""
    rows = [(c.eps * scale, some) for c in met if c.kind == CURVE and (some := rows_under(run, c))]
    points = [(budget, robust_accuracy(choose(some))) for budget, some in rows if budget > 0 and choose(some)]
    return [(0.0, clean_accuracy(rows[0][1])), *points] if points else []


def _draw_run(axes: Axes, curves: Curves, end: float) -> None:
    color = color_of(curves.number)
    for kind, points in curves.there.items():
        steps = kind == "smallest"
        if steps and points[-1][0] < end:
            points = [*points, (end, points[-1][1])]  # what is left there is left at every larger budget
        budgets, percent = [x for x, _ in points], [100 * share.value for _, share in points]
        low, high = ([100 * getattr(share, side) for _, share in points] for side in ("low", "high"))
        look = {"drawstyle": "steps-post"} if steps else {"marker": marker_of(curves.number), "markersize": 5}
        axes.plot(budgets, percent, LOOKS[kind][0], color=color, linewidth=1.4 if steps else 1.8, **look)
        if kind != "cross_entropy":
            axes.fill_between(budgets, low, high, step="post" if steps else None, color=color, alpha=0.16, linewidth=0)


def _run_handle(curves: Curves) -> Line2D:
    marker = marker_of(curves.number) if curves.adaptive or curves.cross_entropy else ""
    return Line2D([], [], color=color_of(curves.number), marker=marker, label=visible(curves.name))


def _kind_handle(kind: str) -> Line2D:
    line, label = LOOKS[kind]
    marked = {} if kind == "smallest" else {"marker": "o", "markersize": 5}
    return Line2D([], [], color=INK, linestyle=line, label=label, **marked)


def _said(curves: Curves) -> str:
    """The ends of a run's curves in words."""
    named = (
        (curves.cross_entropy, "under cross-entropy PGD"),
        (curves.adaptive, "in the worst of the adaptive objectives"),
    )
    ends = [f"{100 * points[-1][1].value:.0f} % {how}" for points, how in named if points]
    fixed = curves.cross_entropy or curves.adaptive
    said = [f"{100 * (fixed or curves.smallest)[0][1].value:.0f} % clean"]
    said += [f"at budget {fixed[-1][0]:.3g}, {' and '.join(ends)}"] if fixed else []
    said += [f"by the smallest perturbations found, {_half(curves.median)}"] if curves.smallest else []
    return f"{curves.name}: {'; '.join(said)}."


def _half(median: float) -> str:
    return "fewer than half fall" if median == inf else f"half fall within {median:.3g}"
