"""Two candidates on the same texts: the difference of their agreement, and its standard error."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mogradjudge.agreement.coefficients import Array, Undefined
from mogradjudge.agreement.weighted_mean import mean_of, means_of
from mogradjudge.objectives import HumanAgreement, Objective
from mogradjudge.programs.evaluation import MEAN, Agreement, Judgement, agreement_of, scored_on
from mogradjudge.stages.gate import measures_less

_PARTS = 20


@dataclass(frozen=True)
class Difference:
    """The agreement of two candidates on the texts that both have scored.

    ``current`` and ``proposed`` hold it by criterion; what they count without a score is of all.
    ``values`` holds the second one's agreement minus the first one's, by criterion and as
    ``"mean"``; a criterion that has no value for one of them is left out. ``errors`` holds their
    standard errors; None where there are too few documents for one.

    >>> agreement = Agreement.unmeasured(("fluency",))
    >>> Difference(agreement, agreement, {"mean": 0.1}, {"mean": 0.05}, parts=12).mean
    0.1
    """

    current: Agreement
    proposed: Agreement
    values: Mapping[str, float]
    errors: Mapping[str, float | None]
    parts: int

    @property
    def mean(self) -> float | None:
        """The difference of the mean agreement; None if no criterion has a value for both."""
        return self.values.get(MEAN)


def difference_between(
    current: Sequence[Judgement], proposed: Sequence[Judgement], objectives: Sequence[Objective]
) -> Difference:
    """Compare two candidates that were judged on the same texts.

    The standard errors are a delete-a-group jackknife's: documents are dealt into up to 20 parts,
    and each part is left out once. Source: Kott 2001, "The Delete-a-Group Jackknife", Journal of
    Official Statistics 17(4).

    Args:
        current: The first candidate's judgements.
        proposed: The second one's, of the same texts in the same order.
        objectives: What agreement is measured on.

    >>> import dspy
    >>> from mogradjudge import Objective
    >>> right = Objective("right", "Is right.", lambda example, prediction: 1.0)
    >>> def judged(*scores):
    ...     texts = [(str(number), score) for number, score in enumerate(scores)]
    ...     return [Judgement(t, t, dspy.Example(), None, {"right": s}) for t, s in texts]
    >>> difference = difference_between(judged(0.0, 0.0, 1.0), judged(1.0, 0.0, 1.0), [right])
    >>> round(difference.mean, 3), round(difference.errors["mean"], 3)
    (0.333, 0.333)
    """
    before, after = agreements_on_both(current, proposed, objectives)
    current, proposed = _scored_by_both(current, proposed), _scored_by_both(proposed, current)
    values = {
        name: second - first
        for name, first in before.by_criterion.items()
        if isinstance(first, float) and isinstance(second := after.by_criterion[name], float)
    }
    parts = _dealt([judgement.group for judgement in current])
    without = {
        objective.name: _without_each(objective, proposed, parts)
        - _without_each(objective, current, parts)
        for objective in objectives
        if objective.name in values
    }
    if (mean := mean_of(values, before.weights)) is not None:
        values |= {MEAN: mean}
        without |= {MEAN: means_of(without, before.weights, complete=True)}
    errors = {name: _error(leaving_out) for name, leaving_out in without.items()}
    return Difference(before, after, values, errors, 1 + max(parts.values(), default=-1))


def agreements_on_both(
    current: Sequence[Judgement], proposed: Sequence[Judgement], objectives: Sequence[Objective]
) -> tuple[Agreement, Agreement]:
    """Return the agreement of two candidates on the texts that both have scored.

    What is counted as unscored, missing, a fallback or not applicable is of all texts.

    >>> import dspy
    >>> from mogradjudge import Objective
    >>> from mogradjudge.judge.scores import Unscored
    >>> right = Objective("right", "Is right.", lambda example, prediction: 1.0)
    >>> def judged(*scores):
    ...     texts = [(str(number), score) for number, score in enumerate(scores)]
    ...     return [Judgement(t, t, dspy.Example(), None, {"right": s}) for t, s in texts]
    >>> one, two = judged(0.0, 1.0), judged(Unscored("no number"), 1.0)
    >>> [it.mean for it in agreements_on_both(one, two, [right])]
    [1.0, 1.0]
    """
    return (
        _agreement_on_both(current, proposed, objectives),
        _agreement_on_both(proposed, current, objectives),
    )


def agrees_more(
    initial: Sequence[Judgement],
    best: Sequence[Judgement],
    other: Sequence[Judgement],
    objective: Objective,
) -> bool:
    """Say whether another candidate agrees more on one objective than the best one so far.

    They are compared on the texts that both have scored. One that measures less than the initial
    one (`measures_less`) does not agree more.

    Args:
        initial: The initial candidate's judgements.
        best: The best one's, of the same texts in the same order.
        other: The other one's, of the same texts in the same order.
        objective: What agreement is measured on.

    >>> import dspy
    >>> from mogradjudge import Objective
    >>> right = Objective("right", "Is right.", lambda example, prediction: 1.0)
    >>> def judged(*scores):
    ...     return [Judgement("", "", dspy.Example(), None, {"right": score}) for score in scores]
    >>> one, two = judged(0.0, 1.0), judged(1.0, 1.0)
    >>> agrees_more(one, one, two, right), agrees_more(one, two, one, right)
    (True, False)
    """
    first, second, third = (agreement_of(it, [objective]) for it in (initial, best, other))
    if measures_less(first, third):
        return False
    name = objective.name
    if isinstance(second.by_criterion[name], Undefined):
        return not isinstance(third.by_criterion[name], Undefined)
    on_both = agreements_on_both(best, other, [objective])
    before, after = (it.by_criterion[name] for it in on_both)
    return isinstance(before, float) and isinstance(after, float) and after > before


def _agreement_on_both(
    judgements: Sequence[Judgement], others: Sequence[Judgement], objectives: Sequence[Objective]
) -> Agreement:
    own, shared = agreement_of(judgements, objectives), _scored_by_both(judgements, others)
    if all(map(operator.is_, judgements, shared)):
        return own
    on_both = agreement_of(shared, objectives)
    return replace(
        own,
        by_criterion=on_both.by_criterion,
        scored=on_both.scored,
        deviations=on_both.deviations,
    )


def _scored_by_both(
    judgements: Sequence[Judgement], others: Sequence[Judgement]
) -> list[Judgement]:
    """Leave out scores of texts that the other candidate has not scored."""
    return [_where_scored(*pair) for pair in zip(judgements, others, strict=True)]


def _where_scored(judgement: Judgement, other: Judgement) -> Judgement:
    alone = {
        name: None
        for name, score in judgement.scores.items()
        if isinstance(score, float) and not isinstance(other.scores.get(name, score), float)
    }
    return replace(judgement, scores={**judgement.scores, **alone}) if alone else judgement


def parts_of(documents: int) -> int:
    """Return into how many parts the jackknife deals some documents.

    >>> parts_of(12), parts_of(100)
    (12, 20)
    """
    return min(_PARTS, documents)


def _dealt(groups: Sequence[str]) -> dict[str, int]:
    """Deal the documents into parts of about one size; returns the number of each one's part."""
    documents = list(dict.fromkeys(groups))
    return {name: number % parts_of(len(documents)) for number, name in enumerate(documents)}


def _without_each(
    objective: Objective, judgements: Sequence[Judgement], parts: Mapping[str, int]
) -> Array:
    """Return the agreement without each part, nan where it is undefined; shape (parts,)."""
    scored = scored_on(objective, judgements)
    if isinstance(objective.aggregate, HumanAgreement):
        return np.array(objective.aggregate.without_each(scored, parts))
    values = [
        objective.summed([result for result in scored if parts[result.group] != part])
        for part in range(1 + max(parts.values()))
    ]
    return np.array([value if isinstance(value, float) else np.nan for value in values])


def _error(without: Array) -> float | None:
    """Return the jackknife's standard error; None if a value is missing."""
    count = len(without)
    if count < 2 or not np.isfinite(without).all():
        return None
    return math.sqrt(float(((without - without.mean()) ** 2).sum()) * (count - 1) / count)
