"""Objectives the other way round: one metric for every DSPy evaluator and optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import fmean
from typing import TYPE_CHECKING, Any

import dspy

from mogradjudge.errors import SetupError
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.media import LONGEST_RESULTS, for_prompt
from mogradjudge.lm.quoting import excerpt

if TYPE_CHECKING:
    from mogradjudge.objectives.record import Objective


@dataclass(frozen=True)
class ObjectivesMetric:
    """A DSPy metric: the mean of objectives' scores on one example, and what is wrong with it.

    It serves `dspy.Evaluate` and every optimizer, by the way that each calls it:

    - without a trace it gives a `dspy.Prediction` with ``score``, ``feedback`` and
      ``objective_scores``. `dspy.Evaluate`, MIPROv2 and COPRO add up the scores; SIMBA reads the
      feedback too, and GEPA all three;
    - for a predictor, as GEPA asks it, the feedback of a judge's predictor is about that
      predictor's own criteria;
    - with a trace, which bootstrapping gives, it says whether the score reaches ``threshold``.

    DSPy sums up a data set by a mean of such scores: an objective's own aggregate, Spearman's rho
    say, is no part of this.

    Args:
        objectives: What is scored, each with a name of its own.
        failure_score: What an objective counts that is `Unscored`, as a reply that cannot be read
            is, or one that its function fails on; DSPy's metrics need a number. With the default a
            program gains nothing by giving no score. The feedback tells the reason. An objective
            without anything to score by, a missing human score say, is left out of the mean and of
            ``objective_scores``.
        threshold: The score from which on an example is good enough to be a demonstration, in
            [0, 1]. The default, 0.75, is one point off on a scale from 1 to 5. With None the score
            is given, and the optimizer's own ``metric_threshold`` decides.

    Raises:
        SetupError: If an argument breaks one of these rules.
    """

    objectives: tuple[Objective, ...]
    failure_score: float = 0.0
    threshold: float | None = 0.75

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        names = [each.name for each in self.objectives]
        if not names or len(set(names)) < len(names):
            raise SetupError(f"A metric needs objectives, each with its own name, got {names}.")
        if not isinstance(self.failure_score, Real) or not math.isfinite(self.failure_score):
            raise SetupError(f"`failure_score` must be a number, got {self.failure_score!r}.")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise SetupError(f"`0 <= threshold <= 1` must hold, got {self.threshold!r}.")

    @property
    def __name__(self) -> str:  # a function has one, and tables and logs print it
        return "_and_".join(each.name for each in self.objectives)

    def __call__(
        self,
        gold: dspy.Example,
        pred: Any,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: Sequence[Sequence[object]] | None = None,
    ) -> dspy.Prediction | float | bool:
        """Score what a program returned; None also stands for one that failed.

        Raises:
            SetupError: If the example has nothing to score by on any objective.
        """
        scores = self._scores(gold, pred)
        score = fmean(scores.values())
        if trace is not None and pred_name is None:
            return score if self.threshold is None else score >= self.threshold
        return dspy.Prediction(
            score=score,
            feedback=feedback_on(self._asked_about(pred_trace), gold, pred),
            objective_scores=scores,
        )

    def _scores(self, gold: dspy.Example, pred: Any) -> dict[str, float]:
        found = {each.name: each.scored(gold, pred) for each in self.objectives}
        scores = {
            name: self.failure_score if isinstance(score, Unscored) else score
            for name, score in found.items()
            if score is not None
        }
        if not scores:
            raise SetupError(
                f"There is nothing to score {excerpt(str(dict(gold)))} by, on any of "
                f"{', '.join(found)}. Leave the example out."
            )
        return scores

    def _asked_about(self, pred_trace: Sequence[Sequence[object]] | None) -> tuple[Objective, ...]:
        asked = pred_trace[0][0] if pred_trace else None
        if not isinstance(asked, ScorePredict):
            return self.objectives
        return tuple(each for each in self.objectives if each.name in asked.criteria)


def as_metric(
    objectives: Sequence[Objective], *, failure_score: float = 0.0, threshold: float | None = 0.75
) -> ObjectivesMetric:
    """Give objectives as one metric for DSPy; see `ObjectivesMetric`."""
    if not isinstance(objectives, Iterable):
        raise SetupError(
            f"`objectives` must be a list of objectives, got {excerpt(repr(objectives))}. For one "
            "alone, give a list of one, or use its own as_metric()."
        )
    return ObjectivesMetric(tuple(objectives), failure_score, threshold)


def feedback_on(objectives: Sequence[Objective], example: dspy.Example, prediction: Any) -> str:
    """Write what our critic sees of a prediction: a line per objective that has a score or none.

    An objective that has nothing to score the example by is left out.
    """
    scores = [(each, each.scored(example, prediction)) for each in objectives]
    if prediction is None and not any(isinstance(score, float) for _, score in scores):
        return "The program failed on this example and gave no result."
    lines = [_line(each, score, example, prediction) for each, score in scores if score is not None]
    return "\n".join(lines) or "There is nothing to compare this result with."


def _line(
    objective: Objective,
    score: float | Unscored,
    example: dspy.Example,
    prediction: Any,
) -> str:
    shown = for_prompt(objective.shown(example, prediction), LONGEST_RESULTS)
    error = shown.pop("error", None)
    if isinstance(score, Unscored):
        error = "no score"
    elif error is None:
        error = f"score {score:.2f}"
    rest = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"{objective.name}: {'no error' if error == 'none' else error} ({rest})"
