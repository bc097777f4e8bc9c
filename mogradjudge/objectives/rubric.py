"""Objectives of a rubric: one per criterion, agreement with human scores."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from functools import partial
from math import sqrt
from numbers import Real
from statistics import stdev
from typing import Any

import dspy

from mogradjudge.agreement import (
    Level,
    TestOptions,
    Undefined,
    agreement_by,
)
from mogradjudge.agreement.weighted_correlation import MOST_PAIRED
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.criteria.criterion import SINGLE_RATINGS
from mogradjudge.data import group_of
from mogradjudge.data.faults import Fault, Findings
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import BY_PEOPLE, NotApplicable, Unscored, is_unread
from mogradjudge.objectives.human_agreement import HumanAgreement, agreement_options
from mogradjudge.objectives.record import Objective
from mogradjudge.settings import Measure

_HALF_A_STEP = 0.5
"""In points: scales are of whole numbers."""
_ROUNDING = 1e-9
"""An error of just the noise must not exceed it by a rounding error."""


def rubric_objectives(
    rubric: Rubric, level: Level = "pooled", measure: Measure = "spearman"
) -> tuple[Objective, ...]:
    """Make one objective per criterion: agreement with the human scores.

    The score of an example is ``1 - |judge - human| / width of the scale``; the aggregate is
    the agreement (`correlate`) by the criterion's measure or else by ``measure``, pooled or per
    group.

    Example:
        >>> from mogradjudge import Criterion, Rubric
        >>> rubric = Rubric(["text"], [Criterion("clarity", "Easy to read.", (1, 5))])
        >>> (clarity,) = rubric_objectives(rubric)
        >>> clarity.scored(dspy.Example(human_clarity=4), dspy.Prediction(clarity=3))
        0.75
    """
    options = agreement_options(rubric, level, measure)
    return tuple(
        Objective(
            name=criterion.name,
            description=criterion.description,
            score=partial(_closeness, criterion),
            aggregate=HumanAgreement(criterion, options),
            show=partial(_comparison, criterion),
            labels=partial(_labels, criterion),
            weight=criterion.weight,
        )
        for criterion in rubric.criteria
    )


def is_of_rubric(objective: Objective) -> bool:
    """Say whether `rubric_objectives` made an objective.

    Example:
        >>> is_of_rubric(Objective("short", "Is short.", lambda example, prediction: 1.0))
        False
    """
    return getattr(objective.score, "func", None) is _closeness


def noise_of(objective: Objective, example: dspy.Example) -> float:
    """Return the error, in units of the score, that an example's human score cannot tell from none.

    It is half a step of the scale, or the standard error of the single ratings where that is known
    and larger; 0 for an objective that is not a rubric's.

    Example:
        >>> noise_of(Objective("short", "Is short.", lambda example, prediction: 1.0), None)
        0.0
    """
    if not is_of_rubric(objective):
        return 0.0
    criterion: Criterion = objective.score.args[0]  # type: ignore[attr-defined]  # of a partial
    points = max(_HALF_A_STEP, _standard_error(ratings_of(criterion, example)))
    return points / criterion.scale.width + _ROUNDING


def ratings_of(criterion: Criterion, example: dspy.Example) -> tuple[float, ...]:
    """Return the single human ratings of an example, as far as they are known.

    Example:
        >>> clarity = Criterion("clarity", "Easy to read.", (1, 5))
        >>> ratings = (("ann", "clarity", 4.0), ("ann", "tone", 2.0), ("bob", "clarity", 5.0))
        >>> ratings_of(clarity, dspy.Example(single_ratings=ratings))
        (4.0, 5.0)
    """
    ratings = example.get(SINGLE_RATINGS) or ()
    return tuple(score for _, name, score in ratings if name == criterion.name)


def _standard_error(ratings: Sequence[float]) -> float:
    return stdev(ratings) / sqrt(len(ratings)) if len(ratings) > 1 else 0.0


def _closeness(
    criterion: Criterion, example: dspy.Example, prediction: Any
) -> float | Unscored | None:
    human, judge = criterion.score_in(example), prediction[criterion.name]
    if human is None:
        return _of_inapplicable(judge) if criterion.is_na_in(example) else None
    if isinstance(judge, Unscored):
        return judge
    return 1.0 - abs(float(judge) - float(human)) / criterion.scale.width


def _of_inapplicable(judge: float | Unscored) -> float | Unscored:
    """Score a text of which people say that the criterion does not apply."""
    if isinstance(judge, NotApplicable):
        return 1.0
    return judge if isinstance(judge, Unscored) else NotApplicable(BY_PEOPLE)


def _labels(
    criterion: Criterion, example: dspy.Example, prediction: Any
) -> tuple[float | None, float | None]:
    human, judge = criterion.score_in(example), prediction[criterion.name]
    return (
        None if human is None else float(human),
        None if isinstance(judge, Unscored) else float(judge),
    )


def _comparison(criterion: Criterion, example: dspy.Example, prediction: Any) -> dict[str, object]:
    human, judge = criterion.score_in(example), prediction[criterion.name]
    if is_unread(judge):
        return {"human score": _shown(criterion, human), "judge score": f"none, {judge.reason}"}
    shown: dict[str, object] = {
        "judge score": _shown(criterion, judge),
        "human score": _shown(criterion, human),
    }
    if len(ratings := ratings_of(criterion, example)) > 1:
        shown["single human ratings"] = ", ".join(f"{_round(rating):g}" for rating in ratings)
    shown["error"] = _error(human, judge) or "none"
    if criterion.comment is not None and (said := example.get(criterion.comment)):
        shown["people's comment"] = said
    if rationale := reason_given(criterion.name, prediction):
        shown["judge's reason"] = rationale
    return shown


def _error(human: float | None, judge: float | NotApplicable) -> str:
    if human is None or isinstance(judge, NotApplicable):
        agree = human is None and isinstance(judge, NotApplicable)
        sides = {"people": human, "judge": judge}
        return "" if agree else "; ".join(f"{who}: {_said(it)}" for who, it in sides.items())
    error = judge - human
    direction = "too high" if error > 0 else "too low"
    return f"judge {_round(abs(error))} {direction}" if error else ""


def _said(score: float | NotApplicable | None) -> object:
    return _round(score) if isinstance(score, int | float) else NotApplicable().reason


def reason_given(name: str, prediction: Any) -> str | None:
    """Return the judge's reason for its score on a criterion; None if it gave none.

    >>> reason_given("tone", dspy.Prediction(tone=4)) is None
    True
    """
    if not isinstance(prediction, dspy.Prediction):
        return None
    reading = prediction.get("readings", {}).get(name)  # other programs have none
    return None if reading is None else reading.rationale


def _shown(criterion: Criterion, score: float | NotApplicable | None) -> object:
    if not isinstance(score, int | float):
        return _said(score)
    return criterion.shown(_round(score)) if criterion.names else _round(score)


def _round(score: float) -> float:
    return round(score, 2)


def check_ratings(examples: Sequence[dspy.Example], rubric: Rubric, what: str) -> None:
    """Check that examples have ratings on the rubric's scales, before any LM call.

    Args:
        examples: The examples.
        rubric: Names the criteria and their scales.
        what: What the examples are, for errors, which name their numbers.

    Raises:
        SetupError: If a human column is missing or holds a value off its scale.
    """
    findings = Findings(what)
    for criterion in rubric.criteria:
        findings.add(
            fault
            for place, example in enumerate(examples)
            if (fault := _rating_fault(place, example, criterion)) is not None
        )
    findings.conclude(len(examples), skip_bad=False)


def _rating_fault(place: int, example: dspy.Example, criterion: Criterion) -> Fault | None:
    where = f"example {place + 1}"
    if criterion.human not in example:
        rule = f"each example needs {criterion.human!r} (None if it is not rated), got"
        return Fault(place, rule, f"{where} with {reprlib.repr(sorted(example.keys()))}")
    score = example[criterion.human]
    if criterion.is_na_in(example):
        return None
    is_number = isinstance(score, Real) and not isinstance(score, bool)
    if score is None or (is_number and criterion.scale.covers(float(score))):
        return None
    other = f", {NOT_APPLICABLE!r}" if criterion.na else ""
    rule = f"{criterion.human!r} must lie on the scale {criterion.scale}{other} or be None, got"
    return Fault(place, rule, f"{reprlib.repr(score)} in {where}")


def check_measurable(
    examples: Sequence[dspy.Example], rubric: Rubric, options: TestOptions, what: str
) -> None:
    """Check that agreement can be measured on some criterion, before any LM call.

    Raises:
        SetupError: If no criterion has the human scores that its measure needs, or there are too
            many documents for one.
    """
    _check_number(examples, rubric, options, what)
    reason = ""
    for criterion in rubric.criteria:
        rated = [
            (score, group_of(example, place))
            for place, example in enumerate(examples)
            if (score := criterion.score_in(example)) is not None
        ]
        scores, groups = [score for score, _ in rated], [group for _, group in rated]
        value = agreement_by(options.of(criterion.name), scores, scores, groups)
        if not isinstance(value, Undefined):
            return
        reason = value.reason
    raise SetupError(
        f"Agreement cannot be measured on the {len(examples)} {what} examples: {reason}. Give more "
        "rated examples."
    )


def _check_number(
    examples: Sequence[dspy.Example], rubric: Rubric, options: TestOptions, what: str
) -> None:
    documents = len({group_of(example, place) for place, example in enumerate(examples)})
    if options.level == "group" or documents <= MOST_PAIRED:
        return
    if by_pairs := [name for name in rubric.names if options.of(name).method == "kendall"]:
        raise SetupError(
            f"Kendall's tau ({by_pairs[0]!r}) takes at most {MOST_PAIRED} documents, and the "
            f"{what} examples have {documents}. Use measure 'spearman'."
        )
