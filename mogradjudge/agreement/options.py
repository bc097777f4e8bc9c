"""Options for measuring and testing agreement, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from mogradjudge.errors import SetupError

Level: TypeAlias = Literal["pooled", "group"]
Constant: TypeAlias = Literal["zero", "drop"]
Method: TypeAlias = Literal["spearman", "kendall", "pearson"]
Population: TypeAlias = Literal["documents", "documents+systems"]

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "method": get_args(Method),
    "level": get_args(Level),
    "constant": get_args(Constant),
    "generalize_to": get_args(Population),
}


def check_options(
    *,
    resamples: int = 1,
    flips: int = 1,
    confidence: float = 0.95,
    **chosen: str,
) -> None:
    """Check the options that several functions share.

    Raises:
        SetupError: If one is not among its choices, or a number is out of its range.
    """
    for name, value in chosen.items():
        if value not in _CHOICES[name]:
            words = ", ".join(map(repr, _CHOICES[name]))
            raise SetupError(f"`{name}` must be one of {words}, got {value!r}.")
    for name, count in {"resamples": resamples, "flips": flips}.items():
        if count < 1:
            raise SetupError(f"`{name}` must be >= 1, got {count!r}.")
    if not 0 < confidence < 1:
        raise SetupError(f"`confidence` must lie between 0 and 1, got {confidence!r}.")


@dataclass(frozen=True)
class TestOptions:
    """How agreement is measured, and how its interval or test is computed.

    ``method``, ``level`` and ``constant`` are those of `correlate`. ``flips`` counts the random
    patterns of signs of a test, or its resamples where it resamples; ``resamples`` counts those of
    an interval. ``seed`` seeds either, and ``confidence`` is the interval's, between 0 and 1.

    >>> TestOptions(level="pooled", seed=1).flips
    9999

    Raises:
        SetupError: If an option is not among its choices, or a number is out of its range.
    """

    __test__ = False  # its name does not make it a test of pytest's

    method: Method = "spearman"
    level: Level = "group"
    constant: Constant = "zero"
    flips: int = 9999
    resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Check the choices and ranges."""
        check_options(
            method=self.method,
            level=self.level,
            constant=self.constant,
            flips=self.flips,
            resamples=self.resamples,
            confidence=self.confidence,
        )


DEFAULTS = TestOptions()
