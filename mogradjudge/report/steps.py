"""The section "Steps": the agreement of each proposal and of the current instructions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mogradjudge.display.plotting import COLOURS, GREY, panels
from mogradjudge.optimize.figures import Deviations
from mogradjudge.report.edits import StepOutcome, note_on, outcome_of
from mogradjudge.report.estimates import MEAN, Estimate, Scoring
from mogradjudge.report.pictures import Picture, short
from mogradjudge.report.run_data import RunData
from mogradjudge.report.scores import how_taken, measure_of
from mogradjudge.report.section import Findings, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS: Mapping[str, tuple[str, str]] = {
    "initial": ("s", COLOURS[6]),
    "accepted": ("o", COLOURS[0]),
    "rejected": ("X", COLOURS[1]),
    "not decided": ("P", GREY),
}


@dataclass(frozen=True)
class StepRow:
    """One row of the table of steps; step 0 is the initial instructions, without an outcome."""

    number: int
    outcome: StepOutcome
    scoring: Scoring | None
    calls: int | None
    tokens: int | None
    deviations: Deviations
    note: str = ""


def section(findings: Findings) -> Section:
    """Show the agreement of each step's proposal, as a table and a figure for each criterion."""
    pictures = _pictures(findings)
    heading = "Agreement" if findings.run.rubric is not None else "Values"
    return Section(
        anchor="steps",
        title="Steps",
        heading=f"{heading} over steps",
        template="run_steps.html.j2",
        values={
            "rows": _rows(findings.run, findings.scorings),
            "agreement": how_taken(findings.run),
            "pictures": pictures,
        },
        pictures=tuple(picture for _, picture in pictures),
    )


def _rows(run: RunData, scorings: Sequence[Scoring]) -> tuple[StepRow, ...]:
    by_step = {scoring.step: scoring for scoring in scorings}
    rows = []
    if run.seeded is not None:
        rows.append(
            StepRow(*(0, "accepted", by_step.get(0), run.seeded.calls, None, run.seeded.deviations))
        )
    for step in run.steps:
        ended = step.ended
        rows.append(
            StepRow(
                number=step.number,
                outcome=outcome_of(step.decided),
                scoring=by_step.get(step.number),
                calls=None if ended is None else ended.calls,
                tokens=None if ended is None else ended.tokens,
                deviations={} if step.decided is None else step.decided.proposed_deviations,
                note=note_on(step),
            )
        )
    return tuple(rows)


def _pictures(findings: Findings) -> tuple[tuple[str, Picture], ...]:
    if not findings.scorings:
        return ()
    names = (MEAN, *findings.run.criteria)
    drawn = ((name, _picture(findings, name)) for name in names)
    return tuple((name, picture) for name, picture in drawn if picture is not None)


def _picture(findings: Findings, name: str) -> Picture | None:
    run, scorings = findings.run, findings.scorings
    outcomes = {step.number: outcome_of(step.decided) for step in run.steps}
    has_intervals = any(scoring.by_criterion[name].interval is not None for scoring in scorings)
    bars = " Bars are 95 % intervals over documents." if has_intervals else ""
    return findings.picture(
        f"steps-{name}",
        f"{findings.what} over steps: {name}.{bars}",
        _alt(name, scorings, outcomes),
        partial(_figure, name, scorings, outcomes, _in_force(run, name), measure_of(run, name)),
    )


def _in_force(run: RunData, name: str) -> dict[int, float | None]:
    """Return the agreement of the current instructions after each step."""
    seed = {} if run.seeded is None else {0: run.seeded.agreement.get(name)}
    ended = [step.ended for step in run.steps if step.ended is not None]
    return {**seed, **{event.step: event.agreement.get(name) for event in ended}}


def _alt(name: str, scorings: Sequence[Scoring], outcomes: Mapping[int, str]) -> str:
    def named(step: int) -> str:
        return "initial" if step == 0 else f"step {step} {outcomes.get(step)}"

    rows = [f"{named(scoring.step)} {scoring.by_criterion[name].in_words}" for scoring in scorings]
    return f"Values of proposals on {name}. {'; '.join(rows)}."


def _figure(
    name: str,
    scorings: Sequence[Scoring],
    outcomes: Mapping[int, str],
    current: Mapping[int, float | None],
    measure: str,
) -> Figure:
    """Draw the agreement of each scored proposal over steps, with intervals."""
    figure, (axes,) = panels(4.4, 2.9, (1,))
    line = [(step, value) for step, value in current.items() if value is not None]
    if line:
        axes.step(
            *zip(*line, strict=True),
            where="post",
            color=GREY,
            linewidth=1.0,
            label="current",
            zorder=1,
        )
    for outcome in _LOOKS:
        points = [
            (scoring.step, scoring.by_criterion[name])
            for scoring in scorings
            if ("initial" if scoring.step == 0 else outcomes.get(scoring.step)) == outcome
        ]
        _draw_points(axes, points, outcome)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel(measure)
    axes.set_title(short(name), loc="left")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.0)
    return figure


def _draw_points(axes: Axes, points: Sequence[tuple[int, Estimate]], outcome: str) -> None:
    marker, colour = _LOOKS[outcome]
    known = [(step, estimate) for step, estimate in points if estimate.value is not None]
    for step, estimate in known:
        if estimate.interval is not None:
            bounds = [estimate.interval.low, estimate.interval.high]
            axes.plot([step, step], bounds, color=colour, linewidth=1.0, alpha=0.6, zorder=2)
    if known:
        axes.plot(
            [step for step, _ in known],
            [math.nan if estimate.value is None else estimate.value for _, estimate in known],
            marker,
            color=colour,
            markersize=6,
            label=outcome,
            zorder=3,
        )
