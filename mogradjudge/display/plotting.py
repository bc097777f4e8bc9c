"""One style for all figures: those of runs, searches and benchmarks.

Colours are those of Okabe and Ito, "Color Universal Design" (2008). Markers differ as well, so that
series differ in grey and for the colour-blind too. Equal input gives equal bytes.
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
    "svg.hashsalt": "mogradjudge",  # otherwise the file's ids are random
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with dollar signs is not a formula
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
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def styled() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and written, whatever the user's style.

    Raises:
        SetupError: If matplotlib is missing.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        raise SetupError(f"Figures need matplotlib, which is missing. {INSTALL}") from error
    return style.context(["default", STYLE])


def panels(width: float, height: float, widths: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels side by side.

    Args:
        width: The figure's width in inches.
        height: Its height in inches.
        widths: The relative width of each panel.

    >>> with styled():
    ...     figure, axes = panels(6.0, 3.0, [2, 1])
    >>> len(axes)
    2
    """
    # A figure without pyplot needs no display and leaves nothing behind.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(1, len(widths), squeeze=False, width_ratios=list(widths))
    return figure, list(grid[0])


def image_of(figure: Figure, kind: str = ".svg") -> bytes:
    """Return the bytes of a figure's file; call it inside of `styled`."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind[1:], metadata=_SILENT[kind])
    return drawn.getvalue()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file; call it inside of `styled`.

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
