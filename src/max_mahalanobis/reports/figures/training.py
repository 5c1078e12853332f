"""How training went: loss and validation accuracy, epoch by epoch."""

from collections.abc import Sequence

from matplotlib.lines import Line2D

from ..reading import RunRecord
from .canvas import Drawing, canvas, color_of, marker_of, render, visible


def training_drawing(runs: Sequence[RunRecord], key: str = "training") -> Drawing | None:
    """Two panels, a run by color; none when no run kept its metrics."""
    known = [(number, run) for number, run in enumerate(runs) if epochs(run.metrics)]
    if not known:
        return None
    said = []
    with canvas(9.6, 3.7, columns=2) as (figure, (losses, accuracies)):
        for number, run in known:
            lines = epochs(run.metrics)
            look = {"color": color_of(number), "linewidth": 1.8}
            look |= {"marker": marker_of(number)} if len(lines) < 4 else {}
            losses.plot([line["epoch"] for line in lines], [line["loss"] for line in lines], **look)
            judged = [line for line in lines if _is_number(line.get("validation_accuracy"))]
            percent = [100 * line["validation_accuracy"] for line in judged]
            accuracies.plot([line["epoch"] for line in judged], percent, **look)
            said.append(f"{run.name}: {len(lines)} epochs" + (f", last {percent[-1]:.1f} %." if percent else "."))
        if all(line["loss"] > 0 for _, run in known for line in epochs(run.metrics)):
            losses.set_yscale("log")
            losses.yaxis.set_major_formatter("{x:g}")  # the default one writes 10^n in TeX
            losses.yaxis.set_minor_formatter("")
        losses.set(title="training loss", xlabel="epoch")
        accuracies.set(title="clean validation accuracy, %", xlabel="epoch")
        for axes in (losses, accuracies):
            axes.grid(axis="y")
            axes.xaxis.get_major_locator().set_params(integer=True)
        names = [Line2D([], [], color=color_of(number), label=visible(run.name)) for number, run in known]
        figure.legend(handles=names, loc="outside lower center", ncols=min(3, len(names)))
        caption = "Losses of different heads are different quantities: compare their shapes, not their heights."
        return render(figure, key, "Training loss and validation accuracy by epoch. " + " ".join(said), caption)


def epochs(metrics: Sequence[dict]) -> list[dict]:
    """The epoch lines in order, without events; of an epoch trained twice (resumed) the last."""
    lines = {line["epoch"]: line for line in metrics if "event" not in line and _is_number(line.get("epoch"))}
    return [lines[epoch] for epoch in sorted(lines) if _is_number(lines[epoch].get("loss"))]


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
