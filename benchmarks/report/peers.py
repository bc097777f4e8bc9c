"""The peers' part of the report."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.peers.figures import Row, calls_table, figures_table, summarize
from benchmarks.report.markdown import shown
from benchmarks.report.pictures import styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from mogradjudge.display.plotting import COLOURS

BENCHMARK = "peers"


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about the peers, for each setting and cap on calls."""
    parts = []
    for ours in settings.split([cell for cell in cells if cell.benchmark == BENCHMARK]):
        for cap in sorted({cell.key["cap"] for cell in ours}):
            capped = [cell for cell in ours if cell.key["cap"] == cap]
            parts.append(_section(summarize(capped), capped[0], settings))
    return parts


def _section(rows: Sequence[Row], cell: Cell, settings: Settings) -> Section:
    name, cap = settings.name(cell.setting), cell.key["cap"]
    figures: dict[str, Figure] = {}
    ran = [row for row in rows if row.test is not None]
    parts = [
        f"Every method had the same judge, texts, model, seed prompt and gate, and at most {cap} "
        "calls. Agreement is Spearman's rho on the test texts, the mean over criteria; in brackets "
        "are 95 % intervals over documents of each method by itself, so two that overlap may "
        "differ all the same.",
        shown(figures_table(rows)),
        "Calls by role:",
        shown(calls_table(rows)),
    ]
    if ran:
        parts.append(
            pictured(
                f"peers-{settings.number(cell.setting)}-{cap}.svg",
                _picture(ran),
                "Test agreement with 95 % intervals, and the calls that it took",
                figures,
            )
        )
    return Section(f"Peers, {name}, {cap} calls", (), parts, figures)


def _picture(rows: Sequence[Row]) -> Figure:
    with styled():
        figure = Figure(figsize=(7.2, 0.8 + 0.3 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for place, row in enumerate(rows):
            if row.interval is not None:
                bounds = [row.interval.low, row.interval.high]
                left.plot(bounds, [place, place], color=COLOURS[0], linewidth=1.4)
            left.plot([row.test], [place], "o", color=COLOURS[0])
            right.barh(
                *(place, sum(row.calls.values())),
                height=0.55,
                color="white",
                edgecolor=COLOURS[1],
                hatch="///",
            )
        left.set_yticks(range(len(rows)), [row.method for row in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_xlabel("test agreement (Spearman's rho)")
        right.set_xlabel("LM calls of one run")
        right.tick_params(axis="y", length=0)
        return figure
