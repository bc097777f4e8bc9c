"""Pictures of the modes: their way over the steps, and what their agreement costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.harness.scored import MEAN
from benchmarks.modes.measure import MODES, SEED
from benchmarks.modes.runs import Step
from benchmarks.modes.summary import InSetting, Mode
from benchmarks.report.pictures import panels, plain, styled
from mogradjudge.display.plotting import COLOURS, GREY, MARKERS


def look(name: str) -> tuple[str, str]:
    """Give a mode's colour and marker, the same in all pictures."""
    place = MODES.index(name)
    return COLOURS[place], MARKERS[place]


def trajectory_picture(found: InSetting) -> Figure:
    """Draw a panel for each mode: its runs thin, their mean thick, accepted steps filled."""
    modes = [mode for mode in found.modes if mode.name != SEED]
    with styled():
        figure, axes = panels(len(modes), 1.2 + 1.6 * len(modes), 2.3)
        for mode, panel in zip(modes, axes, strict=True):
            _draw_way(panel, mode)
        axes[0].set_ylabel("validation agreement\n(mean Spearman's rho)")
        figure.supxlabel("step", fontsize=9)
        return figure


def _draw_way(axes: Axes, mode: Mode) -> None:
    colour, marker = look(mode.name)
    for way in mode.trajectories:
        steps, values = [each.step for each in way], _values(way)
        axes.plot(steps, values, color=colour, alpha=0.45, linewidth=0.8)
        for step, value in zip(way, values, strict=True):
            filled = colour if step.accepted else "white"
            axes.plot(
                *([step.step], [value], marker),
                color=colour,
                markerfacecolor=filled,
                markersize=3.5,
                markeredgewidth=0.7,
            )
    means = [_mean([way[at] for way in mode.trajectories]) for at in range(_length(mode))]
    axes.plot(range(len(means)), means, color="black", linewidth=1.6)
    axes.set_title(mode.name)
    axes.locator_params(axis="x", integer=True, nbins=5)


def _length(mode: Mode) -> int:
    return min(len(way) for way in mode.trajectories)


def _values(way: Sequence[Step]) -> list[float]:
    return [math.nan if step.agreement is None else step.agreement for step in way]


def _mean(steps: Sequence[Step]) -> float:
    known = [step.agreement for step in steps if step.agreement is not None]
    return statistics.fmean(known) if known else math.nan


def cost_picture(found: InSetting) -> Figure:
    """Draw calls against test agreement; the seed prompt costs nothing and is a line."""
    with styled():
        figure, axes = plain(5.6, 3.4)
        for mode in found.modes:
            value = mode.test[MEAN]
            if value.value is None:
                continue
            if mode.name == SEED:
                dashes = "--" if mode.layout == "combined" else ":"
                said = f"seed prompt,\n{mode.layout} calls"
                axes.axhline(value.value, color=GREY, linewidth=1, linestyle=dashes, label=said)
                continue
            colour, marker = look(mode.name)
            if value.low is not None and value.high is not None:
                axes.plot(
                    [mode.cost.total] * 2, [value.low, value.high], color=colour, linewidth=1.2
                )
            axes.plot(
                [mode.cost.total],
                [value.value],
                marker,
                color=colour,
                markersize=7,
                label=mode.name,
            )
        axes.set_xlim(left=0)
        axes.set_xlabel("LM calls of one run, without the scoring of test texts")
        axes.set_ylabel("test agreement\n(mean Spearman's rho)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure
