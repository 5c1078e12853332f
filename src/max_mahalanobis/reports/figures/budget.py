"""Accuracy against the adversary's budget: what cross-entropy reports, and what the adaptive objectives leave."""

from collections.abc import Callable, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...results import AttackResult
from ...statistics import Proportion
from ..conditions import Condition, conditions, norm_name, rows_under
from ..reading import RunRecord
from ..verdicts import adaptive_rows, clean_accuracy, cross_entropy_rows, robust_accuracy
from .canvas import INK, Drawing, canvas, color_of, marker_of, render, visible

Point = tuple[float, Proportion]  # budget, accuracy


def budget_drawings(runs: Sequence[RunRecord]) -> list[Drawing]:
    """One panel for each set of images and threat that has rows of the suite `curve`."""
    return [_drawing(runs, list(same), f"budget{n}") for n, (_, same) in enumerate(groupby(_ordered(runs), _panel))]


def _ordered(runs: Sequence[RunRecord]) -> list[Condition]:
    return sorted(conditions(runs, curve=True), key=lambda c: (_panel(c), c.eps))


def _panel(condition: Condition) -> tuple:
    return condition.data, condition.data_hash, condition.split, condition.threat, condition.index


def _drawing(runs: Sequence[RunRecord], budgets: list[Condition], key: str) -> Drawing:
    first = budgets[0]
    in_levels = first.threat.lower() == "linf"
    scale = 255 if in_levels else 1
    handles, said = [], []
    with canvas(8.2, 4.3) as (figure, (axes,)):
        for number, run in enumerate(runs):
            plain = _curve(run, budgets, cross_entropy_rows, scale)
            adaptive = _curve(run, budgets, adaptive_rows, scale)
            if plain or adaptive:
                _draw_run(axes, plain, adaptive, number)
                handles.append(_handle(number, run.name))
                said.append(_said(run.name, plain, adaptive))
        unit = "1/255 of the pixel range" if in_levels else "pixels in [0, 1]"
        axes.set(xlabel=f"budget: {norm_name(first.threat)} eps, in {unit}", ylabel="accuracy, %", ylim=(-2, 102))
        axes.grid(axis="y")
        for style, label in (("-", "worst of the adaptive objectives"), ("--", "cross-entropy PGD")):
            handles.append(Line2D([], [], color=INK, linestyle=style, label=label))
        figure.legend(handles=handles, loc="outside right upper")
        alt = f"Accuracy against {norm_name(first.threat)} budget on {first.images}. " + " ".join(said)
        caption = f"{first.images.capitalize()}; the band is the 95 % interval. Every point is an upper bound."
        return render(figure, key, alt, caption)


def _curve(run: RunRecord, budgets: list[Condition], choose: Callable, scale: float) -> list[Point]:
    """Accuracy at each budget, over the chosen attacks' worst case; at budget 0 the clean accuracy."""
    met = [(condition.eps, rows_under(run, condition)) for condition in budgets]
    points = [(eps * scale, robust_accuracy(choose(rows))) for eps, rows in met if eps > 0 and choose(rows)]
    return [(0.0, clean_accuracy(_any_rows(met))), *points] if points else []


def _any_rows(met: list[tuple[float, list[AttackResult]]]) -> list[AttackResult]:
    return next(rows for _, rows in met if rows)


def _draw_run(axes: Axes, plain: list[Point], adaptive: list[Point], number: int) -> None:
    color, marker = color_of(number), marker_of(number)
    for points, style in ((plain, "--"), (adaptive, "-")):
        budgets, percent = [x for x, _ in points], [100 * share.value for _, share in points]
        axes.plot(budgets, percent, style, color=color, marker=marker, markersize=5, linewidth=1.8)
    low, high = ([100 * getattr(share, end) for _, share in adaptive] for end in ("low", "high"))
    axes.fill_between([x for x, _ in adaptive], low, high, color=color, alpha=0.16, linewidth=0)


def _handle(number: int, name: str) -> Line2D:
    return Line2D([], [], color=color_of(number), marker=marker_of(number), label=visible(name))


def _said(name: str, plain: list[Point], adaptive: list[Point]) -> str:
    """The ends of a run's two curves in words."""
    named = ((plain, "under cross-entropy PGD"), (adaptive, "in the worst of the adaptive objectives"))
    ends = [f"{100 * points[-1][1].value:.0f} % {how}" for points, how in named if points]
    clean, last = (plain or adaptive)[0][1], (plain or adaptive)[-1][0]
    return f"{name}: {100 * clean.value:.0f} % clean; at budget {last:.3g}, {' and '.join(ends)}."
