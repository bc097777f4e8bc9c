"""The section "Initial against best": both on the same texts, with figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mogradjudge.display.plotting import COLOURS, GREY, panels
from mogradjudge.report.estimates import MEAN, Ends, Estimate, Scoring
from mogradjudge.report.pictures import Picture, short
from mogradjudge.report.scores import measure_of
from mogradjudge.report.section import Findings, Section
from mogradjudge.scoring.ceilings import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NO_CEILING = (
    "There is no human ceiling here. It would show how well human raters agree with one another, "
    "but there is only one human score per text and criterion."
)
_BLUE, _GREEN = COLOURS[0], COLOURS[2]


def headline(findings: Findings) -> Picture | None:
    """Draw initial against best on the first split, the one that the verdict is about."""
    ends = next(iter(findings.ends.values()), None)
    return None if ends is None else _picture(findings, replace(ends, lengths={}))


def section(findings: Findings) -> Section:
    """Compare initial and best instructions on held-out and on validation texts."""
    others = list(findings.ends.items())[1:]  # the verdict shows the first one
    drawn = {split: _picture(findings, ends) for split, ends in others}
    pictures = {split: picture for split, picture in drawn.items() if picture is not None}
    return Section(
        anchor="ends",
        title="Initial against best",
        template="run_ends.html.j2",
        values={
            "compared": tuple(findings.ends.values()),
            "pictures": pictures,
            "ceilings": {split: describe(findings.run.ceilings(split)) for split in findings.ends},
            "no_ceiling": _no_ceiling(findings),
        },
        pictures=tuple(pictures.values()),
    )


def _no_ceiling(findings: Findings) -> str:
    """Say that it is unknown how well raters agree, if it is."""
    run = findings.run
    is_known = run.rubric is None or any(map(run.ceilings, findings.ends))
    return "" if is_known else _NO_CEILING


def _picture(findings: Findings, ends: Ends) -> Picture | None:
    intervals = ", with 95 % intervals over documents" if ends.has_intervals else ""
    ceilings = {
        name: it["perfect_judge"]
        for name, it in findings.run.ceilings(ends.split).items()
        if it["perfect_judge"] is not None
    }
    ceiling = "; | is what a perfect judge would reach with these raters" if ceilings else ""
    caption = f"{findings.what} on the {ends.split} texts{intervals}{ceiling}."
    label = f"{measure_of(findings.run, MEAN)} with the human scores"
    if not ends.of_judge:
        label = "value of the objective"
    return findings.picture(
        f"ends-{ends.split}", caption, _alt(ends), partial(_figure, ends, label, ceilings)
    )


def _alt(ends: Ends) -> str:
    rows = [
        f"{name}: "
        + ", ".join(
            f"{arm} {scoring.by_criterion[name].in_words}" for arm, scoring in ends.arms.items()
        )
        for name in ends.seed.by_criterion
    ]
    return f"Values on the {ends.split} texts. {'; '.join(rows)}."


def _figure(ends: Ends, label: str, ceilings: Mapping[str, float]) -> Figure:
    """Draw the agreement of initial and best instructions and of input lengths as rows."""
    every = list(ends.seed.by_criterion)
    names = every[:1] if len(every) == 2 else every  # of one criterion, the mean is the same
    arms: list[tuple[str, Scoring, str, str]] = [
        ("initial", ends.seed, "s", COLOURS[6]),
        *([] if ends.seed_kept else [("best", ends.final, "o", _BLUE)]),
    ]
    for (name, scoring), marker in zip(ends.lengths.items(), "^v<", strict=False):
        arms.append((short(f"length of {name}"), scoring, marker, _GREEN))
    apart = 0.7 / len(arms)
    figure, (axes,) = panels(5.2, 0.9 + 0.19 * len(arms) * len(names), (1,))
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, (arm, scoring, marker, colour) in enumerate(arms):
        estimates = [scoring.by_criterion[name] for name in names]
        _draw_row(axes, estimates, (place - (len(arms) - 1) / 2) * apart, (arm, marker, colour))
    if ceilings:
        places = [names.index(name) for name in ceilings]
        axes.plot([*ceilings.values()], places, "|", color=GREY, markersize=16, label="ceiling")
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _draw_row(
    axes: Axes, estimates: Sequence[Estimate], shift: float, look: tuple[str, str, str]
) -> None:
    label, marker, colour = look
    for place, estimate in enumerate(estimates):
        if estimate.interval is not None:
            bounds = [estimate.interval.low, estimate.interval.high]
            axes.plot(bounds, [place + shift] * 2, color=colour, linewidth=1.2, alpha=0.7)
    known = [
        (estimate.value, place + shift)
        for place, estimate in enumerate(estimates)
        if estimate.value is not None
    ]
    axes.plot(
        [value for value, _ in known],
        [place for _, place in known],
        marker,
        color=colour,
        markersize=5.5,
        label=label,
    )
