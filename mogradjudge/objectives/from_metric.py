"""Turns a DSPy metric into objectives' hooks; it is called once per prediction."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, SupportsFloat

import dspy
import numpy as np

from mogradjudge.errors import MogradError, SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import excerpt_of
from mogradjudge.objectives.hooks import (
    BadScore,
    bad_score,
    call_with_retry,
    is_async,
    on_scale,
    show_all,
)

_MOST_HELD = 4096
_OF_GEPA = 5  # arguments of its metrics: gold, pred, trace, pred_name, pred_trace


@dataclass(frozen=True)
class Verdict:
    """What a metric returned for one prediction.

    It holds no reference to the prediction. ``has_score`` is False if the metric returned
    ``objective_scores`` alone.
    """

    score: object
    feedback: str | None = None
    parts: Mapping[str, object] | None = None
    has_score: bool = True


class CachedMetric:
    """A DSPy metric that is called once for each pair of an example and a prediction.

    A metric that fails is called once more; a second failure is kept as its verdict.

    A verdict is kept as long as its prediction lives. For predictions without weak references
    (texts, tuples) the last `_MOST_HELD` verdicts are kept. Predictions are told apart by identity,
    not by equality. The object is thread safe and can be pickled.

    Raises:
        SetupError: If the metric does not take an example and a prediction.
    """

    def __init__(self, metric: Callable[..., object], pred_name: str | None = None) -> None:
        self.metric, self.pred_name = metric, pred_name
        self._further = _further_arguments(metric, pred_name)
        self._lock = threading.Lock()
        self._entries: dict[tuple[int, int], _Entry] = {}
        self._held: deque[tuple[int, int]] = deque()

    def __reduce__(self) -> tuple[type[CachedMetric], tuple[Any, ...]]:
        return type(self), (self.metric, self.pred_name)

    def __call__(self, example: dspy.Example, prediction: Any) -> Verdict:
        key = id(example), id(prediction)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(example)
                self._keep_alive(key, entry, prediction)
        with entry.lock:
            if entry.verdict is None:
                entry.verdict = self._verdict(example, prediction)
            if isinstance(entry.verdict, BadScore):
                raise bad_score(entry.verdict)
            return entry.verdict

    def _verdict(self, example: dspy.Example, prediction: Any) -> Verdict | BadScore:
        try:
            return _read(call_with_retry(self.metric, example, prediction, *self._further))
        except (MogradError, dspy.LMError):
            raise
        except Exception as error:  # noqa: BLE001 - a metric may fail with any
            return bad_score(error)

    def _keep_alive(self, key: tuple[int, int], entry: _Entry, prediction: Any) -> None:
        try:
            weakref.finalize(prediction, self._entries.pop, key, None).atexit = False
        except TypeError:
            entry.prediction = prediction
            self._held.append(key)
            if len(self._held) > _MOST_HELD:
                self._entries.pop(self._held.popleft(), None)


@dataclass
class _Entry:
    """A verdict with its example, whose id no other example can get meanwhile."""

    example: dspy.Example
    prediction: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    verdict: Verdict | BadScore | None = None


@dataclass(frozen=True)
class MetricPart:
    """One score of a metric as an objective's hooks; a call returns it scaled to [0, 1].

    Args:
        metric: The metric.
        name: The objective's name.
        scale: The lowest and highest score.
        key: Which of ``objective_scores`` it is; None for the metric's one ``score``.

    Raises:
        SetupError: If the scale is empty.
    """

    metric: CachedMetric
    name: str
    scale: tuple[float, float]
    key: str | None = None

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def __call__(self, example: dspy.Example, prediction: Any) -> float | Unscored | None:
        score = self._score(self.metric(example, prediction))
        if score is None or isinstance(score, Unscored):
            return score
        if isinstance(score, (bool, np.bool_)):  # yes or no, whatever the scale
            return float(score)
        (low, high), number = self.scale, _number(score)
        if number is None:
            raise BadScore(f"it must give a number, got {excerpt_of(score)}")
        return (on_scale(number, self.scale) - low) / (high - low)

    def show(self, example: dspy.Example, prediction: Any) -> dict[str, object]:
        """Show the metric's score and feedback, then labels and prediction."""
        verdict = self.metric(example, prediction)
        shown = {"score": self._described(self._score(verdict))}
        if verdict.feedback:
            shown["feedback"] = verdict.feedback
        return {**shown, **show_all(example, prediction)}

    def _score(self, verdict: Verdict) -> object:
        if self.key is None:
            if not verdict.has_score:
                raise BadScore(
                    f"no `score`, and `objective_scores` for {list(verdict.parts or ())}"
                )
            return verdict.score
        if isinstance(verdict.score, Unscored):
            return verdict.score
        if verdict.parts is None:
            raise BadScore(f"no `objective_scores`, only {excerpt_of(verdict.score)}")
        if self.key not in verdict.parts:  # misspelt, say
            raise BadScore(f"`objective_scores` are for {list(verdict.parts)} and not {self.key!r}")
        return verdict.parts[self.key]

    def _described(self, score: object) -> str:
        if isinstance(score, Unscored):
            return f"none, {score.reason}"
        if isinstance(score, (bool, np.bool_)) or (number := _number(score)) is None:
            return str(score)
        low, high = self.scale
        return f"{number:.4g} on a scale from {low:g} to {high:g}"


def check_scale(scale: tuple[float, float]) -> None:
    """Check the two ends of a scale.

    Raises:
        SetupError: If they are not two numbers, the lower one first.
    """
    match scale:
        case (low, high) if isinstance(low, Real) and isinstance(high, Real):
            if float("-inf") < float(low) < float(high) < float("inf"):
                return
    raise SetupError(f"`scale` must be two numbers, the lowest and the highest, got {scale!r}.")


def _number(score: object) -> float | None:
    if isinstance(score, str) or not isinstance(score, SupportsFloat):
        return None
    return float(score)


def _read(answer: object) -> Verdict:
    if isinstance(answer, Mapping):
        raise BadScore(f"it must give a number or a dspy.Prediction, got {excerpt_of(answer)}")
    if not isinstance(answer, dspy.Prediction):
        return Verdict(answer)
    if "score" not in answer and "objective_scores" not in answer:
        raise BadScore(f"its dspy.Prediction has no `score`, but {sorted(answer.keys())}")
    feedback, parts = answer.get("feedback"), answer.get("objective_scores")
    return Verdict(
        answer.get("score"),
        None if feedback is None else str(feedback),
        None if parts is None else dict(parts),
        "score" in answer,
    )


def _further_arguments(metric: Callable[..., object], pred_name: str | None) -> tuple[Any, ...]:
    """Return the arguments that a metric takes after the example and the prediction."""
    if not callable(metric) or isinstance(metric, type):
        raise SetupError(f"A metric must be a function, got {metric!r}.")
    if is_async(metric):
        raise SetupError(f"A metric must not be async, got {metric!r}.")
    try:
        signature = inspect.signature(metric)
    except ValueError:  # some functions written in C have no signature
        return ()
    counts = (_OF_GEPA,) if pred_name is not None else range(2, _OF_GEPA + 1)
    for count in counts:
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return (None, pred_name, None)[: count - 2]
    needed = "the five arguments of GEPA's metrics, for `pred_name`," if pred_name else "an example"
    raise SetupError(f"A metric must take {needed} and a prediction, got {signature}.")
