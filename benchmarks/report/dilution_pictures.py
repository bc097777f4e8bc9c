"""A picture of gradients: how focused they are, by the scope of the call that wrote them."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.dilution.findings import Dilution, Figures
from benchmarks.report.pictures import styled
from mogradjudge.display.plotting import COLOURS, GREY, MARKERS

_WHAT: Mapping[str, str] = {
    "display": "share of words x 10",
    "focus": "focus (0 chance, 1 pure)",
    "corrected_yield": "actionable units per text",
}


def arms_picture(found: Dilution) -> Figure:
    """Draw three measures of each arm, a mark for each rater."""
    shown = [each for each in found.figures if each.criterion is None or len(found.criteria) == 1]
    arms = list(dict.fromkeys(each.arm for each in shown))
    with styled():
        figure = Figure(figsize=(8.6, 0.9 + 0.34 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(_WHAT), sharey=True)
        for (measure, what), panel in zip(_WHAT.items(), panels, strict=True):
            for place, rater in enumerate(found.raters):
                _draw(panel, [each for each in shown if each.rater == rater], arms, measure, place)
            panel.set_xlabel(what)
            panel.grid(axis="y", color="#EEEEEE", linewidth=0.8)
            panel.set_axisbelow(True)
        panels[0].set_xlim(0, 10)
        panels[0].axvline(10 / len(found.criteria), color=GREY, linewidth=0.9, linestyle=":")
        panels[1].axvline(0, color=GREY, linewidth=0.9, linestyle=":")
        panels[2].set_xlim(left=0)
        panels[0].set_yticks(range(len(arms)), arms)
        panels[0].set_ylim(len(arms) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return figure


def _draw(panel: Axes, shown: list[Figures], arms: list[str], measure: str, place: int) -> None:
    points = [
        (value, arms.index(e.arm)) for e in shown if (value := getattr(e, measure)) is not None
    ]
    if not points:
        return
    rater = shown[0].rater + ("" if shown[0].calibrated else " (uncalibrated)")
    values, places = zip(*points, strict=True)
    # Raters that agree do not hide each other.
    nudged = [at + 0.16 * (place - 0.5) for at in places]
    panel.plot(values, nudged, MARKERS[place], color=COLOURS[place], label=rater)
