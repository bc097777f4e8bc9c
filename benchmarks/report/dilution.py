"""The dilution benchmark's part of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.dilution.arms import (
    CRITIQUED,
    CRITIQUED_LONG,
    JOINED,
    JOINT,
    LONG,
    ROUTED,
    SEPARATE,
)
from benchmarks.dilution.contrasts import (
    PARTS,
    PATH,
    SHARE,
    WHOLE_STEP,
    YIELD,
    Decomposition,
)
from benchmarks.dilution.finding import finding
from benchmarks.dilution.raters import BENCHMARK
from benchmarks.dilution.summary import Dilution, by_size, summarize
from benchmarks.dilution.tables import PAPER, tables
from benchmarks.harness.cells import Cell
from benchmarks.report.markdown import escape, folded, shown, table
from benchmarks.report.pictures import styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from mogradjudge import SetupError
from mogradjudge.display.plotting import COLOURS, GREY

_ARMS: Mapping[str, str] = {
    SEPARATE: "a gradient for each criterion, of the critique on it",
    JOINT: "one for all criteria, of the same critiques, as long as a separate one",
    LONG: "the same, as long as all separate ones together",
    CRITIQUED: "one for all criteria, of critiques that speak of all at once (CCC)",
    CRITIQUED_LONG: "the same, as long as all separate ones together",
    JOINED: "the separate ones on one example put together, no LM",
    ROUTED: "its sentences sorted by criterion, no LM",
}
_ON_THE_SCALE = (WHOLE_STEP, SHARE)
_DRAWN = (*_ON_THE_SCALE, YIELD)


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about dilution, for each setting and size of steps."""
    own = [cell for cell in cells if cell.benchmark == BENCHMARK]
    apart = [ours for of_setting in settings.split(own) for ours in by_size(of_setting)]
    return [_section(ours, settings, place) for place, ours in enumerate(apart, 1)]


def _section(cells: Sequence[Cell], settings: Settings, place: int) -> Section:
    title = f"Dilution, {settings.name(cells[0].setting)}"
    try:
        summary = summarize(cells)
    except SetupError as error:  # it was cut short
        return Section(title, (), [escape(error)])
    first = finding(summary)
    figures: dict[str, Figure] = {}
    parts = parts_of(summary, place, figures)
    claims = [] if first.claim is None else [first.claim]
    lead = next(iter(figures), "")
    return Section(title, claims, parts, figures, cells[0].setting, claims, first, lead)


def parts_of(summary: Dilution, place: int, figures: dict[str, Figure]) -> list[str]:
    """Write about what was found, all of it folded but for the picture of the parts."""
    how = [
        f"Gradients were written of the same judgements in {summary.steps} steps of "
        f"{summary.batch_size} texts from {len(summary.seeds)} seeds, {summary.words} words for "
        "one on one criterion. Each sentence was rated by itself, without knowing where it stood. "
        "A step is a cluster.",
        table(("", "what it is"), [[name, text] for name, text in _ARMS.items()]),
        summary.note,
    ]
    trusted = [of for of in summary.trusted if of.measure in _DRAWN]
    drawn = {of.measure: of for of in reversed(trusted)}  # by the first rater that passed
    return [
        *_picture(list(reversed(drawn.values())), f"dilution-{place}-parts.svg", figures),
        folded("What was written", "\n\n".join(how)),
        *(folded(part.title, shown(part)) for part in tables(summary)),
    ]


def _picture(of: Sequence[Decomposition], file: str, figures: dict[str, Figure]) -> list[str]:
    if not of:
        return []
    what = (
        "From separate gradients to joint ones as they run in mode CCC, part by part. Dotted: the "
        "paper's ratings of both, on other data"
    )
    return [pictured(file, waterfall(of), what, figures)]


def waterfall(decompositions: Sequence[Decomposition]) -> Figure:
    """Draw the parts of each difference as bars that begin where the last one ended."""
    with styled():
        figure = Figure(figsize=(7.6, 0.5 + 1.9 * len(decompositions)), layout="constrained")
        panels = figure.subplots(len(decompositions), 1, squeeze=False)[:, 0]
        for of, panel in zip(decompositions, panels, strict=True):
            _fall(panel, of)
        return figure


def _fall(panel: Axes, of: Decomposition) -> None:
    first, *_, last = of.means
    panel.barh(0, first, color=GREY)
    for place, (start, end) in enumerate(zip(of.means, of.means[1:], strict=False), 1):
        colour = COLOURS[place % len(COLOURS)]
        panel.barh(place, end - start, left=start, color=colour, hatch="" if end < start else "//")
        said = f" {end - start:+.{1 if of.measure in _ON_THE_SCALE else 2}f}"
        panel.text(max(start, end), place, said, va="center", fontsize=8)
    panel.barh(len(of.means), last, color=GREY)
    names = [f"{PATH[0]}: {first:.1f}", *PARTS, f"{PATH[-1]}: {last:.1f}"]
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.set_title(f"{of.measure} ({of.rater})", fontsize=9, loc="left")
    most = max(of.means)
    panel.set_xlim(0, max(10, most) if of.measure in _ON_THE_SCALE else 1.15 * most)
    if of.measure == WHOLE_STEP:
        for value in PAPER[1]:
            panel.axvline(value, color=GREY, linewidth=0.9, linestyle=":")
