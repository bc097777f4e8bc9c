"""Whether a rater tells planted shares apart, and the line that turns its shares into true ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from benchmarks.dilution.agreement import ACTIONABLE, Agreement
from benchmarks.dilution.measures import measure
from benchmarks.dilution.planted import PlantedText
from benchmarks.worlds.ratings import Rating, rated
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

RHO_NEEDED = 0.8
UNCALIBRATED = "uncalibrated rater"

Point: TypeAlias = tuple[PlantedText, float, float]
"""A text, what was planted in it, and what the rater saw."""


@dataclass(frozen=True)
class Line:
    """How what was seen follows what was planted.

    ``rho`` is Spearman's, None if all are equal; ``intercept_error`` is the intercept's standard
    error; a sentence that stands in several texts counts once, for it is rated once.
    """

    rho: float | None
    intercept: float
    slope: float
    n: int
    intercept_error: float

    def corrected(self, seen: float) -> float | None:
        """Invert the line; None if it does not rise. Noise may lead out of the range of 0 to 1."""
        return None if self.slope <= 0 else (seen - self.intercept) / self.slope

    @property
    def passed(self) -> bool:
        """Whether it rises, and ranks texts well enough."""
        return self.rho is not None and self.rho >= RHO_NEEDED and self.slope > 0


@dataclass(frozen=True)
class Curve:
    """How a rater's figures follow what was planted: over all texts, and by target.

    ``levels`` are the mean figures by the planted share of sentences.
    """

    overall: Line
    by_criterion: Mapping[str, Line]
    levels: Mapping[float, float]

    @property
    def passed(self) -> bool:
        """Whether the means by level rise strictly, and it ranks texts well enough."""
        return self.overall.passed and rises(self.levels)

    def passes(self, criterion: str) -> bool:
        """Say whether it passed on the whole, and on the texts of this criterion by themselves."""
        line = self.by_criterion.get(criterion)
        return self.passed and line is not None and line.passed

    def line(self, criterion: str) -> Line:
        """Give a criterion's own line, that of all where there is none."""
        return self.by_criterion.get(criterion, self.overall)


@dataclass(frozen=True)
class Calibration:
    """How a rater of units did on planted texts, and on real units.

    Args:
        shares: The share of a text's units on its target.
        yields: Its yield, as a share of the units that can be acted on.
        yield_rho: Spearman's rho of planted and seen yields, as counts.
        real: Its agreement with people's labels of real units, where there are any.
    """

    shares: Curve
    yields: Curve
    yield_rho: float | None
    real: Agreement | None = None

    def passed(self, criteria: Iterable[str], *, yields: bool = False) -> Group:
        """Give the criteria on which the rater's figures may be believed."""
        ranks = self.yield_rho is not None and self.yield_rho >= RHO_NEEDED
        return tuple(
            name
            for name in criteria
            if self.shares.passes(name)
            and (not yields or (ranks and self.yields.line(name).passed))
            and (self.real is None or self.real.passes(name))
            and (not yields or self.real is None or self.real.passes(ACTIONABLE))
        )

    def corrected(self, share: float, criterion: str) -> float:
        """Undo the rater's compression of a share; a flat line undoes nothing."""
        right = self.shares.line(criterion).corrected(share)
        return share if right is None else right

    def corrected_yield(self, counted: float, actionable: int, criterion: str) -> float:
        """Undo what wrong labels add to a yield and take from it; a flat line undoes nothing.

        Wrong labels come from all units that can be acted on: the longer a text, the more they add.
        """
        if not actionable:
            return 0.0
        share = self.yields.line(criterion).corrected(counted / actionable)
        return counted if share is None else share * actionable


def calibration_of(
    texts: Sequence[PlantedText],
    ratings: Mapping[str, Rating | Unscored],
    criteria: Group,
    real: Agreement | None = None,
) -> Calibration:
    """Compare a rater's ratings of the units of planted texts with what was planted."""
    shares: list[Point] = []
    yields: list[Point] = []
    counts = []
    for text in texts:
        focus = measure(rated(text.text, ratings), criteria)
        of_target = focus.by_criterion[text.target]
        if of_target.share is not None:
            shares.append((text, text.share, of_target.share))
        counts.append((text.actionable, of_target.actionable))
        if text.actionable_units and focus.actionable_units:
            planted = text.actionable / text.actionable_units
            yields.append((text, planted, of_target.actionable / focus.actionable_units))
    return Calibration(curve_of(shares), curve_of(yields), spearman(counts), real)


def ratings_curve(texts: Sequence[PlantedText], ratings: Sequence[float | None]) -> Curve:
    """Compare ratings from 1 to 10 of planted texts, each on its target, with what was planted."""
    pairs = zip(texts, ratings, strict=True)
    return curve_of([(text, text.share, seen) for text, seen in pairs if seen is not None])


def curve_of(points: Sequence[Point]) -> Curve:
    """Fit a line through all points, and one for each target."""
    targets = dict.fromkeys(text.target for text, *_ in points)
    levels = sorted({text.level for text, *_ in points})
    return Curve(
        _line(points),
        {name: _line([point for point in points if point[0].target == name]) for name in targets},
        {
            level: statistics.fmean(seen for text, _, seen in points if text.level == level)
            for level in levels
        },
    )


def rises(levels: Mapping[float, float]) -> bool:
    """Say whether each mean is above that of the level before.

    >>> rises({0.0: 1.0, 1.0: 2.0})
    True
    """
    return len(levels) > 1 and all(a < b for a, b in pairwise(levels.values()))


def _line(points: Sequence[Point]) -> Line:
    planted, seen = [x for _, x, _ in points], [y for *_, y in points]
    if len(set(planted)) < 2:
        return Line(None, 0.0, 0.0, len(points), 0.0)
    n, fit = len(points), statistics.linear_regression(planted, seen)
    residuals = math.fsum((y - fit.intercept - fit.slope * x) ** 2 for _, x, y in points)
    middle = statistics.fmean(planted)
    spread = math.fsum((x - middle) ** 2 for x in planted)
    # Each sentence is rated once, however often it comes, which widens the error.
    sentences = [sentence.text for text, *_ in points for sentence in text.sentences]
    shared = len(sentences) / len(set(sentences))
    error = math.sqrt(shared * residuals / max(1, n - 2) * (1 / n + middle**2 / spread))
    rho = spearman(list(zip(planted, seen, strict=True)))
    return Line(rho, fit.intercept, fit.slope, n, error)


def spearman(pairs: Sequence[tuple[Any, Any]]) -> float | None:
    """Correlate pairs by rank; None if there are too few or one side is constant."""
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    if len(pairs) < 3 or len(set(left)) == 1 or len(set(right)) == 1:
        return None
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(left, right).statistic)
