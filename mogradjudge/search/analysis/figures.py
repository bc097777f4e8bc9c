"""Figures of a search: agreement by cost, and the effects of the parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.agreement import Interval, Undefined
from mogradjudge.criteria.decomposition import MODES
from mogradjudge.display.plotting import COLOURS, GREY, MARKERS, panels, styled, write_figure
from mogradjudge.errors import SetupError
from mogradjudge.search.analysis.effects import Effects, LevelEffect
from mogradjudge.search.analysis.pareto import Point, pareto_front, side_by_side, width_of
from mogradjudge.search.analysis.records import eligible_of
from mogradjudge.search.analysis.result import SearchResult
from mogradjudge.search.analysis.summary import points_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_EFFECT = 0.01  # that the axis shows; less is a rounding error


def front_figure(
    points: Sequence[Point],
    path: Path,
    x_label: str,
    y_label: str,
    *,
    winner: int | None = None,
    default: int | None = 0,
) -> None:
    """Draw all trials by price and value, with the Pareto front as a line.

    Trials that would cover one another are drawn side by side: those on the front in their true
    place, the others a few points beside it.

    Args:
        points: The trials, at least one.
        path: Where to write; it ends in ``.svg`` or ``.png``.
        x_label: What the price is, with its unit.
        y_label: What the value is.
        winner: The trial that was chosen; marked if it is among the points.
        default: The trial of the default configuration; marked if it is among the points.

    Raises:
        SetupError: If matplotlib is missing, there is no point, or the path has another ending.
    """
    if not points:
        raise SetupError("A figure needs at least one trial with a value, got none.")
    front = pareto_front(points)
    with styled():
        figure, (axes,) = panels(6.4, 3.7, (1,))
        places = side_by_side(points, front)
        _draw_front(axes, front)
        for mode, look in _looks(point.mode for point in points).items():
            _draw_trials(axes, [p for p in points if p.mode == mode], places, look)
        _ring_trial(axes, points, places, default, ("default", "o", 13))
        _ring_trial(axes, points, places, winner, ("chosen", "s", 14))
        _set_limits(axes, points, places)
        axes.locator_params(axis="x", integer=all(point.x.is_integer() for point in points))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=0.8)
        write_figure(figure, path)


def effects_figure(
    effects: Effects | Undefined, importances: Mapping[str, float], path: Path
) -> None:
    """Draw the effect of each level with its interval, beside the importance of each parameter.

    Args:
        effects: As by `mode_effects`.
        importances: The share of each parameter in the variance of values, in [0, 1], by name, of
            those that every trial has; without any there is no such panel.
        path: Where to write; it ends in ``.svg`` or ``.png``.

    Raises:
        SetupError: If matplotlib is missing, or the path has another ending.
    """
    levels = 1 if isinstance(effects, Undefined) else len(effects.levels)
    rows = max(levels, len(importances), 2)
    widths = (1.25, 1) if importances else (1,)
    with styled():
        figure, axes = panels(3.9 * len(widths), 1.1 + 0.3 * rows, widths)
        if isinstance(effects, Undefined):
            _say(axes[0], f"No effects: {effects.reason}.")
        else:
            _draw_effects(axes[0], effects)
        if importances:
            _draw_importances(axes[1], importances)
        write_figure(figure, path)


def draw(result: SearchResult, folder: Path) -> list[Path]:
    """Draw the eligible trials and the effects into a folder.

    Returns:
        The files, ``front.svg`` and ``effects.svg``; none if no trial has a value.

    Raises:
        SetupError: If matplotlib is missing.
    """
    complete = [trial for trial in result.trials if trial.state == "complete"]
    points = points_of(eligible_of(complete, result.default))
    if not points:
        return []
    front, effects = folder / "front.svg", folder / "effects.svg"
    front_figure(
        points,
        front,
        "calls per text",
        "mean agreement on the selection texts",
        winner=None if result.best is None else result.best.number,
        default=None if result.default is None else result.default.number,
    )
    effects_figure(result.effects, result.importances, effects)
    return [front, effects]


def _draw_front(axes: Axes, front: Sequence[Point]) -> None:
    if len(front) < 2:
        return
    axes.step(
        *([point.x for point in front], [point.y for point in front]),
        where="post",
        color=GREY,
        linewidth=1.0,
        zorder=1,
        label="best for its price",
    )


def _draw_trials(
    axes: Axes, points: Sequence[Point], places: Mapping[int, float], look: tuple[str, str]
) -> None:
    colour, marker = look
    for point in points:
        if point.low is not None and point.high is not None:
            x = places[point.trial]
            axes.plot(
                [x, x], [point.low, point.high], color=colour, linewidth=0.9, alpha=0.5, zorder=2
            )
    axes.plot(
        [places[point.trial] for point in points],
        [point.y for point in points],
        marker,
        color=colour,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=points[0].mode,
        zorder=3,
    )


def _ring_trial(
    axes: Axes,
    points: Sequence[Point],
    places: Mapping[int, float],
    trial: int | None,
    look: tuple[str, str, float],
) -> None:
    """Mark a trial if it is among the points; ``look`` is its label, marker and size."""
    label, marker, size = look
    for point in points:
        if point.trial == trial:
            axes.plot(
                *([places[point.trial]], [point.y], marker),
                markersize=size,
                markerfacecolor="none",
                markeredgecolor="black",
                markeredgewidth=1.1,
                label=f"{label} (trial {trial})",
                zorder=4,
            )


def _set_limits(axes: Axes, points: Sequence[Point], places: Mapping[int, float]) -> None:
    edge = width_of(points) * (0.06 if len({point.x for point in points}) > 1 else 0.5)
    axes.set_xlim(min(places.values()) - edge, max(places.values()) + edge)
    axes.margins(y=0.08)


def _draw_effects(axes: Axes, effects: Effects) -> None:
    axes.axvline(0, color=GREY, linewidth=0.8)
    looks = _looks(str(level.level) for level in effects.levels)
    levels = sorted(effects.levels, key=lambda level: list(looks).index(str(level.level)))
    for place, level in enumerate(levels):
        colour, marker = looks[str(level.level)]
        interval = level.effect.interval
        if isinstance(interval, Interval):
            axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=1.6)
        axes.plot([level.effect.value], [place], marker, color=colour, markersize=7)
    axes.set_yticks(range(len(levels)), [_named(level) for level in levels])
    axes.set_ylim(len(levels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -_LEAST_EFFECT), max(high, _LEAST_EFFECT))
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("agreement minus the mean of all,\nat the settings tried")
    how = "" if effects.unadjusted is None else ", not adjusted"
    axes.set_title(f"effect of {effects.factor}{how}", loc="left")


def _named(level: LevelEffect) -> str:
    return f"{level.level} (n = {level.n})"


def _draw_importances(axes: Axes, importances: Mapping[str, float]) -> None:
    ranked = sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    axes.barh(range(len(ranked)), [share for _, share in ranked], height=0.6, color=COLOURS[5])
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    axes.set_ylim(max(len(ranked), 4) - 0.4, -0.6)  # one bar alone would fill the panel
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the variance of values,\nof the parameters that every trial has")
    axes.set_title("importance of parameters", loc="left")


def _say(axes: Axes, words: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, textwrap.fill(words, 36), ha="center", va="center")


def _looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return each level's colour and marker, in order; a mode's are the same in all figures."""
    modes = list(MODES)
    looks, others = {}, count(len(modes))
    wanted = set(names)
    for name in [*(mode for mode in modes if mode in wanted), *sorted(wanted - set(modes))]:
        place = modes.index(name) if name in modes else next(others)
        looks[name] = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    return looks
