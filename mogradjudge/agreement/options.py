"""Options for measuring and testing agreement, and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias, get_args

from mogradjudge.agreement.methods import METHODS, Method
from mogradjudge.agreement.weighted_mean import Weights
from mogradjudge.errors import SetupError

Level: TypeAlias = Literal["pooled", "group"]
Constant: TypeAlias = Literal["zero", "drop"]
Population: TypeAlias = Literal["documents", "documents+systems"]

_MIXED = (
    "`measure` must be a coefficient (spearman, kendall, qwk) for all criteria, or a share (mae, "
    "accuracy) for all: their mean would mix what is 0 by chance with what is not"
)
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
    ``width`` is that of the scale, in points; only ``"mae"`` needs it. ``by_criterion`` holds
    method and width of the criteria that have others, by name. ``weights`` are those of the
    criteria in their mean, by name: only ratios count, and without one it is 1.

    >>> options = TestOptions(level="pooled", by_criterion={"tone": ("qwk", 4.0)})
    >>> options.of("tone").method, options.of("clarity").method
    ('qwk', 'spearman')

    Raises:
        SetupError: If an option is not among its choices, a number is out of its range, or a mean
            over the criteria would mix coefficients, which are 0 by chance, with shares.
    """

    __test__ = False  # its name does not make it a test of pytest's

    method: Method = "spearman"
    level: Level = "group"
    constant: Constant = "zero"
    flips: int = 9999
    resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95
    width: float | None = None
    by_criterion: Mapping[str, tuple[Method, float | None]] = field(default_factory=dict)
    weights: Weights = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the choices and ranges."""
        for method, _ in self.by_criterion.values():
            check_options(method=method)
        check_options(
            method=self.method,
            level=self.level,
            constant=self.constant,
            flips=self.flips,
            resamples=self.resamples,
            confidence=self.confidence,
        )
        if self.method == "mae" and not (self.width or 0) > 0:
            raise SetupError(
                f"`width` of the scale must be given with method='mae', got {self.width!r}."
            )
        if any(not 0 <= weight < math.inf for weight in self.weights.values()):
            raise SetupError(f"`weights` must be finite and >= 0, got {dict(self.weights)}.")
        ends = {METHODS[method].lowest for method, _ in self.by_criterion.values()}
        if len(ends) > 1:
            chosen = ", ".join(f"{name} {it[0]}" for name, it in self.by_criterion.items())
            raise SetupError(f"{_MIXED}, got {chosen}.")

    def of(self, criterion: str) -> Self:
        """Return the options of one criterion."""
        method, width = self.by_criterion.get(criterion, (self.method, self.width))
        return replace(self, method=method, width=width, by_criterion={})

    @property
    def lowest(self) -> float:
        """The lowest value that an agreement can have: -1 of a coefficient, 0 of a share."""
        methods = [method for method, _ in self.by_criterion.values()]
        return METHODS[next(iter(methods), self.method)].lowest


DEFAULTS = TestOptions()
