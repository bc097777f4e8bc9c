"""The modes' part of the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import MEAN
from benchmarks.harness.setting import CALLS
from benchmarks.modes import summarize
from benchmarks.modes.finding import finding
from benchmarks.modes.measure import MODES, SEED
from benchmarks.modes.runs import Step
from benchmarks.modes.summary import InSetting, Mode
from benchmarks.modes.tables import (
    adherence_table,
    agreement_table,
    costs_table,
    gains_table,
    volumes_table,
)
from benchmarks.report.markdown import escape, fenced, folded, shown
from benchmarks.report.pictures import forest, panels, plain, styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from mogradjudge.display.plotting import COLOURS, GREY, MARKERS
from mogradjudge.report.numbers import counted

_VOLUME = (
    "Hypervolume is the share of the space of agreements that lies below at least one program, "
    "with a reference point of 0 on each criterion: a negative rho counts as 0. Both columns are "
    "means over the runs: on the test texts of the volume of a run's final program, on the "
    "validation texts of that of all programs which a run measured, so selection bias "
    "raises it."
)


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about the modes, for each setting and way to run them."""
    return [_section(summary, settings, place) for place, summary in enumerate(summarize(cells), 1)]


def _section(summary: InSetting, settings: Settings, number_of: int) -> Section:
    figures: dict[str, Figure] = {}
    rated = adherence_table(summary)
    parts = [
        _introduction(summary),
        "### Agreement on the test texts",
        shown(agreement_table(summary)),
        "Differences to the initial instructions in the same layout:",
        shown(gains_table(summary)),
        pictured(
            f"modes-{number_of}-differences.svg",
            forest(
                (*summary.against_seed, *summary.pairs),
                "difference of mean agreement (Spearman's rho)",
            ),
            "Differences of mean test agreement with 95 % intervals; filled where established, "
            "the grey band is the bound of equivalence",
            figures,
        ),
        "### Way and cost",
        pictured(
            f"modes-{number_of}-steps.svg",
            _trajectory_picture(summary),
            "Validation agreement over the steps, a line for each run; a filled mark is an "
            "accepted proposal, the black line the mean",
            figures,
        ),
        pictured(
            f"modes-{number_of}-cost.svg",
            _cost_picture(summary),
            "Calls of a run against its test agreement, with 95 % intervals over "
            + ("runs and documents" if _runs(summary) > 1 else "documents alone, for 1 run"),
            figures,
        ),
        "Calls, tokens and dollars of one run:",
        shown(costs_table(summary)),
        *(["### Adherence", f"{rated.title}:", shown(rated)] * bool(summary.adherence)),
        "### Hypervolume",
        _VOLUME,
        shown(volumes_table(summary)),
        *(_texts(mode) for mode in summary.optimized),
    ]
    title = f"Modes, {settings.name(summary.setting)}"
    return Section(
        title,
        (*summary.against_seed, *summary.pairs),
        parts,
        figures,
        summary.setting,
        finding=finding(summary),
        lead=f"modes-{number_of}-cost.svg",
    )


def _introduction(summary: InSetting) -> str:
    plan = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in summary.plan.items())
    return (
        f"{summary.texts} test texts of {summary.documents} held-out documents; "
        f"agreement is Spearman's rho, {summary.level} level. Up to "
        f"{counted(_runs(summary), 'run')} per mode ({escape(plan)}). In brackets "
        "are 95 % intervals over runs and documents. ST is the "
        "single-criterion baseline: an optimizer and a judge for each criterion, so that "
        "the judge's layout sets it apart from a mode as well."
    )


def _runs(summary: InSetting) -> int:
    return max(len(mode.seeds) for mode in summary.optimized)


def _texts(mode: Mode) -> str:
    blocks = [f"**{escape(name)}**\n\n{fenced(text)}" for name, text in mode.texts[0].items()]
    summary = f"Final instructions of {mode.name}, run {mode.seeds[0]}"
    return folded(summary, "\n\n".join(blocks))


def _look(name: str) -> tuple[str, str]:
    """Give a mode's colour and marker, the same in all pictures."""
    place = MODES.index(name)
    return COLOURS[place], MARKERS[place]


def _trajectory_picture(summary: InSetting) -> Figure:
    """Draw a panel for each mode: its runs thin, their mean thick, accepted steps filled."""
    modes = summary.optimized
    with styled():
        figure, axes = panels(len(modes), 1.2 + 1.6 * len(modes), 2.3)
        for mode, panel in zip(modes, axes, strict=True):
            _draw_way(panel, mode)
        axes[0].set_ylabel("validation agreement\n(mean Spearman's rho)")
        figure.supxlabel("step", fontsize=9)
        return figure


def _draw_way(axes: Axes, mode: Mode) -> None:
    colour, marker = _look(mode.name)
    for way in mode.trajectories:
        steps, values = [step.step for step in way], _values(way)
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


def _cost_picture(summary: InSetting) -> Figure:
    """Draw calls against test agreement; the seed prompt costs nothing and is a line."""
    with styled():
        figure, axes = plain(5.6, 3.4)
        for mode in summary.modes:
            value = mode.test[MEAN]
            if value.value is None:
                continue
            if mode.name == SEED:
                dashes = "--" if mode.layout == "combined" else ":"
                said = f"initial instructions,\n{CALLS[mode.layout]}"
                axes.axhline(value.value, color=GREY, linewidth=1, linestyle=dashes, label=said)
                continue
            colour, marker = _look(mode.name)
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
