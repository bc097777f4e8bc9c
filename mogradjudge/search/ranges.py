"""A range of numbers for a search to draw from."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mogradjudge.errors import SetupError

_ROUNDING = 1e-8  # in steps; optuna allows for as much


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``, both included.

    Args:
        low: Whole numbers make a range of whole numbers, where the parameter is one.
        high: At least ``low``.
        step: The distance between two numbers; it must lead from ``low`` to ``high``. None for 1
            in a range of whole numbers, and for no steps otherwise.
        log: Whether equal ratios, and not equal differences, are equally likely; ``low`` must be
            above 0 then, and there is no ``step``.

    Raises:
        SetupError: If the numbers make no range.

    >>> Range(0.1, 0.9, step=0.2).holds(0.5)
    True
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
                raise SetupError(f"`{name}` of a range must be a finite number, got {value!r}.")
        if not isinstance(self.log, bool):
            raise SetupError(f"`log` of a range must be True or False, got {self.log!r}.")
        if self.low > self.high:
            raise SetupError(f"A range must have `low <= high`, got {self.low} and {self.high}.")
        if self.log and self.low <= 0:
            raise SetupError(f"`low` of a range with log=True must be above 0, got {self.low}.")
        if self.step is not None:
            self._check_step(self.step)

    def _check_step(self, step: float) -> None:
        if self.log:
            raise SetupError(f"A range with log=True has no `step`, got {step}: leave it out.")
        if step <= 0:
            raise SetupError(f"`step` of a range must be above 0, got {step}.")
        low, high, width = _decimals(self.low, self.high, step)
        if (high - low) % width != 0:
            raise SetupError(
                f"`step` of a range must divide `high` - `low`, got {step} between "
                f"{self.low} and {self.high}."
            )

    @property
    def whole(self) -> bool:
        """Whether this is a range of whole numbers."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 0))

    def holds(self, value: float) -> bool:
        """Say whether a number lies in the range and, but for rounding, on one of its steps."""
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < _ROUNDING

    def count(self, kind: type) -> float:
        """Count the numbers that a parameter of a kind can have.

        >>> Range(0, 1, step=0.25).count(float), Range(0.0, 1.0).count(float)
        (5, inf)
        """
        if kind is int:
            return (int(self.high) - int(self.low)) // int(self.step or 1) + 1
        if self.low == self.high:
            return 1
        if self.step is None:
            return math.inf
        low, high, width = _decimals(self.low, self.high, self.step)
        return int((high - low) / width) + 1

    def choices(self, kind: type) -> Sequence[int | float] | None:
        """Return the numbers that a parameter of a kind can have; None for any number in between.

        >>> Range(0, 1, step=0.25).choices(float)
        [0.0, 0.25, 0.5, 0.75, 1.0]
        """
        if kind is int:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        if (count := self.count(kind)) == math.inf:
            return None
        low, width = _decimals(self.low, self.step or 0)
        return [float(low + place * width) for place in range(int(count))]

    def __str__(self) -> str:
        return f"{self.low} to {self.high}" + ("" if self.step is None else f" by {self.step}")


def _decimals(*numbers: float) -> list[Fraction]:
    """Read numbers as they are written: 0.3 is three steps of 0.1, which it is not in binary."""
    return [Fraction(str(number)) for number in numbers]


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write floats that differ by a rounding error alike."""
    return {
        name: round(value, 9) if isinstance(value, float) else value
        for name, value in values.items()
    }
