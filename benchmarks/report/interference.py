"""The interference benchmark's part of the report."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import MEAN
from benchmarks.harness.tables import signed
from benchmarks.interference import finding, summarize
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.contrasts import CROWDING, FORMAT, TRANSFER
from benchmarks.interference.decomposition import LUCK, Decomposition
from benchmarks.interference.paper import PAPER, REPORTED
from benchmarks.interference.summary import Interference
from benchmarks.interference.tables import arms_table, effects_table, matrix_table
from benchmarks.report.markdown import escape, shown
from benchmarks.report.pictures import forest, plain, styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from mogradjudge import SetupError
from mogradjudge.agreement.claims import Claim
from mogradjudge.display.plotting import COLOURS, GREY
from mogradjudge.report.numbers import counted

_LEAD = (
    "From the best of many evaluations to the optimized sections in one call: what of the loss is "
    "luck of the selection, what the layout, what transfer and what crowding. The paper's loss, on "
    "other data, is not divided"
)
_UNDIVIDED = "undivided"
_LOOKS = {
    LUCK: (COLOURS[0], ""),
    FORMAT: (COLOURS[1], "//"),
    TRANSFER: (COLOURS[2], ".."),
    CROWDING: (COLOURS[3], "xx"),
    _UNDIVIDED: (GREY, "--"),
}


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about interference, setting by setting."""
    return [
        _of_setting(ours, settings)
        for ours in settings.split(cells)
        if any(cell.benchmark == BENCHMARK for cell in ours)
    ]


def _of_setting(cells: Sequence[Cell], settings: Settings) -> Section:
    try:
        return _section(summarize(cells), settings)
    except SetupError:  # what is wrong with a cell
        raise
    except ValueError as error:  # it was cut short before there was anything to compare
        title = f"Interference, {settings.name(cells[0].setting)}"
        return Section(title, (), [f"There is nothing to say yet: {escape(error)}."])


def _section(summary: Interference, settings: Settings) -> Section:
    name, number_of = settings.name(summary.setting), settings.number(summary.setting)
    figures: dict[str, Figure] = {}
    lead = f"interference-{number_of}-parts.svg"
    means = [claims[MEAN] for claims in summary.effects.values()]
    crowding = [summary.effects[CROWDING][criterion] for criterion in summary.criteria]
    parts = [
        *(
            [pictured(lead, _waterfalls(summary.decompositions), _LEAD, figures)]
            if summary.decompositions
            else []
        ),
        _introduction(summary),
        shown(arms_table(summary)),
        pictured(
            f"interference-{number_of}-effects.svg",
            forest(means, "mean effect on agreement (Spearman's rho)"),
            "All effects on the mean over the criteria, with 95 % intervals; filled where "
            "established, the grey band is the bound of equivalence",
            figures,
        ),
        shown(effects_table(summary)),
        pictured(
            f"interference-{number_of}-matrix.svg",
            _matrix(summary),
            "What adding one optimized section to the initial instructions in one call does to the "
            "agreement on each criterion; a star marks what is established",
            figures,
        ),
        shown(matrix_table(summary)),
    ]
    title = f"Interference, {name}"
    claims = (*means, *crowding)
    setting, headlines = summary.setting, means[:1]
    return Section(title, claims, parts, figures, setting, headlines, finding(summary), lead)


def _introduction(summary: Interference) -> str:
    return (
        f"{summary.texts} test texts of {counted(summary.documents, 'document')}, each arm scored "
        f"{counted(summary.repeats, 'time')} with the instructions of "
        f"{counted(len(summary.runs), 'run')}; Spearman's "
        f"rho, {summary.level} level. The instructions were chosen on other texts."
    )


def _waterfalls(decompositions: Sequence[Decomposition]) -> Figure:
    """Draw for each decomposition how its parts lead from the start to the stitched prompt."""
    paper = Decomposition(PAPER, REPORTED[0], {_UNDIVIDED: REPORTED[1] - REPORTED[0]}, REPORTED[1])
    with styled():
        figure = Figure(figsize=(2.4 + 2.3 * (len(decompositions) + 1), 3.2), layout="constrained")
        axes = figure.subplots(1, len(decompositions) + 1, sharey=True)
        for panel, of_one in zip(axes, (*decompositions, paper), strict=True):
            _draw_waterfall(panel, of_one)
        axes[0].set_ylim(top=1.08 * axes[0].get_ylim()[1])  # numbers stand above the bars
        axes[0].set_ylabel("mean agreement (Spearman's rho)")
        return figure


def _draw_waterfall(axes: Axes, decomposition: Decomposition) -> None:
    names = ["separate calls", *decomposition.parts, "one call"]
    level = decomposition.best
    axes.bar([0, len(names) - 1], [level, decomposition.joint], color=GREY, width=0.7)
    for place, (name, part) in enumerate(decomposition.parts.items(), 1):
        colour, hatch = _LOOKS[name]
        axes.bar(place, part, bottom=level, color=colour, hatch=hatch, width=0.7, edgecolor="white")
        axes.plot([place - 1.35, place + 0.35], [level, level], color=GREY, linewidth=0.7)
        axes.annotate(
            signed(part),
            (place, max(level, level + part)),
            (0, 2),
            "data",
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        level += part
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xlim(-0.6, 5.6)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_title(textwrap.fill(decomposition.start, 26), fontsize=9)


def _matrix(summary: Interference) -> Figure:
    names = summary.criteria
    values = _values(summary.matrix, names)
    reach = max(0.01, float(np.nanmax(np.abs(values)))) if np.isfinite(values).any() else 0.01
    with styled():
        figure, axes = plain(2.6 + 0.75 * len(names), 1.3 + 0.55 * len(names))
        picture = axes.imshow(values, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
        for j, section in enumerate(names):
            for k, criterion in enumerate(names):
                claim = summary.matrix[section][criterion]
                if claim.estimate is None:
                    continue
                star = "*" if claim.verdict == "established" else ""
                dark = abs(claim.estimate) > 0.6 * reach
                colour = "white" if dark else "black"
                axes.text(
                    k, j, f"{claim.estimate:+.2f}{star}", ha="center", va="center", color=colour
                )
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.set_xlabel("agreement on")
        axes.set_ylabel("added section of")
        axes.spines[:].set_visible(False)
        figure.colorbar(picture, ax=axes, label="change of Spearman's rho")
        return figure


def _values(matrix: Mapping[str, Mapping[str, Claim]], names: Sequence[str]) -> np.ndarray:
    rows = [[matrix[j][k].estimate for k in names] for j in names]
    return np.array([[np.nan if value is None else value for value in row] for row in rows])
