"""Whether a rater tells planted shares apart, and the line that turns its shares into true ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from benchmarks.dilution.measures import measure
from benchmarks.dilution.planted import PlantedText, plant
from benchmarks.worlds.ratings import Rater, Rating, rated, ratings_in
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

RHO_NEEDED = 0.8
UNCALIBRATED = "uncalibrated rater"


@dataclass(frozen=True)
class Line:
    """How measured shares follow planted ones.

    ``rho`` is Spearman's, None if all are equal; ``intercept_error`` is the intercept's standard
    error; a sentence that stands in several texts counts once, for it is rated once.
    """

    rho: float | None
    intercept: float
    slope: float
    n: int
    intercept_error: float

    def corrected(self, share: float) -> float | None:
        """Invert the line; None if it does not rise. Noise may lead out of the range of 0 to 1."""
        return None if self.slope <= 0 else (share - self.intercept) / self.slope

    @property
    def passed(self) -> bool:
        """Whether it rises, and ranks texts well enough."""
        return self.rho is not None and self.rho >= RHO_NEEDED and self.slope > 0


@dataclass(frozen=True)
class Calibration:
    """How a rater did on planted texts, by shares of units.

    Args:
        rater: Its name.
        criteria: The criteria that texts were planted for.
        overall: The line over all texts.
        by_criterion: The lines by target.
        levels: The mean measured share by planted share.
        monotone: Whether those means rise strictly.
        mean_error: The mean absolute error after correction by each target's own line; None if a
            line does not rise.
        yield_rho: Spearman's rho of the expected with the planted yield.
        yields: The line of yields, measured and planted, each as a share of the text's units that
            can be acted on.
        yields_by_criterion: The same by target.
    """

    rater: str
    criteria: Group
    overall: Line
    by_criterion: Mapping[str, Line]
    levels: Mapping[float, float]
    monotone: bool
    mean_error: float | None
    yield_rho: float | None
    yields: Line
    yields_by_criterion: Mapping[str, Line]

    @property
    def passed(self) -> bool:
        """Whether the rater's figures may be reported without a warning."""
        return self.overall.rho is not None and self.overall.rho >= RHO_NEEDED and self.monotone

    @property
    def passed_yields(self) -> bool:
        """Whether its yields may be, too: they need a rho of their own."""
        return self.passed and self.yield_rho is not None and self.yield_rho >= RHO_NEEDED

    @property
    def mark(self) -> str:
        """What goes before every figure of this rater: nothing, or the warning."""
        return "" if self.passed else UNCALIBRATED

    def passes(self, criterion: str, *, yields: bool = False) -> bool:
        """Say whether it passed on the whole, and on the texts of this criterion by themselves."""
        lines = self.yields_by_criterion if yields else self.by_criterion
        on_the_whole = self.passed_yields if yields else self.passed
        return on_the_whole and criterion in lines and lines[criterion].passed

    def corrected(self, share: float, criterion: str | None = None) -> float | None:
        """Undo the rater's compression, by a criterion's own line where there is one."""
        line = self.by_criterion.get(criterion or "", self.overall)
        return line.corrected(share)

    def corrected_yield(self, counted: float, actionable: int, criterion: str) -> float | None:
        """Undo what wrong labels add to a yield and take from it.

        Wrong labels come from all units that can be acted on: the longer a text, the more they add.
        """
        line = self.yields_by_criterion.get(criterion, self.yields)
        share = line.corrected(counted / actionable) if actionable else 0.0
        return None if share is None else share * actionable


CALIBRATION = TypeAdapter(Calibration)
"""Reads what `asdict` made of a calibration, and what a cell holds of it."""


def calibrate(rater: Rater, *, n: int = 15, seed: int = 0) -> Calibration:
    """Rate planted texts and compare.

    Args:
        rater: The rater.
        n: Texts per target and level; 15 make 300 for four criteria.
        seed: Seeds the texts.

    Raises:
        SetupError: If the bank knows none of the rater's criteria.
    """
    texts = plant(rater.criteria, n=n, seed=seed)
    ratings = ratings_in([text.text for text in texts], rater)
    return calibration_of(rater.name, rater.criteria, texts, ratings)


