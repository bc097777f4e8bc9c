"""The report's pictures, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mogradjudge.display.plotting import COLOURS, GREY, panels
from mogradjudge.report.confusion import Confusion
from mogradjudge.report.costs import Costs
from mogradjudge.report.estimates import Ends, Estimate, Scoring

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _VERMILION, _GREEN, *_ = COLOURS
_LONGEST = 26  # characters of a name
_LOOKS: Mapping[str, tuple[str, str]] = {
    "seed": ("s", COLOURS[6]),
    "accepted": ("o", _BLUE),
    "rejected": ("X", _VERMILION),
    "not decided": ("P", GREY),
}


def steps_figure(
    name: str,
    scored: Sequence[Scoring],
    outcomes: Mapping[int, str],
    current: Mapping[int, float | None],
) -> Figure:
    """Draw the agreement of each scored proposal over steps, with intervals.

    Args:
        name: The criterion, or the mean.
        scored: The scorings, the seed's first.
        outcomes: What became of each step's proposal.
        current: The agreement of the instructions in force after each step.
    """
    figure, (axes,) = panels(4.4, 2.9, (1,))
    line = [(step, value) for step, value in current.items() if value is not None]
    if line:
        axes.step(
            *zip(*line, strict=True),
            where="post",
            color=GREY,
            linewidth=1.0,
            label="in force",
            zorder=1,
        )
    for outcome, (marker, colour) in _LOOKS.items():
        found = [
            (each.step, each.by_criterion[name])
            for each in scored
            if ("seed" if each.step == 0 else outcomes.get(each.step)) == outcome
            and each.by_criterion[name].value is not None
        ]
        if found:
            _with_intervals(axes, found, marker, colour, outcome)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel("agreement")
    axes.set_title(_label(name), loc="left")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.0)
    return figure


def _label(name: str) -> str:
    """Cut a name that would leave no room for the picture."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _with_intervals(
    axes: Axes, found: Sequence[tuple[int, Estimate]], marker: str, colour: str, label: str
) -> None:
    for place, estimate in found:
        if estimate.interval is not None:
            ends = [estimate.interval.low, estimate.interval.high]
            axes.plot([place, place], ends, color=colour, linewidth=1.0, alpha=0.6, zorder=2)
    axes.plot(
        [place for place, _ in found],
        [math.nan if each.value is None else each.value for _, each in found],
        marker,
        color=colour,
        markersize=6,
        label=label,
        zorder=3,
    )


def ends_figure(ends: Ends) -> Figure:
    """Draw the agreement of seed, final instructions and lengths alone, one below the other."""
    names = list(ends.seed.by_criterion)
    arms: list[tuple[str, Scoring, str, str]] = [
        ("seed", ends.seed, "s", COLOURS[6]),
        *([] if ends.kept else [("final", ends.final, "o", _BLUE)]),
    ]
    for (name, scoring), marker in zip(ends.lengths.items(), "^v<", strict=False):
        arms.append((_label(f"length of {name}"), scoring, marker, _GREEN))
    apart = 0.7 / len(arms)
    figure, (axes,) = panels(5.2, 0.9 + 0.19 * len(arms) * len(names), (1,))
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, (label, scoring, marker, colour) in enumerate(arms):
        _row(axes, scoring, (place - (len(arms) - 1) / 2) * apart, (label, marker, colour))
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_label_of_value(ends))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _label_of_value(ends: Ends) -> str:
    return "agreement with the human scores" if ends.of_judge else "value of the objective"


def _row(axes: Axes, scoring: Scoring, shift: float, look: tuple[str, str, str]) -> None:
    label, marker, colour = look
    values = list(scoring.by_criterion.values())
    for place, each in enumerate(values):
        if each.interval is not None:
            ends = [each.interval.low, each.interval.high]
            axes.plot(ends, [place + shift] * 2, color=colour, linewidth=1.2, alpha=0.7)
    known = [
        (each.value, place + shift) for place, each in enumerate(values) if each.value is not None
    ]
    axes.plot(
        [value for value, _ in known],
        [place for _, place in known],
        marker,
        color=colour,
        markersize=5.5,
        label=label,
    )


def histogram(confusion: Confusion) -> Figure:
    """Draw how often human and judge gave each score."""
    figure, (axes,) = panels(3.6, 2.2, (1,))
    places = range(len(confusion.bins))
    sides = (
        ("human", confusion.human, -0.2, _GREEN, ""),
        ("judge", confusion.judge, 0.2, _BLUE, "///"),
    )
    for label, counts, shift, colour, hatch in sides:
        axes.bar(
            [place + shift for place in places],
            counts,
            width=0.38,
            color=colour if not hatch else "none",
            edgecolor=colour,
            hatch=hatch,
            label=label,
        )
    axes.set_xticks(places, confusion.bins)
    axes.locator_params(axis="y", integer=True)
    axes.set_xlabel("score")
    axes.set_ylabel("texts")
    axes.set_title(_label(confusion.criterion), loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def spending(costs: Costs) -> Figure:
    """Draw calls and tokens by role."""
    figure, (left, right) = panels(6.0, 0.8 + 0.32 * len(costs.by_role), (1, 1))
    roles = [each.role for each in costs.by_role]
    measures = (
        (left, [each.calls for each in costs.by_role], "calls"),
        (
            right,
            [(each.prompt_tokens + each.completion_tokens) / 1000 for each in costs.by_role],
            "thousand tokens",
        ),
    )
    for axes, values, label in measures:
        axes.barh(range(len(roles)), values, height=0.6, color=_BLUE)
        axes.set_ylim(len(roles) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(roles)), roles if axes is left else [""] * len(roles))
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(label)
    return figure
