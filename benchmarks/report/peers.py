"""The part of the report about our settings and the peers."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.peers.figures import FEWEST, TIMED, Mean, Row, calls_table, figures_table, summarize
from benchmarks.peers.finding import finding
from benchmarks.report.markdown import shown
from benchmarks.report.pictures import styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from benchmarks.worlds import spoken
from mogradjudge.display.plotting import COLOURS

_NAMES = {
    "methods": "Rows are the paper's protocol with one of our settings more, and our default "
    "with one less: *sampling* draws texts that the judge gets wrong; *tolerance* writes no "
    "critique of a small error; *pool* lets the coach read a whole batch; *race* stops scoring a "
    "proposal that is unlikely to be accepted; *mix* scores the better sections of one alone; "
    "*confirm* scores the best on texts that chose nothing.",
    "peers": "*TextGrad, as shipped* goes backward from the sum of a batch's losses, *one by one* "
    "from each. *GEPA, objectives* keeps a frontier over the criteria. *HPSS* is rewritten from "
    "its paper. *Side by side* makes several proposals from the same instructions; *half the "
    "calls* and *paper* are our default with half of the cap, and under the paper's protocol.",
}


def sections(benchmark: str, cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about our settings or the peers, for each world and cap on calls."""
    parts = []
    timed = summarize([cell for cell in cells if cell.benchmark == TIMED and benchmark == "peers"])
    for ours in settings.split([cell for cell in cells if cell.benchmark == benchmark]):
        for cap in sorted({cell.key["cap"] for cell in ours}):
            capped = [cell for cell in ours if cell.key["cap"] == cap]
            parts.append(_section(summarize(capped), timed, capped[0], settings))
    return parts


def _section(rows: Sequence[Row], timed: Sequence[Row], cell: Cell, settings: Settings) -> Section:
    benchmark, cap = cell.benchmark, cell.key["cap"]
    figures: dict[str, Figure] = {}
    parts = [
        f"Every method had the same judge, texts, model and seed prompt, and at most {cap} calls, "
        f"in the {spoken(cell.setting['world'])} (simulated) world. Agreement is the true one "
        "(Spearman's rho, the mean over criteria) of the instructions that a run returns; in "
        "brackets are 95 % intervals over runs, each of which has a world and documents of its "
        "own. A difference is taken run by run.",
        shown(figures_table(rows, timed)),
        _NAMES[benchmark],
        "Calls by role:",
        shown(calls_table(rows)),
    ]
    file = f"{benchmark}-{settings.number(cell.setting)}-{cap}.svg"
    if ran := [row for row in rows if row.true is not None]:
        enough = all(row.runs >= FEWEST for row in ran)
        with_what = "with 95 % intervals" if enough else "of too few runs for intervals"
        what = f"True agreement {with_what}, and the calls that it took"
        parts.append(pictured(file, _picture(ran), what, figures))
    return Section(
        f"{benchmark.capitalize()}, {settings.name(cell.setting)}, {cap} calls",
        (),
        parts,
        figures,
        cell.setting,
        finding=finding(benchmark, cell.setting, cap, rows, timed),
        lead=file if figures else "",
    )


def _picture(rows: Sequence[Row]) -> Figure:
    with styled():
        figure = Figure(figsize=(7.2, 0.8 + 0.3 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for place, row in enumerate(rows):
            _dot(left, place, row.true)
            right.barh(
                *(place, sum(row.calls.values())),
                height=0.55,
                color="white",
                edgecolor=COLOURS[1],
                hatch="///",
            )
        left.set_yticks(range(len(rows)), [row.method for row in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_xlabel("true agreement (Spearman's rho)")
        right.set_xlabel("LM calls of one run")
        right.tick_params(axis="y", length=0)
        return figure


def _dot(axes: Axes, place: int, mean: Mean | None) -> None:
    if mean is None:
        return
    if mean.low is not None and mean.high is not None:
        axes.plot([mean.low, mean.high], [place, place], color=COLOURS[0], linewidth=1.4)
    axes.plot([mean.value], [place], "o", color=COLOURS[0])
