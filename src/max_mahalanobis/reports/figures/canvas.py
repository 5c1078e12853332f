"""How a drawing looks, and how it becomes an SVG that can stand inside a page."""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1b1e24"  # drawn in this color, shown in the page's own (currentColor), so that dark pages stay readable
WARN = "#a8320f"  # likewise shown in the page's own color of warnings
GRID = "#80869059"
RUN_COLORS = ("#0a7fc2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito 2008
CLASS_COLORS = (  # Tol's muted scheme, its darkest and its pale gray made readable on both backgrounds
    "#5b4bc4",
    "#88ccee",
    "#44aa99",
    "#117733",
    "#999933",
    "#ddcc77",
    "#cc6677",
    "#a3305f",
    "#aa4499",
    "#8c8c8c",
)
MARKERS = "osD^vP"
LONGEST = 42  # letters of a label

_STYLE = {
    "svg.hashsalt": "max_mahalanobis",  # the same rows give the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # a run may be called $a$
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "legend.frameon": False,
} | dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)


class Drawing(NamedTuple):
    """An inline SVG, what it shows for those who cannot see it, the words under it, and the name over it."""

    svg: str
    alt: str
    caption: str
    title: str = ""


@contextmanager
def canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of the house style, in inches, with its panels in reading order; use and render it inside."""
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # text stays text: the reader's fonts draw it
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def render(figure: Figure, key: str, alt: str, caption: str, title: str = "") -> Drawing:
    """The figure as an SVG whose ids start with `key` (unique on the page); no date, no scripts, no network."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'\bid="image\w+"', "", svg)  # a hash of its pixels: equal images would share one
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", svg).replace(INK, "currentColor").replace(WARN, "var(--warn)")
    return Drawing(svg.replace("<svg ", '<svg aria-hidden="true" ', 1), alt, caption, title)


def visible(name: str) -> str:
    """A label that leaves room for the drawing, the middle of long ones as …; matplotlib hides a first underscore."""
    name = name if len(name) <= LONGEST else f"{name[: LONGEST // 3]}…{name[-LONGEST // 2 :]}"
    return f"\u200b{name}" if name.startswith("_") else name


def color_of(number: int, colors: Sequence[str] = RUN_COLORS) -> str:
    """The color of the run or class with this number; they repeat after the last."""
    return colors[number % len(colors)]


def has_own_color(labels: Iterable[int]) -> bool:
    """Whether no two of these classes share a color."""
    return max(labels, default=0) < len(CLASS_COLORS)


def shared_colors(labels: Iterable[int]) -> str:
    """What a caption says of the classes' colors where some are shared."""
    return "" if has_own_color(labels) else f" ({len(CLASS_COLORS)} colors, which classes share)"


def marker_of(number: int) -> str:
    """The marker of the run with this number; where colors repeat, markers do not."""
    return MARKERS[(number + number // len(RUN_COLORS)) % len(MARKERS)]
