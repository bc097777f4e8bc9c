"""Which arms are compared, on which measure, and within which bound they count as equal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.claims import Claim
from benchmarks.focus.arms import JOINED, JOINT, LONG, ROUTED, SEPARATE
from benchmarks.focus.calibration import Calibration
from benchmarks.focus.findings import Contrast, named
from benchmarks.focus.observed import (
    Entry,
    Pairs,
    Source,
    adherence,
    field_of,
    focus_of,
    holistic,
    paired,
    units_of,
    yield_of,
)
from benchmarks.focus.verdicts import mean_claim, relative_claim, single_claims
from mogradjudge.criteria import Group

BOUNDS: Mapping[str, float] = {
    "yield": 0.1,  # of the first arm's mean
    "corrected yield": 0.1,  # of the first arm's mean
    "density": 0.1,  # of the first arm's mean
    "focus": 0.05,  # of the way from equal attention to a pure text
    "holistic": 0.5,  # points of 1 to 10
    "adherence": 0.5,
    "agreement": 0.03,
}
_TINY = 1e-9  # of a bound, where an arm yields nothing
_YIELDS = ("yield", "corrected yield")
_RELATIVE = (*_YIELDS, "density")


@dataclass(frozen=True)
class Comparison:
    """A measure of two arms; ``says`` tells what the difference is evidence of."""

    measure: str
    arms: tuple[str, str]
    says: str

    @property
    def name(self) -> str:
        """The comparison in words."""
        return f"{self.measure}, {self.arms[0]} less {self.arms[1]} ({self.says})"


CORRECTED = "corrected yield"
# Wrong labels add to a count what a longer text has more of, so counts alone hide dilution.
DILUTION = Comparison(CORRECTED, (SEPARATE, LONG), "dilution at equal length")

BY_UNITS: tuple[Comparison, ...] = (
    DILUTION,
    Comparison("yield", (SEPARATE, LONG), "as counted"),
    Comparison("yield", (SEPARATE, JOINT), "with a shorter joint text"),
    Comparison("focus", (JOINED, LONG), "beyond arithmetic, at equal length"),
    Comparison("focus", (JOINED, JOINT), "beyond arithmetic"),
    Comparison("focus", (SEPARATE, LONG), "with arithmetic"),
    Comparison("yield", (ROUTED, SEPARATE), "after routing"),
    Comparison("focus", (ROUTED, SEPARATE), "after routing"),
    Comparison("yield", (LONG, JOINT), "length alone"),
    Comparison("density", (LONG, JOINT), "length alone"),
)
BY_TEXT: tuple[Comparison, ...] = (
    Comparison("holistic", (SEPARATE, LONG), "with arithmetic"),
    Comparison("holistic", (SEPARATE, JOINED), "arithmetic alone"),
    Comparison("holistic", (JOINED, LONG), "beyond arithmetic"),
    Comparison("adherence", (SEPARATE, LONG), "whether editors follow"),
)


def contrasts_of(
    steps: Sequence[Entry],
    rater: str,
    calibration: Calibration | None,
    criteria: Group,
    scale: int,
) -> list[Contrast]:
    """Compare the arms by one rater's labels of units.

    Args:
        steps: Measured steps.
        rater: The rater.
        calibration: How it did on planted texts; None if it could not be tested.
        criteria: Those that it knows.
        scale: How many criteria the rubric has.
    """
    sources: dict[str, Source] = {
        "yield": field_of(rater, "actionable"),
        CORRECTED: yield_of(rater, calibration),
        "density": field_of(rater, "actionable_per_100_tokens"),
        "focus": focus_of(rater, calibration, scale),
    }
    shares = calibration is not None and calibration.passed
    yields = calibration is not None and calibration.passed_yields
    found = (
        compared(
            each,
            paired(steps, sources[each.measure], each.arms, criteria),
            rater,
            passed=shares if each.measure == "focus" else yields,
            errors=_line_errors(steps, each, rater, calibration, criteria),
        )
        for each in BY_UNITS
    )
    return [each for each in found if each is not None]


def text_contrasts(
    steps: Sequence[Entry], rater: str, criteria: Group, *, passed: bool
) -> list[Contrast]:
    """Compare the arms by the LM's ratings of whole texts and of edits."""
    sources: dict[str, Source] = {"holistic": holistic, "adherence": adherence}
    found = (
        compared(
            each, paired(steps, sources[each.measure], each.arms, criteria), rater, passed=passed
        )
        for each in BY_TEXT
    )
    return [each for each in found if each is not None]


