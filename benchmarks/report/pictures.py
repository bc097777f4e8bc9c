"""Pictures that read well in colour, in grey and to the colour-blind, and are equal for equal data.

Colours are those of Okabe and Ito, "Color Universal Design" (2008); markers and hatches differ as
well.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mogradjudge.agreement.claims import Claim
from mogradjudge.display.plotting import COLOURS, GREY, STYLE

_STYLE: Any = {
    **STYLE,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled() -> AbstractContextManager[None]:
    """Give the context that figures are drawn and written in, whatever the user's own style is."""
    return style.context(["default", _STYLE])


def panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels in a row that share their axes; gives it and the panels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0])


def plain(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure with one panel."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def svg(figure: Figure) -> bytes:
    """Give a figure as SVG, the same bytes for the same figure."""
    file = io.BytesIO()
    with styled():
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def forest(claims: Sequence[Claim], label: str) -> Figure:
    """Draw claims with their intervals, one below the other; filled where established.

    A grey band shows within what a difference counts as none.
    """
    with styled():
        longest = max((len(claim.name) for claim in claims), default=0)
        figure, axes = plain(4.6 + 0.07 * longest, 0.7 + 0.26 * len(claims))
        bounds = {claim.bound for claim in claims if claim.bound is not None}
        if len(bounds) == 1:
            (bound,) = bounds
            axes.axvspan(-bound, bound, color="#DDDDDD", zorder=0, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for place, claim in enumerate(claims):
            if claim.estimate is None or claim.low is None or claim.high is None:
                continue
            axes.plot([claim.low, claim.high], [place, place], color=COLOURS[0], linewidth=1.4)
            axes.plot(
                *([claim.estimate], [place], "o"),
                color=COLOURS[0],
                markerfacecolor=COLOURS[0] if claim.verdict == "established" else "white",
            )
        axes.set_yticks(range(len(claims)), [claim.name for claim in claims])
        axes.set_ylim(len(claims) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        return figure
