"""What joint gradients lose beside separate ones, and the parts that a loss is made of.

The primary claim was named before anything was measured: what one call as long as all separate ones
together loses of their corrected yield, which is the loss beyond arithmetic and length.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmarks.dilution.arms import (
    CRITIQUED,
    CRITIQUED_LONG,
    JOINED,
    JOINT,
    LONG,
    ROUTED,
    SEPARATE,
)
from benchmarks.dilution.calibration import UNCALIBRATED
from benchmarks.dilution.observed import (
    Means,
    Observed,
    Source,
    difference_of,
    length_ratio,
    means_of,
    rated_step,
    rated_text,
    share_of,
    size_of,
    yield_of,
)
from benchmarks.dilution.raters import LM_RATER, MASKED
from benchmarks.dilution.verdicts import mean_claim, relative_claim
from benchmarks.harness.tables import noted
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group

EQUIVALENT = 0.1  # of the first arm's yield
_LENGTHS_OFF = 0.15  # of the length that a long text should have
PRIMARY = (SEPARATE, LONG)
LOSSES = (
    PRIMARY,
    (SEPARATE, JOINT),
    (SEPARATE, CRITIQUED),
    (SEPARATE, CRITIQUED_LONG),
    (SEPARATE, ROUTED),
)
PATH = (SEPARATE, JOINED, LONG, JOINT, CRITIQUED)
PARTS = ("arithmetic", "loss of focus at equal length", "shorter text", "joint critiques")
"""What each step of the path changes: all texts in one, one call, its length, its critiques."""
WHOLE_STEP = "focus 1-10, a step's texts as one"
ONE_TEXT = "focus 1-10, one text"
SHARE = "share of units x 10"
YIELD = "units that can be acted on"


@dataclass(frozen=True)
class Loss:
    """What the second arm lacks of the first one's corrected yield, by one rater.

    Args:
        arms: The first and the second arm.
        rater: Whose ratings these are.
        passed: The criteria that it passed its test on. The claims are over these; over all that it
            knows, and marked, if there is none.
        difference: The first minus the second, in units that can be acted on.
        share: The share of the first that is lost.
        values: The differences by cluster.
        means: The yields of both arms, over the examples that have a value in both.
    """

    arms: tuple[str, str]
    rater: str
    passed: Group
    difference: Claim
    share: Claim
    values: tuple[float, ...]
    means: tuple[float, float]


@dataclass(frozen=True)
class Decomposition:
    """The way from separate gradients to joint ones as they run, on one measure.

    ``means`` are those of the arms of `PATH`, over the same steps, criteria and examples; ``parts``
    are the falls between neighbours and add up to ``total``. ``passed`` as in `Loss`.
    """

    measure: str
    rater: str
    passed: Group
    means: tuple[float, ...]
    parts: tuple[Claim, ...]
    total: Claim


def losses_of(seen: Observed, rater: str) -> list[Loss]:
    """Compare the yields of the arms by one rater; arms that no step has both of are left out."""
    passed = seen.passed(rater, yields=True)
    criteria = passed or seen.knows[rater]
    source = yield_of(rater, seen.line(rater, yields=True))
    losses = []
    for arms in LOSSES:
        if means := means_of(seen.steps, source, arms, criteria):
            loss = _loss(arms, rater, passed, means, _shared(seen, rater, arms, criteria))
            losses.append(_with_length(loss, seen))
    return losses


def _loss(
    arms: tuple[str, str],
    rater: str,
    passed: Group,
    means: Means,
    shared: Callable[[float], float],
) -> Loss:
    name = _marked(f"yield, {arms[0]} minus {arms[1]}", passed)
    first, second = ([of[arm] for of in means] for arm in arms)
    values = [a - b for a, b in zip(first, second, strict=True)]
    bound = EQUIVALENT * abs(statistics.fmean(first))
    ratio = math.fsum(second) / (math.fsum(first) or 1.0)
    return Loss(
        *(arms, rater, passed),
        mean_claim(name, values, bound, shared(1.0)),
        relative_claim(f"{name}, share lost", first, second, shared(ratio), EQUIVALENT),
        tuple(values),
        (statistics.fmean(first), statistics.fmean(second)),
    )


def _shared(
    seen: Observed, rater: str, arms: tuple[str, str], criteria: Sequence[str]
) -> Callable[[float], float]:
    """Say how far corrected yields may be off because the line's intercept is.

    What wrong labels add to a yield grows with the number of units that can be acted on, so that of
    two texts of different length the error of the intercept does not cancel. An error of the slope
    stretches both arms alike: it changes no sign, and nothing in relation to the first arm.

    Gives the standard error of the second mean minus a weight times the first, by the weight.
    """
    errors = []
    if (calibration := seen.line(rater, yields=True)) is None:
        return lambda weight: 0.0
    for name in criteria:
        line = calibration.yields.line(name)
        means = means_of(seen.steps, size_of(rater, "actionable_units"), arms, (name,))
        if means and line.slope > 0:
            units = [statistics.fmean(of[arm] for of in means) for arm in arms]
            errors.append([of * line.intercept_error / line.slope for of in units])
    return lambda weight: math.hypot(*(b - weight * a for a, b in errors)) / max(1, len(criteria))


def _with_length(loss: Loss, seen: Observed) -> Loss:
    """Say of a long text how long it came out, and take back that lengths are equal if not."""
    ratio = length_ratio(seen.steps, loss.rater, (loss.arms[1], JOINED))
    if ratio is None or loss.arms[1] not in (LONG, CRITIQUED_LONG):
        return loss
    off = abs(ratio - 1) > _LENGTHS_OFF
    note = f"it has {ratio:.2f} times the words of separate ones{': lengths differ' * off}"
    return replace(loss, difference=noted(loss.difference, note), share=noted(loss.share, note))


def masking_of(seen: Observed, rater: str) -> Claim | None:
    """Judge how the loss at equal length changes when the criteria's names are hidden."""
    hidden = f"{rater}{MASKED}"
    if hidden not in seen.knows:
        return None
    plain, masked = (seen.passed(name, yields=True) for name in (rater, hidden))
    passed = tuple(name for name in plain if name in masked)
    source = difference_of(yield_of(hidden), yield_of(rater))
    means = means_of(seen.steps, source, PRIMARY, passed or seen.knows[rater])
    values = [of[SEPARATE] - of[LONG] for of in means]
    return mean_claim(_marked("loss with names masked minus with names shown", passed), values)


