"""The record: what is maximized under one name, and the ways to make one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Self, SupportsFloat, TypeVar

import dspy

from mogradjudge.agreement import Undefined
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import excerpt_of
from mogradjudge.objectives.as_metric import ObjectivesMetric
from mogradjudge.objectives.from_metric import AskedOnce, MetricPart
from mogradjudge.objectives.hooks import (
    AggregateHook,
    BadScore,
    Label,
    LabelsHook,
    MetricFailed,
    Scored,
    ScoreHook,
    ShowHook,
    answer_of_two_tries,
    bad_score,
    is_async,
    mean_score,
    on_scale,
    show_all,
)
from mogradjudge.objectives.over_labels import LabelPairs, Measure

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WITHOUT = {
    "score": "such texts are left unscored.",
    "aggregate": "such a data set has no value.",
    "show": "the critic is shown labels and prediction in its place.",
    "labels": "the report tells no labels of such texts.",
}


@dataclass(frozen=True)
class AggregateFailed(Undefined):
    """An objective's own function could not sum up a data set."""


@dataclass(frozen=True)
class _Failure:
    reason: str


@dataclass(frozen=True)
class Objective:
    """What is maximized under one name. Any functions that fit the hooks make one.

    Args:
        name: An identifier; it names a section of the instructions.
        description: What is good; the critic, coach and editor read it.
        score: Scores one prediction, in [0, 1]. It steers the critiques. Where it fails twice, or
            gives no number in [0, 1] (1e-6 off is rounding), the example is `Unscored`, and a
            warning tells the first failure of each kind. A run ends where that befalls more than
            half of the texts that the seed is scored on.
        aggregate: Sums up a data set; it decides acceptance and is what is reported. The mean of
            the scores if it is not given.
        show: What the critic may see; labels and prediction if it is not given.
        labels: Gives the two labels that are compared, so that a report can set one against the
            other; an objective that compares no labels has none.

    Raises:
        SetupError: If the name is no identifier, the description is empty, or what is given as a
            function is none.
    """

    name: str
    description: str
    score: ScoreHook
    aggregate: AggregateHook | None = None
    show: ShowHook | None = None
    labels: LabelsHook | None = None
    _warned: set[tuple[str, str]] = field(
        default_factory=set, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise SetupError(f"An objective's name must be an identifier, got {self.name!r}.")
        if self.name == "mean":
            raise SetupError("An objective must not be named 'mean': results use it for the mean.")
        if not isinstance(self.description, str) or not self.description.strip():
            raise SetupError(
                f"Objective {self.name!r} needs a description, a text that is not empty, got "
                f"{self.description!r}."
            )
        self._check_hooks()
        put = object.__setattr__  # the dataclass is frozen
        put(self, "aggregate", self.aggregate or mean_score)
        put(self, "show", self.show or show_all)

    def _check_hooks(self) -> None:
        """Check what may be a function, or is called only after the seed was paid for."""
        for hook in ("score", "aggregate", "show", "labels"):
            given = getattr(self, hook)
            if given is None and hook != "score":
                continue
            if not callable(given) or is_async(given):
                measures = "; Objective.over_labels takes a measure's name" * isinstance(given, str)
                raise SetupError(
                    f"`{hook}` of objective {self.name!r} must be a function that is not async, "
                    f"got {given!r}{measures}."
                )

    @classmethod
    def from_metric(
        cls,
        metric: Callable[..., object],
        name: str,
        description: str,
        *,
        scale: tuple[float, float] = (0.0, 1.0),
        pred_name: str | None = None,
        aggregate: AggregateHook | None = None,
    ) -> Self:
        """Make an objective of a DSPy metric; the critic is shown its score and its feedback.

        The metric is called without a trace, as `dspy.Evaluate` does. It gives a bool, a number, a
        `dspy.Prediction` with ``score`` and perhaps ``feedback``, or None where there is nothing to
        score by. It may be a `dspy.Module` that asks an LM: a run books and caps its calls as the
        program's, to the default LM and to LMs of its own. What a function asks is booked as well
        if it asks the default LM, and passes unseen if it brings an LM itself.

        Args:
            metric: ``metric(example, prediction)``; further arguments, as GEPA's metrics have, are
                given None.
            name: As of an objective.
            description: As of an objective.
            scale: The metric's lowest and highest score.
            pred_name: What a metric for GEPA is given as its fourth argument; one that has feedback
                only for a predictor needs one.
            aggregate: As of an objective.

        Raises:
            SetupError: If the metric cannot be called so, or the scale is empty.
        """
        part = MetricPart(AskedOnce(metric, pred_name), name, scale)
        return cls(name, description, part, aggregate, part.show)

    @classmethod
    def over_labels(
        cls,
        name: str,
        description: str,
        *,
        expected: str,
        produced: str,
        aggregate: Measure | AggregateHook = "macro_f1",
        scale: tuple[float, float] | None = None,
    ) -> Self:
        """Make an objective of two labels whose agreement is taken over a whole data set.

        One example's score is 1 if its labels are equal and 0 if not; on a scale it is
        ``1 - |produced - expected| / (highest - lowest)``. An example whose expected label is None
        or nan is left out; a produced label that is None or not on the scale is `Unscored`.

        Labels are texts, numbers, bools, enums, dates, or lists and sets of these. A text stands
        for an enum's member by value or name, and for a bool, an ISO date or a JSON list.

        Args:
            name: As of an objective.
            description: As of an objective.
            expected: The field of the example that holds its label.
            produced: The field of the prediction that is compared with it.
            aggregate: ``"accuracy"``; ``"macro_f1"``, the mean of F1 over all labels that occur on
                either side; ``"kappa"``, Cohen's; ``"quadratic_kappa"``, on whole numbers; or
                ``"spearman"``. The last two need a scale. Or any function of `Scored` examples.
            scale: The lowest and the highest label, if labels are numbers.

        Raises:
            SetupError: If the aggregate is unknown or lacks its scale, or the scale is empty.
        """
        pairs = LabelPairs(name, expected, produced, scale)
        found = pairs.aggregate(aggregate) if isinstance(aggregate, str) else aggregate
        return cls(name, description, pairs.score, found, pairs.show, pairs.labels)

    def as_metric(
        self, *, failure_score: float = 0.0, threshold: float | None = 0.75
    ) -> ObjectivesMetric:
        """Give this objective as a metric for DSPy; see `ObjectivesMetric`."""
        return ObjectivesMetric((self,), failure_score=failure_score, threshold=threshold)

    def scored(self, example: dspy.Example, prediction: Any) -> float | Unscored | None:
        """Score one prediction by the hook, and check what it gives.

        Returns:
            A number in [0, 1]; None if there is nothing to score by; or why there is no score,
            `MetricFailed` where the hook fails or gives anything else.

        Raises:
            dspy.LMError: If the hook asks an LM whose provider fails.
        """
        score = self._tried(
            "score", lambda: _number(answer_of_two_tries(self.score, example, prediction))
        )
        return MetricFailed(score.reason) if isinstance(score, _Failure) else score

    def shown(self, example: dspy.Example, prediction: Any) -> dict[str, object]:
        """Give what the critic may see of a prediction; labels and prediction if the hook fails."""
        assert self.show is not None  # set when the objective was built
        show = self.show
        shown = self._tried("show", lambda: dict(show(example, prediction)))
        return show_all(example, prediction) if isinstance(shown, _Failure) else shown

    def compared(
        self, example: dspy.Example, prediction: Any
    ) -> tuple[Label | None, Label | None] | None:
        """Give the two labels that are compared; None if there are none, or if the hook fails."""
        if self.labels is None:
            return None
        labels = self.labels
        pair = self._tried("labels", lambda: _pair(labels(example, prediction)))
        return None if isinstance(pair, _Failure) else pair

    def summed(self, scored: Sequence[Scored]) -> float | Undefined:
        """Sum up a data set by the aggregate, and check what it gives.

        Returns:
            A number, or why there is none: `AggregateFailed` where the aggregate fails or gives
            anything else.
        """
        assert self.aggregate is not None  # set when the objective was built
        aggregate = self.aggregate
        value = self._tried("aggregate", lambda: _sum(aggregate(scored)))
        return AggregateFailed(value.reason) if isinstance(value, _Failure) else value

    def _tried(self, hook: str, call: Callable[[], T]) -> T | _Failure:
        """Make a reason of a function's own error, and warn of its kind once.

        Raises:
            MogradError: If a cap is reached, say.
            dspy.LMError: If a provider fails.
        """
        try:
            return call()
        except (MogradError, dspy.LMError):
            raise
        except Exception as error:  # noqa: BLE001 - a function of the user's may fail with any
            failure = bad_score(error)
            kind, said = failure.kind, str(failure)
        reason = f"the {hook} function of objective {self.name!r} failed: {said}"
        if (hook, kind) not in self._warned:
            self._warned.add((hook, kind))
            logger.warning("%s%s; %s", reason[0].upper(), reason[1:], _WITHOUT[hook])
        return _Failure(reason)


def _number(score: object) -> float | Unscored | None:
    if score is None or isinstance(score, Unscored):
        return score
    if not isinstance(score, SupportsFloat):
        raise BadScore(f"it must give a number, got {excerpt_of(score)}")
    return on_scale(float(score))


def _sum(value: object) -> float | Undefined:
    if isinstance(value, Undefined):
        return value
    if not isinstance(value, SupportsFloat):
        raise BadScore(f"it must give a number, got {excerpt_of(value)}")
    number = float(value)
    return number if isfinite(number) else Undefined(f"the aggregate is {number}")


def _pair(labels: tuple[Label | None, Label | None]) -> tuple[Label | None, Label | None]:
    expected, produced = labels
    return expected, produced


def objectives_from_metric(
    metric: Callable[..., object],
    descriptions: Mapping[str, str],
    *,
    scale: tuple[float, float] = (0.0, 1.0),
    pred_name: str | None = None,
) -> tuple[Objective, ...]:
    """Make an objective of each of a DSPy metric's ``objective_scores``.

    The metric gives a `dspy.Prediction` with ``objective_scores``, by name, as one for GEPA does.
    It is called once per prediction and not once per objective. It gives every objective that is
    described, None for one that has nothing to score an example by; `Objective.scored` raises
    SetupError for one that it leaves out.

    Args:
        metric: As for `Objective.from_metric`.
        descriptions: What is good, by the objective's name.
        scale: The lowest and highest of all objectives' scores.
        pred_name: As for `Objective.from_metric`.

    Raises:
        SetupError: If the metric cannot be called so, or there are no objectives.
    """
    if not descriptions:
        raise SetupError("`descriptions` must name at least one objective, got none.")
    asked = AskedOnce(metric, pred_name)
    parts = [MetricPart(asked, name, scale, key=name) for name in descriptions]
    return tuple(
        Objective(part.name, descriptions[part.name], part, show=part.show) for part in parts
    )


def metric_lms(objectives: Sequence[Objective]) -> dict[str, dspy.BaseLM]:
    """Name the LMs that the modules bring which score for objectives."""
    return {
        f"metric {objective.name} {path.removeprefix('self.')}": lm
        for objective in objectives
        if (module := _module(objective)) is not None
        for path, lm in module.named_sub_modules(dspy.BaseLM)
    }


def metric_of(objective: Objective) -> object:
    """Give the function that reads an objective's predictions; several may share a metric."""
    return objective.score.metric if isinstance(objective.score, MetricPart) else objective.score


def _module(objective: Objective) -> dspy.Module | None:
    metric = metric_of(objective)
    scoring = metric.metric if isinstance(metric, AskedOnce) else metric
    return scoring if isinstance(scoring, dspy.Module) else None
