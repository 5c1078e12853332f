"""The toys of the theory: the pull of two losses as arrows, free points under training as a moving picture."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .canvas import INK, Drawing, canvas, color_of, render

PANEL = 240  # pixels a side
TOP = 22  # pixels for a panel's words
REACH = 3.4  # of the plane shown, on each side of zero
PALETTE = ((252, 252, 251), (27, 30, 36), (10, 127, 194), (213, 94, 0), (0, 158, 115), (217, 218, 214))
PAPER, DARK, FIRST_CLASS, RULE = 0, 1, 2, 5
TRACKED = 3  # points whose paths are drawn, one a class


def pull_drawing(pull: dict[str, np.ndarray]) -> Drawing:
    """Two panels of arrows, SCE beside MMC; `pull` has points, sce, mmc, each (points, 2), and centers."""
    with canvas(9.6, 4.9, columns=2) as (figure, panels):
        for axes, (name, words) in zip(panels, (("sce", "SCE"), ("mmc", "MMC")), strict=True):
            arrows = pull[name] / 8  # as long as one step of that rate
            axes.quiver(*pull["points"].T, *arrows.T, color=color_of(0), angles="xy", scale_units="xy", scale=1)
            axes.plot(*pull["centers"][1:].T, "*", color=INK, markersize=9)
            axes.plot(*pull["centers"][:1].T, "*", color=color_of(1), markersize=15)
            axes.set_aspect("equal", adjustable="box")
            axes.set(title=words)
        alt = "Arrows on a grid of the plane: SCE's run past the class's own center and never end, MMC's all end in it."
        caption = (
            "Where each loss pushes a feature of the class whose center is the large star. SCE's push depends on the "
            "other classes, fades behind the center and is zero nowhere; MMC's ends in the center, from everywhere. "
            "The weights of SCE are the same three centers; arrows are one step of rate 1/8."
        )
        return render(figure, "pull", alt, caption, "The pull of two losses")


def walk_animation(panels: Sequence[Sequence[tuple[str, dict[str, np.ndarray]]]], *, pause: int = 120) -> bytes:
    """A GIF of rows of panels, each a title and a walk: positions (frames, points, 2), goals, labels.

    Args:
        panels: rows from the top; all walks have the same number of frames.
        pause: milliseconds a frame; the last stays ten times as long.
    """
    frames = [_frame(panels, number) for number in range(len(panels[0][0][1]["positions"]))]
    file = io.BytesIO()
    durations = [pause] * (len(frames) - 1) + [10 * pause]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)
    return file.getvalue()


def _frame(panels: Sequence[Sequence[tuple[str, dict[str, np.ndarray]]]], number: int) -> Image.Image:
    image = Image.new("P", (PANEL * len(panels[0]), (PANEL + TOP) * len(panels)), PAPER)
    image.putpalette([value for color in PALETTE for value in color])
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"  # no colors between those of the palette
    for row, line in enumerate(panels):
        for column, (title, walk) in enumerate(line):
            _draw_walk(draw, (column * PANEL, row * (PANEL + TOP)), title, walk, number)
    return image


def _draw_walk(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], title: str, walk: dict[str, np.ndarray], number: int
) -> None:
    left, top = corner
    draw.rectangle((left, top, left + PANEL - 1, top + TOP + PANEL - 1), outline=RULE)
    draw.text((left + 6, top + 5), f"{title}, epoch {number}", fill=DARK)

    def on_panel(points: np.ndarray) -> list[tuple[int, int]]:
        flat = np.clip((points * (1, -1) / REACH + 1) / 2, 0.01, 0.99) * PANEL + (left, top + TOP)
        return [(int(x), int(y)) for x, y in flat]

    for label in np.unique(walk["labels"]):
        mine = walk["positions"][number][walk["labels"] == label]
        draw.point(on_panel(mine), fill=FIRST_CLASS + int(label) % 3)
    for point in range(min(TRACKED, len(walk["labels"])) if number else 0):
        color = FIRST_CLASS + int(walk["labels"][point]) % 3
        draw.line(on_panel(walk["positions"][: number + 1, point]), fill=color, width=2)
    for goal in range(walk["goals"].shape[1]):
        ((x, y),) = on_panel(walk["goals"][number][goal][None])
        if number:
            draw.line(on_panel(walk["goals"][: number + 1, goal]), fill=DARK)
        draw.rectangle((x - 3, y - 3, x + 3, y + 3), outline=DARK, fill=FIRST_CLASS + goal % 3)
