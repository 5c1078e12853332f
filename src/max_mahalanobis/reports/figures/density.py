"""How densely features lie, drawn from the records of `mmc density`."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from .canvas import CLASS_COLORS, INK, Drawing, canvas, color_of, marker_of, render, shared_colors, visible

SPLIT_LINES = {"train": "-", "test": "--"}
SCALES = {  # by a record's key: the words for a panel, and the unit of its lengths
    "raw": ("each model's own lengths", "the model's own unit"),
    "scale_free": ("scale-free", "mean distance of two class centers"),
}
COUNTED = {
    "volume": "the number of features in a shell over its volume",
    "surface": "the number of features in a shell per unit of half the squared distance, over its area",
}
SCALE_NOTE = (
    "Scale-free lengths are divided by the mean distance of two class centers, so that models of different scale "
    "compare; in each model's own lengths they do not."
)


def density_drawings(records: Sequence[dict]) -> dict[str, Drawing]:
    """Every drawing of these records by its file's name, in reading order."""
    named = {
        "density-against-loss": loss_drawing(records),
        "density-by-shell": shells_drawing(records),
        "density-by-class": classes_drawing(records),
        "density-over-training": course_drawing(records),
        "distances": distances_drawing(records),
        "angle-and-norm": spread_drawing(records),
    }
    return named | {f"features-{n}": plane_drawing(record, f"plane{n}") for n, record in enumerate(records)}


def loss_drawing(records: Sequence[dict]) -> Drawing:
    """Log density of a feature's shell against its training loss, then against the rank of that loss."""
    with canvas(10.2, 4.4, columns=2) as (figure, (left, right)):
        for number, record in enumerate(records):
            for split, found in record["splits"].items():
                rows = found["by_loss"]
                positive = [row for row in rows if row["loss"] > 0]
                _line(left, [r["loss"] for r in positive], [r["raw"] for r in positive], number, split)
                _line(right, [100 * r["share"] for r in rows], [r["scale_free"] for r in rows], number, split)
        _log_x(left)
        left.set(xlabel="training loss", ylabel=_unit(records), title=SCALES["raw"][0])
        right.set(xlabel="features with a smaller loss, %", title=SCALES["scale_free"][0])
        _finish(figure, (left, right), records)
        caption = (
            "Features in ten bins of equal counts by their loss; the density is that of the shell around the own "
            "center in which a feature lies, the median of its bin. Losses of different heads are different "
            f"quantities. {_centers(records)} {SCALE_NOTE}"
        )
        return render(figure, "loss", f"Sample density against loss. {_said(records)}", caption, "Density against loss")


def shells_drawing(records: Sequence[dict]) -> Drawing:
    """Scale-free log density of every shell against its radius: each class thin, all classes together thick."""
    splits = _splits(records)
    with canvas(10.2, 4.4, columns=len(splits)) as (figure, panels):
        for axes, split in zip(panels, splits, strict=True):
            for number, record in enumerate(records):
                for name, shells in record["splits"].get(split, {"shells": {}})["shells"].items():
                    whole = name == "all"
                    radii = [edge / record["scale"] for edge in shells["edges"][1:]]
                    look = {"linewidth": 2.4, "zorder": 3} if whole else {"linewidth": 0.8, "alpha": 0.55}
                    axes.plot(radii, shells["scale_free"], color=color_of(number), **look)
            axes.set(title=split, xlabel="distance to own center, scale-free")
            _log_x(axes)
        panels[0].set_ylabel(_unit(records))
        _finish(figure, panels, records, splits=False)
        caption = (
            f"Thin lines are classes, the thick one all of them: {COUNTED[records[0]['convention']]}, in shells of "
            f"equal counts, drawn at their outer radius. {_centers(records)}"
        )
        return render(figure, "shells", f"Sample density by shell. {_said(records)}", caption, "Density by shell")


def classes_drawing(records: Sequence[dict]) -> Drawing:
    """Log density of the ball that holds half of a class, class by class."""
    with canvas(10.2, 4.4, columns=2) as (figure, panels):
        for axes, (scale, (words, _)) in zip(panels, SCALES.items(), strict=True):
            for number, record in enumerate(records):
                for split, found in record["splits"].items():
                    fill = {} if split == "train" else {"markerfacecolor": "none"}
                    look = {"color": color_of(number), "marker": marker_of(number), "linestyle": "", **fill}
                    axes.plot(found["core"]["classes"], found["core"][f"{scale}_by_class"], **look)
            axes.set(title=words, xlabel="class")
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel(_unit(records))
        _finish(figure, panels, records, splits=False)
        caption = (
            "The density of the smallest ball around a class's center that holds half of its features: train filled, "
            f"test hollow. {_centers(records)} {SCALE_NOTE}"
        )
        return render(figure, "classes", f"Sample density by class. {_said(records)}", caption, "Density by class")


