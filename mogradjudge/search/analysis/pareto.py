"""Trials by price and value: Pareto front, hypervolume, and places in a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_WIDTH, _HEIGHT = 330.0, 230.0  # what the panel measures, in points of 1/72 inch
_APART = 8.0  # points between the middles of two markers
_BARS_APART = 4.0  # points between two lines
_TRIES = 12  # to each side; what is still covered then stays in its place


@dataclass(frozen=True)
class Point:
    """One trial: its price ``x``, lower is better, and its value ``y``, higher is better.

    ``low`` and ``high`` are the ends of the value's interval, if it has one.
    """

    trial: int
    x: float
    y: float
    mode: str
    low: float | None = None
    high: float | None = None

    @property
    def bottom(self) -> float:
        """The lowest value that is drawn."""
        return self.y if self.low is None else self.low

    @property
    def top(self) -> float:
        """The highest value that is drawn."""
        return self.y if self.high is None else self.high


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Return the trials that no other one beats in price and value, cheapest first.

    Of trials that are equal in both it returns the first.

    >>> points = [Point(0, 1.0, 0.5, "SSC"), Point(1, 2.0, 0.4, "SSS"), Point(2, 3.0, 0.6, "SSS")]
    >>> [point.trial for point in pareto_front(points)]
    [0, 2]
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y, point.trial)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def dominated(
    values: Sequence[Sequence[float]], costs: Sequence[bool], default: Sequence[float]
) -> float | None:
    """Return the hypervolume: the share of a box that at least one trial dominates.

    The box has agreements from 0 to 1 and costs from 0 to twice the default's, so that it does not
    depend on the trials. A judge with an agreement of 0 or less, or a cost of at least twice the
    default's, adds nothing.

    >>> dominated([(0.8, 2.0)], [False, True], default=(0.5, 2.0))
    0.4

    Args:
        values: Each trial's values.
        costs: For each value whether it is a cost, lower is better, and not an agreement.
        default: The default trial's values.

    Returns:
        The volume, exact, in [0, 1]; None where the default costs nothing.
    """
    import moocore  # slow to import

    cost, price = np.array(costs), np.array(default)
    if (price[cost] <= 0).any():
        return None
    rows = np.array(values).reshape(-1, len(cost))
    shares = np.where(cost, 1 - rows / np.where(cost, 2 * price, 1.0), rows)
    clipped = np.clip(shares, 0.0, 1.0)
    return float(moocore.hypervolume(clipped, ref=np.zeros(len(cost)), maximise=True))


def width_of(points: Sequence[Point]) -> float:
    """Return the range of prices, never 0."""
    prices = [point.x for point in points]
    return max(prices) - min(prices) or 0.5 * abs(prices[0]) or 1.0


def _height_of(points: Sequence[Point]) -> float:
    return max(point.top for point in points) - min(point.bottom for point in points)


def side_by_side(points: Sequence[Point], fixed: Sequence[Point]) -> dict[int, float]:
    """Return the price at which to draw each trial: the nearest free one to its own.

    Args:
        points: The trials, at least one, in the order in which they take their places.
        fixed: Those that come first, and so stay where they are unless they cover one another.

    Returns:
        The place by trial.
    """
    per_x, per_y = width_of(points) / _WIDTH, _height_of(points) / _HEIGHT
    first = {point.trial for point in fixed}
    placed: list[tuple[float, Point]] = []
    for point in [*fixed, *(point for point in points if point.trial not in first)]:
        tries = [point.x + step * per_x * _BARS_APART for step in _steps()]
        free = (
            x for x in tries if not any(_covers(x, point, *other, per_x, per_y) for other in placed)
        )
        placed.append((next(free, point.x), point))
    return {point.trial: x for x, point in placed}


def _steps() -> list[int]:
    return [0, *(side * step for step in range(1, _TRIES + 1) for side in (1, -1))]


def _covers(
    x: float, point: Point, other_x: float, other: Point, per_x: float, per_y: float
) -> bool:
    # Multiplied out, since all values may be equal and a point then measures nothing.
    across = abs(x - other_x) * (1 + 1e-9)
    if abs(point.y - other.y) <= _APART * per_y and across < _APART * per_x:
        return True
    barred = point.bottom < point.top and other.bottom < other.top
    beside = point.bottom <= other.top and other.bottom <= point.top
    return barred and beside and across < _BARS_APART * per_x