def masking_contrast(
    steps: Sequence[Entry],
    raters: tuple[str, str],
    calibrations: Mapping[str, Calibration],
    criteria: Group,
) -> Contrast | None:
    """Compare the dilution that a rater sees with the one it sees when names are hidden."""
    plain, hidden = (
        paired(steps, field_of(name, "actionable"), DILUTION.arms, criteria) for name in raters
    )
    passed = all(name in calibrations and calibrations[name].passed_yields for name in raters)
    if len(plain.mean) != len(hidden.mean):
        return None
    seen = [(a - b) for a, b in hidden.mean], [(a - b) for a, b in plain.mean]
    by_criterion = {
        name: [
            (a - b, c - d)
            for (a, b), (c, d) in zip(
                hidden.by_criterion[name], plain.by_criterion[name], strict=True
            )
        ]
        for name in criteria
        if len(hidden.by_criterion[name]) == len(plain.by_criterion[name])
    }
    says = Comparison("yield", DILUTION.arms, "names masked less names shown")
    return compared(
        says, Pairs(by_criterion, list(zip(*seen, strict=True))), raters[0], passed=passed
    )


def _line_errors(
    steps: Sequence[Entry],
    of: Comparison,
    rater: str,
    calibration: Calibration | None,
    criteria: Group,
) -> dict[str, float]:
    """Say how far a corrected difference may be off because the line's intercept is.

    What wrong labels add to a yield grows with the number of units that can be acted on, so that of
    two texts of different length the error of the intercept does not cancel.
    """
    if of.measure != CORRECTED or calibration is None:
        return {}
    gaps = paired(steps, units_of(rater), of.arms, criteria).gaps()
    lines = {name: calibration.yields_by_criterion.get(name, calibration.yields) for name in gaps}
    return {
        name: abs(gap) * lines[name].intercept_error / lines[name].slope
        for name, gap in gaps.items()
        if lines[name].slope > 0
    }


def compared(
    of: Comparison,
    pairs: Pairs,
    rater: str,
    *,
    passed: bool,
    errors: Mapping[str, float] | None = None,
) -> Contrast | None:
    """Judge two arms; None if no step has both.

    Args:
        of: What is compared.
        pairs: The arms' values.
        rater: Whose they are.
        passed: Whether the rater may be believed on this measure.
        errors: By criterion, the standard error of what all clusters have in common.
    """
    if not pairs.mean:
        return None
    bound, name = BOUNDS[of.measure], named(of.name, calibrated=passed)
    if of.measure in _RELATIVE:
        bound *= max(abs(statistics.fmean(first for first, _ in pairs.mean)), _TINY)
    values = pairs.differences()
    differences = {key: [a - b for a, b in both] for key, both in pairs.by_criterion.items()}
    relative: Claim | None = None
    errors = errors or {}
    error = math.hypot(*errors.values()) / max(1, len(errors))
    if of.measure in _YIELDS and of.arms[0] == SEPARATE and "masked" not in of.says:
        first, second = ([pair[place] for pair in pairs.mean] for place in (0, 1))
        relative = relative_claim(f"{name}, share lost", first, second, error)
    return Contrast(
        name=of.name,
        measure=of.measure,
        arms=of.arms,
        rater=rater,
        calibrated=passed,
        mean=mean_claim(name, values, bound, error),
        relative=relative,
        by_criterion=single_claims(name, differences, bound, errors),
        values=values,
    )