def course_drawing(records: Sequence[dict]) -> Drawing:
    """Log density of half a class against the epoch: the median over classes thick, classes of the last split thin."""
    with canvas(10.2, 4.4, columns=2) as (figure, panels):
        for axes, (scale, (words, _)) in zip(panels, SCALES.items(), strict=True):
            for number, record in enumerate(records):
                epochs = [step["epochs"] for step in record["course"]]
                for split in record["splits"]:
                    _line(axes, epochs, _along(record, split, scale), number, split)
                by_class = _along(record, _splits([record])[-1], f"{scale}_by_class")
                for values in zip(*by_class, strict=True):
                    axes.plot(epochs, values, color=color_of(number), linewidth=0.7, alpha=0.4, zorder=1)
            axes.set(title=words, xlabel="epochs done")
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel(_unit(records))
        _finish(figure, panels, records)
        caption = (
            "The ball that holds half of a class: the median over classes, and as thin lines the classes of the "
            f"{_splits(records)[-1]} split; before training, after each epoch whose weights the run kept, and for the "
            f"weights it ends with. {_course_counts(records)} {_without_course(records)}{_centers(records)} "
            f"{SCALE_NOTE}"
        )
        title = "Density over the course of training"
        return render(figure, "course", f"{title}. {_course_said(records)}", caption, title)


def distances_drawing(records: Sequence[dict]) -> Drawing:
    """How far features are from their own center, and from the nearest other."""
    with canvas(10.2, 4.4, columns=2) as (figure, panels):
        for axes, (scale, (words, unit)) in zip(panels, SCALES.items(), strict=True):
            for number, record in enumerate(records):
                found = _last(record)["quantiles"]
                for kind, line in (("own", "-"), ("other", ":")):
                    by = record["scale"] if scale == "scale_free" else 1.0
                    axes.plot([q / by for q in found[kind]], _shares(found[kind]), line, color=color_of(number))
            axes.set(title=words, xlabel=f"distance, in {unit}")
        panels[0].set_ylabel("features closer than that, %")
        handles = [Line2D([], [], color=INK, linestyle="-", label="to own center")]
        handles += [Line2D([], [], color=INK, linestyle=":", label="to nearest other")]
        _finish(figure, panels, records, splits=False, more=handles)
        said = " ".join(_distances_said(record) for record in records)
        caption = f"{_split_words(records)} {_centers(records)} {SCALE_NOTE}"
        return render(figure, "distances", f"Distances to centers. {said}", caption, "Distances to centers")


def spread_drawing(records: Sequence[dict]) -> Drawing:
    """How angle and norm of features spread."""
    with canvas(10.2, 4.4, columns=2) as (figure, (angles, norms)):
        for number, record in enumerate(records):
            found = _last(record)["quantiles"]
            angles.plot(found["angle"], _shares(found["angle"]), color=color_of(number))
            middle = found["norm"][len(found["norm"]) // 2] or 1.0
            norms.plot([q / middle for q in found["norm"]], _shares(found["norm"]), color=color_of(number))
        angles.set(xlabel="angle to own center, degrees", ylabel="features below that, %", title="angle")
        norms.set(xlabel="norm over the median norm", title="norm")
        _finish(figure, (angles, norms), records, splits=False)
        caption = f"{_split_words(records)} Angles are seen from the origin; both panels are scale-free. "
        caption += _centers(records)
        said = " ".join(_spread_said(record) for record in records)
        return render(figure, "spread", f"Angle and norm of features. {said}", caption, "Angle and norm")


def plane_drawing(record: dict, key: str) -> Drawing:
    """Features in two dimensions around their centers."""
    plane = record["plane"]
    with canvas(7.0, 5.4) as (figure, (axes,)):
        for label in sorted(set(plane["labels"])):
            mine = [point for point, own in zip(plane["points"], plane["labels"], strict=True) if own == label]
            color = color_of(label, CLASS_COLORS)
            axes.plot(*zip(*mine, strict=True), "o", color=color, markersize=3.2, alpha=0.7, markeredgewidth=0)
        stars = {"color": INK, "markersize": 13, "markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 5}
        axes.plot(*zip(*plane["centers"], strict=True), "*", **stars)
        axes.set_aspect("equal", adjustable="datalim")
        share = plane["variance"]
        axes.set(xlabel="first feature" if share is None else "first principal axis")
        axes.set(ylabel="second feature" if share is None else "second principal axis")
        what = "The features themselves" if share is None else f"Two axes that hold {100 * share:.0f} % of the variance"
        caption = f"{what}; colored by class{shared_colors(plane['labels'])}. Stars: {record['centers_are']}."
        alt = f"{record['name']}: {len(plane['points'])} features in the plane, around {record['centers_are']}."
        return render(figure, key, alt, caption, f"Features of {record['name']}")


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], number: int, split: str) -> None:
    look = {"color": color_of(number), "marker": marker_of(number), "markersize": 5, "linewidth": 1.6}
    axes.plot(x, y, SPLIT_LINES.get(split, ":"), **look)