def decompositions_of(seen: Observed) -> list[Decomposition]:
    """Take the difference of separate and joint gradients apart, on each measure."""
    measures: list[tuple[str, str, Source, Group]] = []
    if LM_RATER in seen.knows:
        passed = seen.passed_whole(seen.knows[LM_RATER])
        measures += [(WHOLE_STEP, LM_RATER, rated_step, passed)]
        measures += [(ONE_TEXT, LM_RATER, rated_text, passed)]
    for rater in seen.plain:
        shares, yields = share_of(rater, seen.line(rater)), seen.line(rater, yields=True)
        measures.append((SHARE, rater, shares, seen.passed(rater)))
        measures.append((YIELD, rater, yield_of(rater, yields), seen.passed(rater, yields=True)))
    return [
        _decomposition(measure, rater, passed, means)
        for measure, rater, source, passed in measures
        if (means := means_of(seen.steps, source, PATH, passed or seen.knows[rater]))
    ]


def _decomposition(measure: str, rater: str, passed: Group, means: Means) -> Decomposition:
    def fall(name: str, first: str, second: str) -> Claim:
        return mean_claim(_marked(name, passed), [of[first] - of[second] for of in means])

    return Decomposition(
        *(measure, rater, passed),
        means=tuple(statistics.fmean(of[arm] for of in means) for arm in PATH),
        parts=tuple(fall(name, *arms) for name, arms in zip(PARTS, pairwise(PATH), strict=True)),
        total=fall("all of it", PATH[0], PATH[-1]),
    )


def _marked(name: str, passed: Group) -> str:
    return name if passed else f"{UNCALIBRATED}: {name}"
