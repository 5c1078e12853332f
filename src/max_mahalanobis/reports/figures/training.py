"""How training went: loss and validation accuracy, clean and robust, epoch by epoch."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..reading import RunRecord
from ..trainings import CLEAN, ROBUST, counted, ends, epochs, judged
from .canvas import INK, Drawing, canvas, color_of, marker_of, render, visible

BEST, LAST = "*", "s"  # markers
HEIGHTS = "Losses of different heads are different quantities: compare their shapes, not their heights."
ROBUST_OVERFITTING = (
    "Robust accuracy that falls again while training goes on is robust overfitting (Rice et al. 2020). Here it is that "
    "under the short PGD which training judges itself by, on few images: the best epoch was picked by it, and a gap of "
    "a point or two may be chance."
)


def training_drawing(runs: Sequence[RunRecord], key: str = "training") -> Drawing | None:
    """Two panels, a run by color; none when no run kept its metrics."""
    known = [(number, run.name, lines) for number, run in enumerate(runs) if (lines := epochs(run.metrics))]
    if not known:
        return None
    fought = any(judged(lines, ROBUST) for _, _, lines in known)
    with canvas(9.6, 3.7, columns=2) as (figure, (losses, accuracies)):
        for number, _, lines in known:
            look = {"color": color_of(number), "linewidth": 1.8}
            look |= {"marker": marker_of(number)} if len(lines) < 4 else {}
            losses.plot([counted(line) for line in lines], [line["loss"] for line in lines], **look)
            _accuracy(accuracies, judged(lines, CLEAN), CLEAN, look)
            _accuracy(accuracies, judged(lines, ROBUST), ROBUST, look | {"linestyle": "--"})
            _mark_ends(accuracies, lines, color_of(number))
        values = [line["loss"] for _, _, lines in known for line in lines]
        if min(values) > 0 and max(values) >= 10 * min(values):  # within one power of ten no tick would have a number
            losses.set_yscale("log")
            losses.yaxis.set_major_formatter("{x:g}")  # the default one writes 10^n in TeX
            losses.yaxis.set_minor_formatter("")
        losses.set(title="training loss", xlabel="epoch")
        accuracies.set(title=f"{'' if fought else 'clean '}validation accuracy, %", xlabel="epoch")
        for axes in (losses, accuracies):
            axes.grid(axis="y")
            axes.xaxis.get_major_locator().set_params(integer=True)
        names = [Line2D([], [], color=color_of(number), label=visible(name)) for number, name, _ in known]
        names += _meanings() if fought else []
        figure.legend(handles=names, loc="outside lower center", ncols=min(4 if fought else 3, len(names)))
        gaps = " ".join(f"{name}, robust: {_gap(lines)}." for _, name, lines in known if judged(lines, ROBUST))
        caption = f"{gaps} {ROBUST_OVERFITTING} {HEIGHTS}" if fought else HEIGHTS
        said = " ".join(_said(name, lines) for _, name, lines in known)
        return render(figure, key, f"Training loss and validation accuracy by epoch. {said}", caption)


def _accuracy(axes: Axes, lines: Sequence[dict], by: str, look: dict) -> None:
    axes.plot([counted(line) for line in lines], [100 * line[by] for line in lines], **look)


def _mark_ends(axes: Axes, lines: Sequence[dict], color: str) -> None:
    """Where robust accuracy was best, and where it ended."""
    found = ends(lines)
    if found is None or found[0] != ROBUST:
        return
    by, best, last = found
    for line, marker, size in [(last, LAST, 6)] * (best is not last) + [(best, BEST, 13)]:
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 4}
        axes.plot([counted(line)], [100 * line[by]], marker, color=color, markersize=size, **edge)


def _meanings() -> list[Line2D]:
    """What lines and markers stand for."""
    lines = {"clean": {"linestyle": "-"}, "robust": {"linestyle": "--"}}
    marks = {f"{name}, robust": {"linestyle": "", "marker": mark} for name, mark in (("best", BEST), ("last", LAST))}
    return [Line2D([], [], color=INK, label=name, **look) for name, look in (lines | marks).items()]


def _gap(lines: Sequence[dict]) -> str:
    """How far the last epoch is below the best."""
    by, best, last = ends(lines)
    if best is last:
        return f"best epoch {counted(best)}, the last: {100 * best[by]:.1f} %"
    gap = 100 * (best[by] - last[by])
    return (
        f"best epoch {counted(best)}: {100 * best[by]:.1f} %, last: {100 * last[by]:.1f} %, a gap of {gap:.1f} points"
    )


def _said(name: str, lines: Sequence[dict]) -> str:
    clean = judged(lines, CLEAN)
    last = f", last {100 * clean[-1][CLEAN]:.1f} %" if clean else ""
    robust = f"; robust: {_gap(lines)}" if judged(lines, ROBUST) else ""
    return f"{name}: {len(lines)} epochs{last}{robust}."
