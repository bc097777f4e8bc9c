"""One style for all pictures: those of runs, of searches and of benchmarks.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), and markers differ as well, so
that they can be told apart in grey and by the colour-blind. Equal input gives equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mogradjudge.errors import SetupError
from mogradjudge.files import replaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSTALL = 'Install the extra: pip install "mogradjudge[figures]".'

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"
STYLE: Any = {
    "svg.hashsalt": "mogradjudge",  # else names inside of the file are random
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name is no formula
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "legend.frameon": False,
    "savefig.dpi": 160,
}
# Dates and versions would make equal figures differ.
_SILENT: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}


def can_draw() -> bool:
    """Say whether there is a matplotlib to draw with."""
    return find_spec("matplotlib") is not None


def styled() -> AbstractContextManager[None]:
    """Give the context that figures are drawn and written in, whatever the user's own style is.

    Raises:
        SetupError: If matplotlib is missing.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        raise SetupError(f"Figures need matplotlib, which is missing. {INSTALL}") from error
    return style.context(["default", STYLE])


def panels(width: float, height: float, widths: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Make a figure, in inches, with panels side by side of these relative widths."""
    # A figure of its own needs no display and leaves nothing behind in pyplot.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(1, len(widths), squeeze=False, width_ratios=list(widths))
    return figure, list(grid[0])


def image_of(figure: Figure, kind: str = ".svg") -> bytes:
    """Give a figure as a file holds it; to be called inside of `styled`."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind[1:], metadata=_SILENT[kind])
    return drawn.getvalue()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure; to be called inside of `styled`.

    Raises:
        SetupError: If the path ends in neither ``.svg`` nor ``.png``.
    """
    kind = path.suffix.lower()
    if kind not in _SILENT:
        raise SetupError(f"A figure's path must end in .svg or .png, got {str(path)!r}.")
    drawn = image_of(figure, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial:
        partial.write_bytes(drawn)
