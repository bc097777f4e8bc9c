"""DSPy's metrics as hooks: asked once per prediction, whatever number of objectives reads it."""

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
    answer_of_two_tries,
    bad_score,
    is_async,
    on_scale,
    show_all,
)

_MOST_HELD = 4096
_OF_GEPA = 5  # arguments of its metrics: gold, pred, trace, pred_name, pred_trace


@dataclass(frozen=True)
class Verdict:
    """What a metric said about one prediction; it holds no reference to it.

    ``has_score`` is False where it gave ``objective_scores`` alone.
    """

    score: object
    feedback: str | None = None
    parts: Mapping[str, object] | None = None
    has_score: bool = True


class AskedOnce:
    """A DSPy metric that is called once for each pair of an example and a prediction.

    One that fails is called again, and its second failure is what it said.

    What it said is kept as long as the prediction lives; of predictions that no weak reference can
    be held to, texts and tuples say, the last `_MOST_HELD`. Equal predictions are not one: the same
    object is. It may be called in several threads, and pickled.

    Raises:
        SetupError: If the metric does not take an example and a prediction.
    """

    def __init__(self, metric: Callable[..., object], pred_name: str | None = None) -> None:
        self.metric, self.pred_name = metric, pred_name
        self._further = _further_arguments(metric, pred_name)
        self._lock = threading.Lock()
        self._asked: dict[tuple[int, int], _Asked] = {}
        self._held: deque[tuple[int, int]] = deque()

    def __reduce__(self) -> tuple[type[AskedOnce], tuple[Any, ...]]:
        return type(self), (self.metric, self.pred_name)

    def __call__(self, example: dspy.Example, prediction: Any) -> Verdict:
        key = id(example), id(prediction)
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                asked = self._asked[key] = _Asked(example)
                self._keep_alive(key, asked, prediction)
        with asked.lock:
            if asked.verdict is None:
                asked.verdict = self._verdict(example, prediction)
            if isinstance(asked.verdict, BadScore):
                raise bad_score(asked.verdict)
            return asked.verdict

    def _verdict(self, example: dspy.Example, prediction: Any) -> Verdict | BadScore:
        try:
            return _read(answer_of_two_tries(self.metric, example, prediction, *self._further))
        except (MogradError, dspy.LMError):
            raise
        except Exception as error:  # noqa: BLE001 - a metric may fail with any
            return bad_score(error)

    def _keep_alive(self, key: tuple[int, int], asked: _Asked, prediction: Any) -> None:
        try:
            weakref.finalize(prediction, self._asked.pop, key, None).atexit = False
        except TypeError:
            asked.prediction = prediction
            self._held.append(key)
            if len(self._held) > _MOST_HELD:
                self._asked.pop(self._held.popleft(), None)


@dataclass
class _Asked:
    """Holds the example, so that no other one gets its id while the verdict is kept."""

    example: dspy.Example
    prediction: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    verdict: Verdict | BadScore | None = None


@dataclass(frozen=True)
class MetricPart:
    """One score of a metric as the hooks of an objective; called, it brings the score to [0, 1].

    Args:
        metric: The metric.
        name: The objective's name.
        scale: The lowest and highest score.
        key: Which of ``objective_scores`` it is; None for the metric's one ``score``.

    Raises:
        SetupError: If the scale is empty.
    """

    metric: AskedOnce
    name: str
    scale: tuple[float, float]
    key: str | None = None

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def __call__(self, example: dspy.Example, prediction: Any) -> float | Unscored | None:
        given = self._given(self.metric(example, prediction))
        if given is None or isinstance(given, Unscored):
            return given
        if isinstance(given, (bool, np.bool_)):  # yes or no, whatever the scale
            return float(given)
        (low, high), value = self.scale, _number(given)
        if value is None:
            raise BadScore(f"it must give a number, got {excerpt_of(given)}")
        return (on_scale(value, self.scale) - low) / (high - low)

    def show(self, example: dspy.Example, prediction: Any) -> dict[str, object]:
        """Show the metric's score and feedback, then labels and prediction."""
        verdict = self.metric(example, prediction)
        shown = {"score": self._told(self._given(verdict))}
        if verdict.feedback:
            shown["feedback"] = verdict.feedback
        return {**shown, **show_all(example, prediction)}

    def _given(self, verdict: Verdict) -> object:
        if self.key is None:
            return self._whole(verdict)
        if isinstance(verdict.score, Unscored):
            return verdict.score
        if verdict.parts is None:
            raise BadScore(f"no `objective_scores`, and {excerpt_of(verdict.score)} alone")
        if self.key not in verdict.parts:  # misspelt, say
            raise BadScore(f"`objective_scores` are for {list(verdict.parts)} and not {self.key!r}")
        return verdict.parts[self.key]

    def _whole(self, verdict: Verdict) -> object:
        if not verdict.has_score:
            raise BadScore(f"no `score`, and `objective_scores` for {list(verdict.parts or ())}")
        return verdict.score

    def _told(self, given: object) -> str:
        if isinstance(given, Unscored):
            return f"none, {given.reason}"
        if isinstance(given, (bool, np.bool_)) or (number := _number(given)) is None:
            return str(given)
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


def _number(given: object) -> float | None:
    if isinstance(given, str) or not isinstance(given, SupportsFloat):
        return None
    return float(given)


def _read(said: object) -> Verdict:
    if isinstance(said, Mapping):
        raise BadScore(f"it must give a number or a dspy.Prediction, got {excerpt_of(said)}")
    if not isinstance(said, dspy.Prediction):
        return Verdict(said)
    if "score" not in said and "objective_scores" not in said:
        raise BadScore(f"its dspy.Prediction has no `score`, but {sorted(said.keys())}")
    feedback, parts = said.get("feedback"), said.get("objective_scores")
    return Verdict(
        said.get("score"),
        None if feedback is None else str(feedback),
        None if parts is None else dict(parts),
        "score" in said,
    )


def _further_arguments(metric: Callable[..., object], pred_name: str | None) -> tuple[Any, ...]:
    """Give what a metric must be given after the example and the prediction."""
    if not callable(metric):
        raise SetupError(f"A metric must be a function, got {metric!r}.")
    if is_async(metric):
        raise SetupError(f"A metric must be no coroutine function, got {metric!r}.")
    try:
        signature = inspect.signature(metric)
    except ValueError:  # some functions written in C tell nothing
        return ()
    counts = (_OF_GEPA,) if pred_name is not None else range(2, _OF_GEPA + 1)
    for count in counts:
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return (None, pred_name, None)[: count - 2]
    needed = "the five arguments of GEPA's metrics, for `pred_name`," if pred_name else "an example"
    raise SetupError(f"A metric must take {needed} and a prediction, got one of {signature}.")
