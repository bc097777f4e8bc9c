"""Which arms are compared, on which measure, and within which bound they count as equal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.dilution.arms import JOINED, JOINT, LONG, ROUTED, SEPARATE
from benchmarks.dilution.calibration import Calibration
from benchmarks.dilution.findings import Contrast
from benchmarks.dilution.observed import (
    Entry,
    Pairs,
    Source,
    adherence,
    field_of,
    focus_of,
    holistic,
    length_ratio,
    paired,
    paired_differences,
    units_of,
    yield_of,
)
from benchmarks.dilution.trust import UNTESTED, Trust, marked, trust_in
from benchmarks.dilution.verdicts import mean_claim, relative_claim, single_claims
from benchmarks.harness.tables import noted
from mogradjudge.agreement.claims import Claim
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
_EQUAL = " at equal length"
_LENGTHS_OFF = 0.15  # of the length that C-long should have
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
        return f"{self.measure}, {self.arms[0]} minus {self.arms[1]} ({self.says})"

    def is_that_of(self, contrast: Contrast) -> bool:
        """Say whether it is this measure of these arms, whatever the lengths came to."""
        return (contrast.measure, contrast.arms) == (self.measure, self.arms)

    def at(self, ratio: float | None) -> Comparison:
        """Take back that lengths are equal, where they came out as they should not."""
        if ratio is not None and abs(ratio - 1) <= _LENGTHS_OFF:
            return self
        instead = ", lengths unknown" if ratio is None else ", lengths differ"
        return replace(self, says=self.says.replace(_EQUAL, instead))


CORRECTED = "corrected yield"
# Wrong labels add to a count what a longer text has more of, so counts alone hide dilution.
DILUTION = Comparison(CORRECTED, (SEPARATE, LONG), f"dilution{_EQUAL}")

AS_COUNTED = Comparison("yield", (SEPARATE, LONG), "as counted")

BY_UNITS: tuple[Comparison, ...] = (
    DILUTION,
    AS_COUNTED,
    Comparison("density", (JOINED, LONG), "dilution whatever the length, as counted"),
    Comparison("yield", (SEPARATE, JOINT), "with a shorter joint text"),
    Comparison("focus", (JOINED, LONG), f"beyond arithmetic{_EQUAL}"),
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
    ratio = length_ratio(steps, rater)
    contrasts = [
        compared(
            comparison.at(ratio),
            paired(steps, sources[comparison.measure], comparison.arms, criteria),
            rater,
            trust_in([calibration], criteria, yields=comparison.measure != "focus"),
            shifts=_shifts(steps, comparison, rater, calibration, criteria),
            note=_length_note(comparison, ratio),
        )
        for comparison in BY_UNITS
    ]
    return _beside_counts([contrast for contrast in contrasts if contrast is not None])


def text_contrasts(
    steps: Sequence[Entry], rater: str, criteria: Group, trust: Trust
) -> list[Contrast]:
    """Compare the arms by the LM's ratings of whole texts and of edits.

    Args:
        steps: Measured steps.
        rater: The LM rater.
        criteria: The rubric's.
        trust: In its ratings of whole texts; those of edits are never tested.
    """
    sources: dict[str, Source] = {"holistic": holistic, "adherence": adherence}
    trusts = {"holistic": trust, "adherence": Trust(criteria, (), UNTESTED)}
    contrasts = (
        compared(
            *(
                comparison,
                paired(steps, sources[comparison.measure], comparison.arms, criteria),
                rater,
            ),
            trusts[comparison.measure],
        )
        for comparison in BY_TEXT
    )
    return [contrast for contrast in contrasts if contrast is not None]


def masking_contrast(
    steps: Sequence[Entry],
    raters: tuple[str, str],
    calibrations: Mapping[str, Calibration],
    criteria: Group,
) -> Contrast | None:
    """Compare the dilution that a rater sees with the one it sees when names are hidden.

    Args:
        steps: Measured steps.
        raters: The rater's name, and the one that it has when names are hidden.
        calibrations: How they did on planted texts.
        criteria: Those that it knows.
    """
    plain, hidden = (field_of(name, "actionable") for name in raters)
    return compared(
        Comparison("yield", DILUTION.arms, "names masked minus names shown"),
        paired_differences(steps, (hidden, plain), DILUTION.arms, criteria),
        raters[0],
        trust_in([calibrations.get(name) for name in raters], criteria, yields=True),
    )


def _length_note(of: Comparison, ratio: float | None) -> str:
    """Say how long C-long came out, where it is compared with what should be as long."""
    if of.arms[1] != LONG or ratio is None:
        return ""
    return f"C-long has {ratio:.2f} times the words of S joined"


def _beside_counts(contrasts: list[Contrast]) -> list[Contrast]:
    """Note beside corrected yields that plain counts say otherwise, if they do."""
    counted = next(
        (contrast.mean for contrast in contrasts if contrast.name == AS_COUNTED.name), None
    )
    return [
        replace(contrast, mean=noted(contrast.mean, _disagreement(contrast.mean, counted)))
        if counted is not None and DILUTION.is_that_of(contrast)
        else contrast
        for contrast in contrasts
    ]


def _disagreement(corrected: Claim, counted: Claim) -> str:
    one, other = corrected.estimate, counted.estimate
    if one is None or other is None:
        return ""
    if corrected.verdict == counted.verdict and (one > 0) == (other > 0):
        return ""
    return f"as counted it is {other:+.3f}, {counted.verdict}"


Shifts = Mapping[str, tuple[float, float]]
"""By criterion, how far the two arms' means move together with what all clusters share."""


