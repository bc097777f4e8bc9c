"""An objective: what is maximized under one name, and the ways to make one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Self, SupportsFloat, TypeVar

import dspy

from mogradjudge.agreement import Undefined
from mogradjudge.criteria.criterion import check_weight
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import excerpt_of
from mogradjudge.objectives.as_metric import ObjectivesMetric
from mogradjudge.objectives.from_metric import CachedMetric, MetricPart
from mogradjudge.objectives.hooks import (
    AggregateHook,
    BadScore,
    Label,
    LabelsHook,
    MetricFailed,
    Scored,
    ScoreHook,
    ShowHook,
    bad_score,
    call_with_retry,
    is_async,
    mean_score,
    on_scale,
    show_all,
)
from mogradjudge.objectives.over_labels import LabelPairs, Measure

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CONSEQUENCES = {
    "score": "such texts stay unscored.",
    "aggregate": "such a data set has no value.",
    "show": "the critic sees labels and prediction instead.",
    "labels": "the report shows no labels of such texts.",
}


@dataclass(frozen=True)
class AggregateFailed(Undefined):
    """An objective's own function could not aggregate a data set.

    Example:
        >>> AggregateFailed("the aggregate function failed").reason
        'the aggregate function failed'
    """


@dataclass(frozen=True)
class _Failure:
    reason: str


@dataclass(frozen=True)
class Objective:
    """What is maximized under one name. Any functions that fit the hooks make one.

    Args:
        name: An identifier; it names a section of the instructions.
        description: What is good; the critic, coach and editor read it.
        score: Scores one prediction, in [0, 1]; critiques are written about it. If it fails twice,
            or returns no number in [0, 1] (1e-6 off is rounding), the example is `Unscored`; the
            first failure of each kind is logged. A run stops with an error if this happens on more
            than half of the texts that the initial instructions are scored on.
        aggregate: Aggregates a data set; it decides acceptance and is what is reported. Default:
            the mean of the scores.
        show: What the critic may see. Default: labels and prediction.
        labels: Returns the expected and the produced label, for the report's table of confusions;
            None if the objective compares no labels.
        weight: How much it counts in means over objectives, at least 0; only ratios count.

    Raises:
        SetupError: If the name is no identifier, the description is empty, a hook is no function,
            or the weight is no weight.

    Example:
        >>> def is_short(example, prediction):
        ...     return len(prediction.answer) <= example.longest
        >>> short = Objective("short", "The answer is short.", is_short)
        >>> short.scored(dspy.Example(longest=5), dspy.Prediction(answer="Yes."))
        1.0
    """

    name: str
    description: str
    score: ScoreHook
    aggregate: AggregateHook | None = None
    show: ShowHook | None = None
    labels: LabelsHook | None = None
    weight: float = 1.0
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
        check_weight(self.weight, f"objective {self.name!r}")
        put = object.__setattr__  # the dataclass is frozen
        put(self, "aggregate", self.aggregate or mean_score)
        put(self, "show", self.show or show_all)

    def _check_hooks(self) -> None:
        """Check the functions: most are called only after the first LM calls."""
        for hook in ("score", "aggregate", "show", "labels"):
            function = getattr(self, hook)
            if function is None and hook != "score":
                continue
            if not callable(function) or is_async(function):
                is_name = isinstance(function, str)
                measures = "; Objective.over_labels takes a measure's name" if is_name else ""
                raise SetupError(
                    f"`{hook}` of objective {self.name!r} must be a function that is not async, "
                    f"got {function!r}{measures}."
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
        """Make an objective of a DSPy metric; the critic sees its score and its feedback.

        The metric is called without a trace, as `dspy.Evaluate` does. It returns a bool, a number,
        a `dspy.Prediction` with ``score`` and perhaps ``feedback``, or None where there is nothing
        to score by. It may be a `dspy.Module` that calls an LM: its calls count in the run's ledger
        and limits, to the default LM and to LMs of its own. The calls of a function count only if
        they go to the default LM.

        Args:
            metric: ``metric(example, prediction)``; further arguments, as GEPA's metrics have, are
                passed None.
            name: As in `Objective`.
            description: As in `Objective`.
            scale: The metric's lowest and highest score.
            pred_name: The fourth argument for a GEPA metric that gives feedback only for a named
                predictor.
            aggregate: As in `Objective`.

        Raises:
            SetupError: If the metric cannot be called so, or the scale is empty.

        Example:
            >>> def exact(example, prediction):
            ...     return 10 * (example.answer == prediction.answer)
            >>> objective = Objective.from_metric(exact, "exact", "Is right.", scale=(0, 10))
            >>> objective.scored(dspy.Example(answer="4"), dspy.Prediction(answer="4"))
            1.0
        """
        part = MetricPart(CachedMetric(metric, pred_name), name, scale)
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
        """Make an objective that compares two labels and aggregates over a data set.

        One example's score is 1 if its labels are equal and 0 if not; on a scale it is
        ``1 - |produced - expected| / (highest - lowest)``. An example whose expected label is None
        or nan is left out; a produced label that is None or not on the scale is `Unscored`. Labels
        are texts, numbers, bools, enums, dates, or lists and sets of these. A text stands
        for an enum's member by value or name, and for a bool, an ISO date or a JSON list.

        Args:
            name: As in `Objective`.
            description: As in `Objective`.
            expected: The field of the example that holds its label.
            produced: The field of the prediction that is compared with it.
            aggregate: ``"accuracy"``; ``"macro_f1"``, the mean of F1 over all labels that occur on
                either side; ``"kappa"``, Cohen's; ``"quadratic_kappa"``, on whole numbers; or
                ``"spearman"``; the last two need a scale. Or a function of `Scored` examples.
            scale: The lowest and the highest label, if labels are numbers.

        Raises:
            SetupError: If the aggregate is unknown or lacks its scale, or the scale is empty.

        Example:
            >>> fields = {"expected": "topic", "produced": "label"}
            >>> topic = Objective.over_labels("topic", "The topic is right.", **fields)
            >>> topic.scored(dspy.Example(topic="law"), dspy.Prediction(label="sport"))
            0.0
        """
        pairs = LabelPairs(name, expected, produced, scale)
        hook = pairs.aggregate(aggregate) if isinstance(aggregate, str) else aggregate
        return cls(name, description, pairs.score, hook, pairs.show, pairs.labels)

    def as_metric(
        self, *, failure_score: float = 0.0, threshold: float | None = 0.75
    ) -> ObjectivesMetric:
        """Return this objective as a metric for DSPy; see `ObjectivesMetric`."""
        return ObjectivesMetric((self,), failure_score=failure_score, threshold=threshold)

    def scored(self, example: dspy.Example, prediction: Any) -> float | Unscored | None:
        """Score one prediction by the hook, and check the result.

        Returns:
            A number in [0, 1]; None if there is nothing to score by; or why there is no score
            (`MetricFailed` if the hook fails or returns anything else).

        Raises:
            dspy.LMError: If the hook asks an LM whose provider fails.
        """
        score = self._tried(
            "score", lambda: _number(call_with_retry(self.score, example, prediction))
        )
        return MetricFailed(score.reason) if isinstance(score, _Failure) else score

    def shown(self, example: dspy.Example, prediction: Any) -> dict[str, object]:
        """Return what the critic may see; labels and prediction if the hook fails."""
        assert self.show is not None  # set when the objective was built
        show = self.show
        shown = self._tried("show", lambda: dict(show(example, prediction)))
        return show_all(example, prediction) if isinstance(shown, _Failure) else shown

    def compared(
        self, example: dspy.Example, prediction: Any
    ) -> tuple[Label | None, Label | None] | None:
        """Return the expected and the produced label; None without a hook or if it fails."""
        if self.labels is None:
            return None
        labels = self.labels
        pair = self._tried("labels", lambda: _pair(labels(example, prediction)))
        return None if isinstance(pair, _Failure) else pair

    def summed(self, scored: Sequence[Scored]) -> float | Undefined:
        """Aggregate a data set by the hook, and check the result.

        Returns:
            A number, or why there is none (`AggregateFailed` if the hook fails or returns anything
            else).
        """
        assert self.aggregate is not None  # set when the objective was built
        aggregate = self.aggregate
        value = self._tried("aggregate", lambda: _sum(aggregate(scored)))
        return AggregateFailed(value.reason) if isinstance(value, _Failure) else value

    def _tried(self, hook: str, call: Callable[[], T]) -> T | _Failure:
        """Call a hook; turn its error into a reason, and log a warning once per kind of error.

        Raises:
            MogradError: If a call limit is reached, for example.
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
            logger.warning("%s%s; %s", reason[0].upper(), reason[1:], _CONSEQUENCES[hook])
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

    The metric returns a `dspy.Prediction` with ``objective_scores``, by name, as metrics for GEPA
    do. It is called once per prediction, not once per objective. It must return a score for every
    described objective, None if there is nothing to score an example by; an objective that it
    leaves out has a `MetricFailed`.

    Args:
        metric: As for `Objective.from_metric`.
        descriptions: What is good, by the objective's name.
        scale: The lowest and highest of all objectives' scores.
        pred_name: As for `Objective.from_metric`.

    Raises:
        SetupError: If the metric cannot be called so, or there are no objectives.

    Example:
        >>> def metric(example, prediction):
        ...     scores = {"right": prediction.answer == example.answer, "short": 0.5}
        ...     return dspy.Prediction(score=0.5, objective_scores=scores)
        >>> right, short = objectives_from_metric(metric, {"right": "Is right.", "short": "Is."})
        >>> right.scored(dspy.Example(answer="4"), dspy.Prediction(answer="5"))
        0.0
    """
    if not descriptions:
        raise SetupError("`descriptions` must name at least one objective, got none.")
    cached = CachedMetric(metric, pred_name)
    parts = [MetricPart(cached, name, scale, key=name) for name in descriptions]
    return tuple(
        Objective(part.name, descriptions[part.name], part, show=part.show) for part in parts
    )


def metric_lms(objectives: Sequence[Objective]) -> dict[str, dspy.BaseLM]:
    """Return the LMs of the modules that score for objectives, by name.

    Example:
        >>> metric_lms([Objective("short", "Is short.", lambda example, prediction: 1.0)])
        {}
    """
    return {
        f"metric {objective.name} {path.removeprefix('self.')}": lm
        for objective in objectives
        if (module := _module(objective)) is not None
        for path, lm in module.named_sub_modules(dspy.BaseLM)
    }


def metric_of(objective: Objective) -> object:
    """Return the metric that scores for an objective; several objectives may share one.

    Example:
        >>> metric_of(Objective("size", "Is long.", max)) is max
        True
    """
    return objective.score.metric if isinstance(objective.score, MetricPart) else objective.score


def has_own_aggregate(objective: Objective) -> bool:
    """Say whether this package aggregates an objective, and no function of the user's.

    Example:
        >>> has_own_aggregate(Objective("short", "Is short.", lambda example, prediction: 1.0))
        True
    """
    function = getattr(objective.aggregate, "func", objective.aggregate)  # of a partial
    return str(getattr(function, "__module__", "")).startswith("mogradjudge.objectives.")


def _module(objective: Objective) -> dspy.Module | None:
    metric = metric_of(objective)
    scoring = metric.metric if isinstance(metric, CachedMetric) else metric
    return scoring if isinstance(scoring, dspy.Module) else None
