"""The dilution benchmark's part of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from benchmarks.dilution.contrasts import DILUTION
from benchmarks.dilution.findings import Contrast, Dilution, Figures
from benchmarks.dilution.raters import BENCHMARK
from benchmarks.dilution.summary import summarize
from benchmarks.dilution.tables import arms_table, raters_table, ratings_table
from benchmarks.harness.cells import Cell
from benchmarks.harness.tables import Table, difference, percent
from benchmarks.report.markdown import escape, folded, shown, table
from benchmarks.report.pictures import forest, styled
from benchmarks.report.section import Section, figures_of, pictured
from benchmarks.report.settings import Settings
from mogradjudge import SetupError
from mogradjudge.agreement.claims import Claim
from mogradjudge.display.plotting import COLOURS, GREY, MARKERS

_ARMS: Mapping[str, str] = {
    SEPARATE: "S: a gradient for each criterion",
    JOINT: "C: one for all criteria, as long as one of S",
    LONG: "one for all criteria, as long as those of S together",
    CRITIQUED: "as C, of critiques that speak of all criteria at once",
    CRITIQUED_LONG: "the same, as long as those of S together",
    JOINED: "those of S on one example put together, no LM",
    ROUTED: "its sentences sorted by criterion, no LM",
}
_MEASURES: Mapping[str, str] = {
    "display": "share of words x 10",
    "focus": "focus (0 chance, 1 pure)",
    "corrected_yield": "actionable units per text",
}
_UNITS = {"yield": "actionable units per text", "focus": "chance-corrected focus"}


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about dilution, setting by setting."""
    return [
        _of_setting(ours, settings)
        for ours in settings.split([cell for cell in cells if cell.benchmark == BENCHMARK])
    ]


def _of_setting(cells: Sequence[Cell], settings: Settings) -> Section:
    title = f"Dilution, {settings.name(cells[0].setting)}"
    try:
        summary = summarize(cells)
    except SetupError as error:  # it was cut short, or the steps are of different sizes
        return Section(title, (), [escape(error)])
    figures: dict[str, Figure] = {}
    parts = parts_of(summary, settings.number(cells[0].setting), figures)
    claims = [named(contrast) for contrast in (*summary.contrasts, *summary.causal)]
    main = [named(contrast) for contrast in summary.contrasts if DILUTION.is_that_of(contrast)]
    return Section(title, claims, parts, figures, cells[0].setting, main)


def named(contrast: Contrast) -> Claim:
    """Give a contrast's claim under a name that tells the rater."""
    return replace(contrast.mean, name=f"{contrast.rater}: {contrast.mean.name}")


def parts_of(summary: Dilution, place: int, figures: dict[str, Figure]) -> list[str]:
    """Write about what was found, the pictures' files numbered by their place."""
    return [
        "Gradients were written of the same judgements and critiques under every scope: "
        f"{summary.steps} steps of {summary.batch_size} texts from {len(summary.seeds)} seeds, "
        f"{summary.words} words for a gradient on one criterion. Each sentence was rated by "
        "itself, without knowing where it stood. A step is a cluster.",
        table(("", "what it is"), [[name, text] for name, text in _ARMS.items()]),
        *(f"- {escape(note)}" for note in summary.notes),
        pictured(
            f"dilution-{place}-arms.svg",
            _arms_picture(summary),
            "Focus by the scope of the gradient, with controls: the share of words about the "
            "criterion, times ten (the dotted line is equal attention to all), the same corrected "
            "for the rater's errors and for chance, and the actionable units about the criterion",
            figures,
        ),
        shown(arms_table(summary)),
        *(
            pictured(
                f"dilution-{place}-{measure}.svg",
                forest(_short(summary.contrasts, measure), f"difference in {what}"),
                f"Differences between scopes in {what}, mean over criteria, 95 % intervals; "
                "filled where established",
                figures,
            )
            for measure, what in _UNITS.items()
        ),
        _contrasts(summary.contrasts),
        *(
            ["What edits by single sentences bring:", _contrasts(summary.causal)]
            * bool(summary.causal)
        ),
        "### Ratings of whole texts",
        "From 1 to 10 by the LM rater. A text on all criteria cannot rate high on each, so S "
        "joined is what arithmetic alone leaves of S.",
        shown(ratings_table(summary)),
        "### The raters' test",
        "Raters on texts whose share of sentences about a criterion is known.",
        shown(raters_table(summary)),
        *(
            folded(f"What texts are about, by {rater}", _leakage(summary, rater))
            for rater in summary.raters
        ),
    ]


def _short(contrasts: Sequence[Contrast], measure: str) -> list[Claim]:
    return [
        replace(
            contrast.mean, name=f"{contrast.rater}: {contrast.name.removeprefix(f'{measure}, ')}"
        )
        for contrast in contrasts
        if contrast.measure == measure
    ]


def _contrasts(contrasts: Sequence[Contrast]) -> str:
    rows = [
        [
            escape(contrast.name),
            escape(contrast.rater),
            figures_of(contrast.mean),
            contrast.mean.verdict,
            "-" if contrast.relative is None else difference(contrast.relative),
            ", ".join(
                f"{escape(name)} {difference(claim)} {escape(contrast.verdict_on(name))}"
                for name, claim in contrast.by_criterion.items()
            ),
        ]
        for contrast in contrasts
    ]
    return table(("", "rater", "difference", "verdict", "share lost", "by criterion"), rows)


def _leakage(summary: Dilution, rater: str) -> str:
    by_arm = summary.leakage[rater]
    labels = list(
        dict.fromkeys(label for targets in by_arm.values() for m in targets.values() for label in m)
    )
    rows = [
        [f"{arm}, asked about {target}", *(percent(mass.get(label)) for label in labels)]
        for arm, targets in by_arm.items()
        for target, mass in targets.items()
    ]
    return shown(Table(("share of words about", *labels), rows))


def _arms_picture(summary: Dilution) -> Figure:
    """Draw three measures of each arm, a mark for each rater."""
    arms = list(dict.fromkeys(figures.arm for figures in summary.shown))
    with styled():
        figure = Figure(figsize=(8.6, 0.9 + 0.34 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(_MEASURES), sharey=True)
        for (measure, what), panel in zip(_MEASURES.items(), panels, strict=True):
            for place, rater in enumerate(summary.raters):
                rated = [figures for figures in summary.shown if figures.rater == rater]
                _draw(panel, rated, arms, measure, place)
            panel.set_xlabel(what)
            panel.grid(axis="y", color="#EEEEEE", linewidth=0.8)
            panel.set_axisbelow(True)
        panels[0].set_xlim(0, 10)
        panels[0].axvline(10 / len(summary.criteria), color=GREY, linewidth=0.9, linestyle=":")
        panels[1].axvline(0, color=GREY, linewidth=0.9, linestyle=":")
        panels[2].set_xlim(left=0)
        panels[0].set_yticks(range(len(arms)), arms)
        panels[0].set_ylim(len(arms) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return figure


def _draw(panel: Axes, rated: list[Figures], arms: list[str], measure: str, place: int) -> None:
    points = [
        (value, arms.index(figures.arm))
        for figures in rated
        if (value := getattr(figures, measure)) is not None
    ]
    if not points:
        return
    rater = rated[0].rater + ("" if rated[0].calibrated else " (uncalibrated)")
    values, places = zip(*points, strict=True)
    # Raters that agree do not hide each other.
    nudged = [at + 0.16 * (place - 0.5) for at in places]
    panel.plot(values, nudged, MARKERS[place], color=COLOURS[place], label=rater)
