"""Turns objectives into one metric for every DSPy evaluator and optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import dspy

from mogradjudge.agreement.weighted_mean import mean_of
from mogradjudge.errors import SetupError
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.media import LONGEST_RESULTS, for_prompt
from mogradjudge.lm.quoting import excerpt

if TYPE_CHECKING:
    from mogradjudge.objectives.record import Objective


@dataclass(frozen=True)
class ObjectivesMetric:
    """A DSPy metric: the mean of objectives' scores on one example, by weight, with feedback.

    What it returns depends on how `dspy.Evaluate` or an optimizer calls it:

    - without a trace: a `dspy.Prediction` with ``score``, ``feedback`` and ``objective_scores``.
      `dspy.Evaluate`, MIPROv2 and COPRO use the scores, SIMBA the feedback too, GEPA all three;
    - with a predictor, as GEPA calls it: the same; the feedback on a judge's predictor is about
      that predictor's own criteria;
    - with a trace, as bootstrapping calls it: whether the score reaches ``threshold``.

    DSPy aggregates a data set by the mean of these scores; an objective's own aggregate (such as
    Spearman's rho) is not used.

    Args:
        objectives: What is scored, each with a name of its own.
        failure_score: The score of an objective that is `Unscored`, because a reply cannot be read
            or its function fails; DSPy's metrics need a number. The feedback tells the reason. An
            objective that has nothing to score by (a missing human score, for example) is left out
            of the mean and of ``objective_scores``.
        threshold: The least score in [0, 1] of an example that may become a demonstration. The
            default, 0.75, is one point off on a scale from 1 to 5. With None the score itself is
            returned, and the optimizer's own ``metric_threshold`` decides.

    Raises:
        SetupError: If an argument breaks one of these rules.

    Example:
        >>> from mogradjudge import Objective
        >>> right = Objective("right", "Is right.", lambda gold, pred: gold.answer == pred.answer)
        >>> metric = ObjectivesMetric((right,))
        >>> example = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
        >>> metric(example, dspy.Prediction(answer="5")).objective_scores
        {'right': 0.0}
    """

    objectives: tuple[Objective, ...]
    failure_score: float = 0.0
    threshold: float | None = 0.75

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        names = [getattr(objective, "name", None) for objective in self.objectives]  # of a function
        if not names or None in names or len(set(names)) < len(names):
            raise SetupError(f"A metric needs objectives, each with its own name, got {names}.")
        if not isinstance(self.failure_score, Real) or not math.isfinite(self.failure_score):
            raise SetupError(f"`failure_score` must be a number, got {self.failure_score!r}.")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise SetupError(f"`threshold` must be in [0, 1], got {self.threshold!r}.")

    @property
    def __name__(self) -> str:  # a function has one, and tables and logs print it
        return "_and_".join(objective.name for objective in self.objectives)

    def __call__(
        self,
        gold: dspy.Example,
        pred: Any,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: Sequence[Sequence[object]] | None = None,
    ) -> dspy.Prediction | float | bool:
        """Score what a program returned; None also stands for a program that failed.

        Raises:
            SetupError: If no objective has anything to score the example by.
        """
        scores = self._scores(gold, pred)
        score = mean_of(scores, {it.name: it.weight for it in self.objectives})
        if score is None:
            raise SetupError(
                f"Nothing that counts in {excerpt(str(dict(gold)))}: {', '.join(scores)} has the "
                "weight 0. Leave the example out."
            )
        if trace is not None and pred_name is None:
            return score if self.threshold is None else score >= self.threshold
        return dspy.Prediction(
            score=score,
            feedback=feedback_on(self._objectives_of(pred_trace), gold, pred),
            objective_scores=scores,
        )

    def _scores(self, gold: dspy.Example, pred: Any) -> dict[str, float]:
        results = {objective.name: objective.scored(gold, pred) for objective in self.objectives}
        scores = {
            name: self.failure_score if isinstance(score, Unscored) else score
            for name, score in results.items()
            if score is not None
        }
        if not scores:
            raise SetupError(
                f"Nothing to score in {excerpt(str(dict(gold)))}, for any of "
                f"{', '.join(results)}. Leave the example out."
            )
        return scores

    def _objectives_of(
        self, pred_trace: Sequence[Sequence[object]] | None
    ) -> tuple[Objective, ...]:
        predictor = pred_trace[0][0] if pred_trace else None
        if not isinstance(predictor, ScorePredict):
            return self.objectives
        names = predictor.criteria
        return tuple(objective for objective in self.objectives if objective.name in names)


def as_metric(
    objectives: Sequence[Objective], *, failure_score: float = 0.0, threshold: float | None = 0.75
) -> ObjectivesMetric:
    """Return objectives as one metric for DSPy; see `ObjectivesMetric`.

    Example:
        >>> from mogradjudge import Objective
        >>> short = Objective("short", "Is short.", lambda gold, pred: len(pred.answer) < 5)
        >>> example = dspy.Example(question="Is it?").with_inputs("question")
        >>> as_metric([short])(example, dspy.Prediction(answer="Yes.")).score
        1.0
    """
    if not isinstance(objectives, Iterable):
        raise SetupError(
            f"`objectives` must be a list of objectives, got {excerpt(repr(objectives))}. For a "
            "single one, give a list of one, or use its own as_metric()."
        )
    return ObjectivesMetric(tuple(objectives), failure_score, threshold)


def feedback_on(objectives: Sequence[Objective], example: dspy.Example, prediction: Any) -> str:
    """Write what the critic sees of a prediction: one line per objective.

    An objective that has nothing to score the example by is left out.

    Example:
        >>> from mogradjudge import Objective
        >>> short = Objective("short", "Is short.", lambda gold, pred: len(pred.answer) < 5)
        >>> example = dspy.Example(question="Is it?").with_inputs("question")
        >>> feedback_on([short], example, dspy.Prediction(answer="Yes."))
        "short: score 1.00 (produced {'answer': 'Yes.'})"
    """
    scores = [(objective, objective.scored(example, prediction)) for objective in objectives]
    if prediction is None and not any(isinstance(score, float) for _, score in scores):
        return "The program failed on this example and gave no result."
    lines = [
        _line(objective, score, example, prediction)
        for objective, score in scores
        if score is not None
    ]
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