def _shifts(
    steps: Sequence[Entry],
    of: Comparison,
    rater: str,
    calibration: Calibration | None,
    criteria: Group,
) -> Shifts:
    """Say how far corrected yields may be off because the line's intercept is.

    What wrong labels add to a yield grows with the number of units that can be acted on, so that of
    two texts of different length the error of the intercept does not cancel. In a difference of
    shares, as of focus, it does. An error of the slope stretches both arms alike: it changes no
    sign, and nothing in relation to the first arm.
    """
    if of.measure != CORRECTED or calibration is None:
        return {}
    units = paired(steps, units_of(rater), of.arms, criteria).totals()
    lines = {name: calibration.yields_by_criterion.get(name, calibration.yields) for name in units}
    errors = {
        name: line.intercept_error / line.slope for name, line in lines.items() if line.slope > 0
    }
    return {name: (units[name][0] * e, units[name][1] * e) for name, e in errors.items()}


def _shared_error(shifts: Shifts, criteria: Group, weight: float = 1.0) -> float:
    """Give the standard error of the second mean less ``weight`` times the first."""
    moved = [shifts[name] for name in criteria if name in shifts]
    return math.hypot(*(b - weight * a for a, b in moved)) / max(1, len(criteria))


def compared(
    of: Comparison,
    pairs: Pairs,
    rater: str,
    trust: Trust,
    *,
    shifts: Shifts | None = None,
    note: str = "",
) -> Contrast | None:
    """Judge two arms; None if no step has both.

    Args:
        of: What is compared.
        pairs: The arms' values.
        rater: Whose they are.
        trust: Where the rater may be believed on this measure.
        shifts: What all clusters have in common.
        note: What else to say of the mean.
    """
    trust = trust.among(name for name, both in pairs.by_criterion.items() if both)
    mean = pairs.mean(trust.counted)
    if not mean:
        return None
    bound, name, shifts = BOUNDS[of.measure], trust.named(of.name), shifts or {}
    relative = None
    if of.measure in _YIELDS and of.arms[0] == SEPARATE and "masked" not in of.says:
        relative = _share_lost(f"{name}, share lost", mean, shifts, trust.counted, bound)
    if of.measure in _RELATIVE:
        bound *= max(abs(statistics.fmean(first for first, _ in mean)), _TINY)
    values = [a - b for a, b in mean]
    differences = {
        key: [a - b for a, b in both.values()] for key, both in pairs.by_criterion.items()
    }
    errors = {key: _shared_error(shifts, (key,)) for key in differences}
    return contrast_under(
        *(trust, of, rater, values),
        noted(mean_claim(name, values, bound, _shared_error(shifts, trust.counted)), note),
        single_claims(of.name, differences, bound, errors),
        relative,
    )


def _share_lost(
    name: str, mean: Sequence[tuple[float, float]], shifts: Shifts, criteria: Group, bound: float
) -> Claim:
    first, second = ([pair[place] for pair in mean] for place in (0, 1))
    ratio = math.fsum(second) / (math.fsum(first) or 1.0)
    return relative_claim(name, first, second, _shared_error(shifts, criteria, ratio), bound)


def contrast_under(
    trust: Trust,
    of: Comparison,
    rater: str,
    values: Sequence[float],
    mean: Claim,
    by_criterion: Mapping[str, Claim],
    relative: Claim | None = None,
) -> Contrast:
    """Put claims together, with what the rater may not be believed on."""
    return Contrast(
        name=of.name,
        measure=of.measure,
        arms=of.arms,
        rater=rater,
        calibrated=bool(trust.passed),
        mean=noted(mean, trust.note),
        relative=None if relative is None else noted(relative, trust.note),
        by_criterion={
            key: replace(claim, name=marked(claim.name, trust.marks.get(key, "")))
            for key, claim in by_criterion.items()
        },
        values=tuple(values),
        marks=trust.marks,
    )
