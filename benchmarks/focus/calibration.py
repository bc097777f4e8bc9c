"""Whether a rater tells planted shares apart, and the line that turns its shares into true ones."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from benchmarks.focus.measures import TextFocus, measure
from benchmarks.focus.planted import PlantedText, plant
from benchmarks.focus.ratings import Rater, rate_texts
from mogradjudge.criteria import Group

RHO_NEEDED = 0.8
UNCALIBRATED = "uncalibrated rater"


@dataclass(frozen=True)
class Line:
    """How measured shares follow planted ones; ``rho`` is Spearman's, None if all are equal."""

    rho: float | None
    intercept: float
    slope: float
    n: int

    def corrected(self, share: float) -> float | None:
        """Invert the line; None if it does not rise. Noise may lead out of the range of 0 to 1."""
        return None if self.slope <= 0 else (share - self.intercept) / self.slope


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
        yield_rho: Spearman's rho of the measured with the planted number of actionable units.
        retest_rho: Spearman's rho between two takes, None if there was one.
        unrated: The share of units without a readable rating.
    """

    rater: str
    criteria: Group
    overall: Line
    by_criterion: Mapping[str, Line]
    levels: Mapping[float, float]
    monotone: bool
    mean_error: float | None
    yield_rho: float | None
    retest_rho: float | None
    unrated: float

    @property
    def passed(self) -> bool:
        """Whether the rater's figures may be reported without a warning."""
        return self.overall.rho is not None and self.overall.rho >= RHO_NEEDED and self.monotone

    @property
    def mark(self) -> str:
        """What goes before every figure of this rater: nothing, or the warning."""
        return "" if self.passed else UNCALIBRATED

    def corrected(self, share: float, criterion: str | None = None) -> float | None:
        """Undo the rater's compression, by a criterion's own line where there is one."""
        line = self.by_criterion.get(criterion or "", self.overall)
        return line.corrected(share)

    def as_dict(self) -> dict[str, Any]:
        """Give all fields and ``passed``, as JSON takes them."""
        levels = {f"{level:g}": mean for level, mean in self.levels.items()}
        return {**asdict(self), "levels": levels, "passed": self.passed}


def calibrate(rater: Rater, *, n: int = 15, seed: int = 0, takes: int = 1) -> Calibration:
    """Rate planted texts and compare.

    Args:
        rater: The rater.
        n: Texts per target and level; 15 make 300 for four criteria.
        seed: Seeds the texts.
        takes: With 2 or more, the second take is compared with the first.

    Raises:
        SetupError: If the bank knows none of the rater's criteria.
    """
    texts = plant(rater.criteria, n=n, seed=seed)
    measured = [_measured(rater, texts, take) for take in range(max(1, takes))]
    return _calibration(rater, texts, *measured[:2])


def _measured(rater: Rater, texts: Sequence[PlantedText], take: int) -> list[TextFocus]:
    rated = rate_texts([each.text for each in texts], rater, take)
    return [measure(units, rater.criteria) for units in rated]


def _calibration(
    rater: Rater,
    texts: Sequence[PlantedText],
    first: Sequence[TextFocus],
    second: Sequence[TextFocus] = (),
) -> Calibration:
    shares = _shares(first, texts)
    points = [
        (text.target, text.share, share)
        for text, share in zip(texts, shares, strict=True)
        if share is not None
    ]
    targets = tuple(dict.fromkeys(text.target for text in texts))
    lines = {name: _line([(x, y) for t, x, y in points if t == name]) for name in targets}
    levels = {
        level: statistics.fmean(found)
        for level in sorted({text.share for text in texts})
        if (found := [y for _, x, y in points if x == level])
    }
    yields = [
        (focus.by_criterion[text.target].actionable, text.actionable)
        for focus, text in zip(first, texts, strict=True)
    ]
    twice = zip(shares, _shares(second, texts), strict=True) if second else ()
    unrated = sum(each.unrated for each in first)
    return Calibration(
        rater=rater.name,
        criteria=targets,
        overall=_line([(x, y) for _, x, y in points]),
        by_criterion=lines,
        levels=levels,
        monotone=len(levels) > 1 and all(a < b for a, b in pairwise(levels.values())),
        mean_error=_mean_error(points, lines),
        yield_rho=spearman(yields),
        retest_rho=spearman([pair for pair in twice if None not in pair]),
        unrated=unrated / max(1, unrated + sum(each.units for each in first)),
    )


def _shares(found: Sequence[TextFocus], texts: Sequence[PlantedText]) -> list[float | None]:
    return [
        focus.by_criterion[text.target].share_by_units
        for focus, text in zip(found, texts, strict=True)
    ]


def _line(points: Sequence[tuple[float, float]]) -> Line:
    planted = {x for x, _ in points}
    if len(planted) < 2:
        return Line(None, 0.0, 0.0, len(points))
    fit = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return Line(spearman(points), fit.intercept, fit.slope, len(points))


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
