"""How a rubric's objectives aggregate: agreement of judge and human scores on each criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mogradjudge.agreement import (
    METHODS,
    Deviation,
    Level,
    Method,
    TestOptions,
    Undefined,
    agreement_by,
    deviation,
)
from mogradjudge.agreement.applicability import Applicability
from mogradjudge.agreement.bootstrap import resampled_values
from mogradjudge.agreement.checks import group_codes
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.judge.scores import NotApplicable, raw_score
from mogradjudge.objectives.hooks import Scored
from mogradjudge.objectives.record import Objective
from mogradjudge.settings import Measure


def agreement_options(
    rubric: Rubric, level: Level = "pooled", measure: Measure = "spearman"
) -> TestOptions:
    """Return how agreement is measured on each criterion of a rubric.

    Args:
        rubric: The criteria; one with a ``measure`` of its own has that one.
        level: As for `correlate`.
        measure: That of the other criteria.

    Raises:
        SetupError: If the mean over the criteria would mix coefficients and shares.

    Example:
        >>> criteria = [Criterion("clarity", "Is easy to read."), Criterion("tone", "Is polite.")]
        >>> agreement_options(Rubric(["text"], criteria), measure="qwk").of("tone").method
        'qwk'
    """
    methods = {
        criterion.name: (criterion.measure or measure, float(criterion.scale.width))
        for criterion in rubric.criteria
    }
    return TestOptions(level=level, by_criterion=methods, weights=rubric.weights)


@dataclass(frozen=True)
class HumanAgreement:
    """The agreement on a criterion, over texts, or its mean over groups.

    Args:
        criterion: The criterion.
        options: How agreement is measured on it and on the others.

    Example:
        >>> import dspy
        >>> clarity = Criterion("clarity", "Is easy to read.")
        >>> agreement = HumanAgreement(clarity, TestOptions(level="pooled"))
        >>> pairs = [(1, 2), (2, 1), (3, 3)]
        >>> agreement(
        ...     [
        ...         Scored(dspy.Example(human_clarity=h), dspy.Prediction(clarity=j), 1.0, "a")
        ...         for h, j in pairs
        ...     ]
        ... )
        0.5
    """

    criterion: Criterion
    options: TestOptions

    def __call__(self, scored: Sequence[Scored]) -> float | Undefined:
        """Return the agreement over some texts; of raw scores where it is relative (`Kind`)."""
        scored = self._with_both(scored)
        groups = [result.group for result in scored]
        return agreement_by(self._own, *self._columns(scored, raw=self.reads_raw), groups)

    def without_each(self, scored: Sequence[Scored], parts: Mapping[str, int]) -> list[float]:
        """Return the agreement without each part, nan where it is undefined.

        Args:
            scored: The texts.
            parts: The number of each group's part, from 0.
        """
        scored = self._with_both(scored)
        documents = group_codes([result.group for result in scored])
        numbers = np.array([parts[name] for name in documents.names], dtype=np.intp)
        human, judge = map(np.array, self._columns(scored, raw=self.reads_raw))
        weights = 1.0 - (np.arange(1 + max(parts.values()))[:, None] == numbers)
        return [float(v) for v in resampled_values(human, judge, documents, weights, self._own)]

    def deviation(self, scored: Sequence[Scored]) -> Deviation | None:
        """Return the judge's bias and mean error over some texts; None if there are none."""
        scored = self._with_both(scored)
        columns = self._columns(scored, raw=False)
        return deviation(*columns, [result.group for result in scored])

    def applicability(self, scored: Iterable[tuple[Any, object]]) -> Applicability | None:
        """Compare people and judge on whether the criterion applies; None if it always does.

        Args:
            scored: Examples and their scores.
        """
        if not self.criterion.na:
            return None
        # A score is a number where both say the same of it, and `NotApplicable` where they do not.
        pairs = (
            (self.criterion.is_na_in(example), isinstance(score, float))
            for example, score in scored
            if isinstance(score, float | NotApplicable)
        )
        return Applicability.of((people, people == agree) for people, agree in pairs)

    def _with_both(self, scored: Sequence[Scored]) -> list[Scored]:
        """Leave out the texts to which the criterion does not apply, as both say."""
        return [it for it in scored if self.criterion.score_in(it.example) is not None]

    @property
    def reads_raw(self) -> bool:
        """Whether agreement is measured on the scores before a calibration's map."""
        return METHODS[self._own.method].relative

    @property
    def _own(self) -> TestOptions:
        return self.options.of(self.criterion.name)

    def _columns(self, scored: Sequence[Scored], *, raw: bool) -> tuple[list[float], list[float]]:
        human = [float(result.example[self.criterion.human]) for result in scored]
        return human, [
            score_of(result.prediction, self.criterion.name, raw=raw) for result in scored
        ]


def score_of(prediction: Any, name: str, *, raw: bool) -> float:
    """Return a prediction's score on a criterion; ``raw`` is the one before a calibration's map.

    >>> import dspy
    >>> score_of(dspy.Prediction(tone=3), "tone", raw=True)
    3.0
    """
    return float(raw_score(prediction, name) if raw else prediction[name])


def measures_of(objectives: Iterable[Objective]) -> dict[str, Method]:
    """Return how agreement is measured, by the name of each objective that a rubric made.

    Example:
        >>> from mogradjudge.objectives import rubric_objectives
        >>> criteria = [Criterion("clarity", "Is easy to read.", measure="qwk")]
        >>> measures_of(rubric_objectives(Rubric(["text"], criteria)))
        {'clarity': 'qwk'}
    """
    return {
        objective.name: objective.aggregate.options.of(objective.name).method
        for objective in objectives
        if isinstance(objective.aggregate, HumanAgreement)
    }
