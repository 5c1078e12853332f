"""A few images clean, perturbed, and the difference made visible."""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes

from ..conditions import attack_text
from ..reading import RunRecord
from .canvas import WARN, Drawing, canvas, render

MOST = 6
LETTERS = 15  # over an image
NEEDED = {"images", "images_adv", "image_labels", "image_predictions", "image_adv_predictions"}


def examples_drawing(run: RunRecord, key: str) -> Drawing | None:
    """The first images of a run's pictures, in three rows; none when the run kept no images."""
    pictures = run.pictures or {}
    if not pictures.keys() >= NEEDED or len(pictures["images"]) == 0:
        return None
    images, adv = (pictures[name][:MOST].astype(np.float64) for name in ("images", "images_adv"))
    clean_said, adv_said, labels = (
        [run.class_name(int(label)) for label in pictures[name][:MOST]]
        for name in ("image_predictions", "image_adv_predictions", "image_labels")
    )
    difference, factor = amplified(adv - images)
    attack = attack_text(str(pictures["attack"])) if "attack" in pictures else "an attack"
    with canvas(0.6 + 1.35 * len(images), 5.2, columns=len(images), rows=3) as (figure, panels):
        for row, (block, said) in enumerate(((images, clean_said), (adv, adv_said), (difference, None))):
            for column, image in enumerate(block):
                title = None if said is None else f"says {said[column]}"
                _show(panels[row * len(images) + column], image, title, said and said[column] != labels[column])
            name = ("clean", "perturbed", f"difference × {factor:g}")[row]
            panels[row * len(images)].set_ylabel(name)
        changed = sum(a != b for a, b in zip(clean_said, adv_said, strict=True))
        alt = f"{run.name}: {len(images)} images before and after {attack}; the verdict changed on {changed}."
        caption = (
            f"After {attack}; true classes {', '.join(labels)}, wrong verdicts marked ✗. Gray in the last "
            f"row is no change; differences are drawn {factor:g} times as large. Fooled images may come first: "
            "read frequencies from the tables, not from here."
        )
        return render(figure, key, alt, caption, run.name)


def amplified(difference: np.ndarray) -> tuple[np.ndarray, float]:
    """Differences around mid-gray, enlarged by a whole factor so that the largest nearly fills [0, 1]."""
    largest = float(np.abs(difference).max())
    factor = max(1.0, float(np.floor(0.5 / largest + 1e-6))) if largest > 0 else 1.0
    return np.clip(0.5 + factor * difference, 0, 1), factor


def _show(axes: Axes, image: np.ndarray, title: str | None, wrong: bool | None) -> None:
    shown = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    axes.imshow(shown.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if title is not None:
        color = {"color": WARN} if wrong else {}
        axes.set_title(fill(title + (" ✗" if wrong else ""), LETTERS), fontsize=10, loc="center", **color)