def _log_x(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")  # the default one writes 10^n in TeX
    axes.xaxis.set_minor_formatter("")
    low, high = axes.get_xlim()
    if high < 20 * low:  # powers of ten alone would be one number, or none
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        axes.xaxis.set_minor_formatter("{x:g}")


def _finish(figure, panels: Sequence[Axes], records: Sequence[dict], *, splits: bool = True, more=()) -> None:
    """Grid and legend."""
    for axes in panels:
        axes.grid(axis="y")
    handles = [
        Line2D([], [], color=color_of(number), marker=marker_of(number), label=visible(record["name"]))
        for number, record in enumerate(records)
    ]
    if splits:
        names = _splits(records)
        handles += [Line2D([], [], color=INK, linestyle=SPLIT_LINES.get(name, ":"), label=name) for name in names]
    figure.legend(handles=[*handles, *more], loc="outside lower center", ncols=min(5, len(handles) + len(more)))


def _splits(records: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(split for record in records for split in record["splits"]))


def _last(record: dict) -> dict:
    """What is judged where one split is drawn: the last, test."""
    return record["splits"][_splits([record])[-1]]


def _split_words(records: Sequence[dict]) -> str:
    return f"Features of the {_splits(records)[-1]} split."


def _shares(quantiles: Sequence[float]) -> list[float]:
    return [100 * number / (len(quantiles) - 1) for number in range(len(quantiles))]


def _unit(records: Sequence[dict]) -> str:
    return "log density (natural)" if records[0]["convention"] == "volume" else "log density (surface, natural)"


def _centers(records: Sequence[dict]) -> str:
    return "Centers: " + "; ".join(f"{record['name']}, {record['centers_are']}" for record in records) + "."


def _said(records: Sequence[dict]) -> str:
    ends = (f"{record['name']} {_last(record)['core']['scale_free']:.1f}" for record in records)
    return f"Half of a class lies, scale-free, at a natural log density of: {', '.join(ends)}."


def _course_said(records: Sequence[dict]) -> str:
    """From where to where each run went, in the last split, scale-free."""
    ends = [_along(record, _splits([record])[-1], "scale_free") for record in records]
    return " ".join(
        f"{record['name']}: from {values[0]:.1f} to {values[-1]:.1f} over {record['course'][-1]['epochs']} epochs."
        for record, values in zip(records, ends, strict=True)
    )


def _along(record: dict, split: str, key: str) -> list:
    """One of the numbers of the core, at each point of the course."""
    return [step["splits"][split][key] for step in record["course"]]


def _course_counts(records: Sequence[dict]) -> str:
    """From how many images: fewer than for the other drawings, so that the densities are lower too."""
    most = {split: max(record["course_images"][split] for record in records) for split in _splits(records)}
    return f"Images at each point: {', '.join(f'{count:,} ({split})' for split, count in most.items())}, at most."


def _without_course(records: Sequence[dict]) -> str:
    """Which runs show no more than their two ends, and the remedy."""
    names = [record["name"] for record in records if not record.get("kept_epochs")]
    if not names:
        return ""
    return f"Of {', '.join(names)} only the two ends are there: `mmc train --keep 10` keeps ten epochs on the way. "


def _distances_said(record: dict) -> str:
    found = _last(record)["quantiles"]
    own, other = (found[kind][len(found[kind]) // 2] / record["scale"] for kind in ("own", "other"))
    return f"{record['name']}: median {own:.3g} to the own center, {other:.3g} to the nearest other, scale-free."


def _spread_said(record: dict) -> str:
    found = _last(record)["quantiles"]
    angle, norm = (found[kind][len(found[kind]) // 2] for kind in ("angle", "norm"))
    return f"{record['name']}: median angle {angle:.3g} degrees, median norm {norm:.4g}."