def calibration_of(
    rater: str,
    criteria: Group,
    texts: Sequence[PlantedText],
    ratings: Mapping[str, Rating | Unscored],
) -> Calibration:
    """Compare a rater's ratings of the units of planted texts with what was planted."""
    measured = [(text, measure(rated(text.text, ratings), criteria)) for text in texts]
    points = [
        (text, share)
        for text, focus in measured
        if (share := focus.by_criterion[text.target].share_by_units) is not None
    ]
    yields = [
        (text, focus, focus.by_criterion[text.target].expected_yield) for text, focus in measured
    ]
    yield_shares = [
        (text.target, text.actionable / text.actionable_units, expected / focus.actionable_units)
        for text, focus, expected in yields
        if text.actionable_units and focus.actionable_units
    ]
    return _calibration(
        rater,
        texts,
        points,
        yield_shares,
        spearman([(text.actionable, expected) for text, _, expected in yields]),
    )


def _calibration(
    rater: str,
    texts: Sequence[PlantedText],
    shares: Sequence[tuple[PlantedText, float]],
    yield_shares: Sequence[tuple[str, float, float]],
    yield_rho: float | None,
) -> Calibration:
    """Fit the lines through points, each a target with its planted and its measured share."""
    points = [(text.target, text.share, share) for text, share in shares]
    overall, by_criterion = _lines(points, texts)
    overall_of_yields, yields_by_criterion = _lines(yield_shares, texts)
    levels = level_means([(text.level, share) for text, share in shares])
    return Calibration(
        rater=rater,
        criteria=tuple(by_criterion),
        overall=overall,
        by_criterion=by_criterion,
        levels=levels,
        monotone=rises(levels),
        mean_error=_mean_error(points, by_criterion),
        yield_rho=yield_rho,
        yields=overall_of_yields,
        yields_by_criterion=yields_by_criterion,
    )


def level_means(points: Sequence[tuple[float, float]]) -> dict[float, float]:
    """Average what was seen at each planted share.

    >>> level_means([(0.5, 1.0), (0.0, 0.0), (0.5, 2.0)])
    {0.0: 0.0, 0.5: 1.5}
    """
    levels = sorted({planted for planted, _ in points})
    return {
        level: statistics.fmean(seen for planted, seen in points if planted == level)
        for level in levels
    }


def rises(levels: Mapping[float, float]) -> bool:
    """Say whether each mean is above that of the level before.

    >>> rises({0.0: 1.0, 1.0: 2.0})
    True
    """
    return len(levels) > 1 and all(a < b for a, b in pairwise(levels.values()))


def _lines(
    points: Sequence[tuple[str, float, float]], texts: Sequence[PlantedText]
) -> tuple[Line, dict[str, Line]]:
    """Fit the line over all points, and one for each target."""
    by_target = {
        name: _line(
            [(x, y) for target, x, y in points if target == name],
            _shared([text for text in texts if text.target == name]),
        )
        for name in dict.fromkeys(text.target for text in texts)
    }
    return _line([(x, y) for _, x, y in points], _shared(texts)), by_target


def _shared(texts: Sequence[PlantedText]) -> float:
    """Give how often a sentence of these texts comes in them, on average."""
    sentences = [sentence.text for text in texts for sentence in text.sentences]
    return len(sentences) / max(1, len(set(sentences)))


def _line(points: Sequence[tuple[float, float]], shared: float) -> Line:
    """Fit a line; ``shared`` is how often each sentence comes, which widens the error."""
    planted, n = [x for x, _ in points], len(points)
    if len(set(planted)) < 2:
        return Line(None, 0.0, 0.0, n, 0.0)
    fit = statistics.linear_regression(planted, [y for _, y in points])
    residuals = math.fsum((y - fit.intercept - fit.slope * x) ** 2 for x, y in points)
    middle = statistics.fmean(planted)
    spread = math.fsum((x - middle) ** 2 for x in planted)
    error = math.sqrt(shared * residuals / max(1, n - 2) * (1 / n + middle**2 / spread))
    return Line(spearman(points), fit.intercept, fit.slope, n, error)


def _mean_error(
    points: Sequence[tuple[str, float, float]], lines: Mapping[str, Line]
) -> float | None:
    errors = []
    for target, planted, share in points:
        if (corrected := lines[target].corrected(share)) is None:
            return None
        errors.append(abs(corrected - planted))
    return statistics.fmean(errors) if errors else None


def spearman(pairs: Sequence[tuple[Any, Any]]) -> float | None:
    """Correlate pairs by rank; None if there are too few or one side is constant."""
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    if len(pairs) < 3 or len(set(left)) == 1 or len(set(right)) == 1:
        return None
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(left, right).statistic)
