"""The functions of an objective: their types, their defaults, and how they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeGuard

import dspy

from mogradjudge.agreement import Undefined
from mogradjudge.errors import InputError, MogradError, SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import reason_of

_ROUNDING = 1e-6  # a cosine of float32 vectors is 1.0000001


@dataclass(frozen=True)
class Scored:
    """One example, a program's prediction for it, and the prediction's score in [0, 1].

    Example:
        >>> Scored(dspy.Example(), dspy.Prediction(answer="4"), 0.5, group="a").score
        0.5
    """

    example: dspy.Example
    prediction: Any
    score: float
    group: str


@dataclass(frozen=True)
class MetricFailed(Unscored):
    """An objective's own function returned no usable score; the prediction may be good.

    Example:
        >>> isinstance(MetricFailed("the score function failed"), Unscored)
        True
    """


class BadScore(Exception):
    """A function failed on one prediction, or returned something that is no score.

    Args:
        message: What it returned, or its error.
        kind: The kind of failure; a warning is logged once per kind.
    """

    def __init__(self, message: str, kind: str = "BadScore") -> None:
        super().__init__(message)
        self.kind = kind


def bad_score(error: Exception) -> BadScore:
    """Copy the error of a function without references to the call."""
    if isinstance(error, BadScore):
        return BadScore(str(error), error.kind)
    kind = type(error).__name__
    return BadScore(f"{kind}: {reason_of(error, dspy.settings.lm)}", kind)


class ScoreHook(Protocol):
    """Scores one prediction in [0, 1], higher is better; None where there is no label.

    ``prediction`` is whatever the program returns, as `dspy.Evaluate` gives it to a metric: mostly
    a `dspy.Prediction`, perhaps a text, a dict, a tuple or None. A bool, a numpy number and a
    `dspy.Prediction` with a ``score`` are numbers too.

    Example:
        >>> hook: ScoreHook = lambda example, prediction: prediction.answer == example.answer
        >>> hook(dspy.Example(answer="4"), dspy.Prediction(answer="4"))
        True
    """

    def __call__(self, example: dspy.Example, prediction: Any, /) -> float | Unscored | None: ...


class AggregateHook(Protocol):
    """Aggregates a data set to one number, higher is better.

    Example:
        >>> hook: AggregateHook = lambda scored: min(result.score for result in scored)
        >>> hook([Scored(dspy.Example(), dspy.Prediction(), 0.5, "a")])
        0.5
    """

    def __call__(self, scored: Sequence[Scored], /) -> float | Undefined: ...


class ShowHook(Protocol):
    """Returns what the critic may see of one prediction: expected and produced values.

    Example:
        >>> hook: ShowHook = lambda example, prediction: {"produced": prediction.answer}
        >>> hook(dspy.Example(), dspy.Prediction(answer="4"))
        {'produced': '4'}
    """

    def __call__(self, example: dspy.Example, prediction: Any, /) -> Mapping[str, object]: ...


Label: TypeAlias = float | int | str | bool


class LabelsHook(Protocol):
    """Returns the expected and the produced label; None for a missing one.

    Example:
        >>> hook: LabelsHook = lambda example, prediction: (example.answer, prediction.answer)
        >>> hook(dspy.Example(answer="4"), dspy.Prediction(answer="5"))
        ('4', '5')
    """

    def __call__(
        self, example: dspy.Example, prediction: Any, /
    ) -> tuple[Label | None, Label | None]: ...


def mean_score(scored: Sequence[Scored]) -> float | Undefined:
    """Average the per-example scores; the default aggregate.

    Example:
        >>> example, prediction = dspy.Example(), dspy.Prediction()
        >>> mean_score([Scored(example, prediction, score, "a") for score in (0.5, 1.0)])
        0.75
    """
    if not scored:
        return Undefined("no example was scored")
    return sum(result.score for result in scored) / len(scored)


def show_all(example: dspy.Example, prediction: Any) -> dict[str, object]:
    """Return an example's labels, if it has any, and all of the prediction.

    Example:
        >>> example = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
        >>> show_all(example, dspy.Prediction(answer="5"))
        {'expected': {'answer': '4'}, 'produced': {'answer': '5'}}
    """
    labels = dict(example.labels())
    produced = dict(prediction) if has_fields(prediction) else prediction
    return {**({"expected": labels} if labels else {}), "produced": produced}


def has_fields(prediction: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether what a program returned has fields with names."""
    return isinstance(prediction, (Mapping, dspy.Example))  # which a dspy.Prediction is


def on_scale(number: float, scale: tuple[float, float] = (0.0, 1.0)) -> float:
    """Return a number clipped to a scale, with room for rounding errors.

    Raises:
        BadScore: If it lies outside by more than a millionth of the scale, or is no number.
    """
    low, high = scale
    slack = _ROUNDING * (high - low)
    if not low - slack <= number <= high + slack:
        raise BadScore(f"must lie in [{low:g}, {high:g}], got {number!r}")
    return min(max(number, low), high)


def is_async(function: object) -> bool:
    """Say whether calling a function or an object returns a coroutine."""
    called = inspect.iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004
    return called or inspect.iscoroutinefunction(function)


def call_with_retry(function: Callable[..., object], *arguments: object) -> object:
    """Call a hook as `call_hook` does, and once more if it fails."""
    try:
        return call_hook(function, *arguments)
    except (MogradError, dspy.LMError, BadScore):
        raise
    except Exception:  # noqa: BLE001 - a function of the user's may fail with any
        return call_hook(function, *arguments)


def call_hook(function: Callable[..., object], *arguments: object) -> object:
    """Call a function that may call an LM; it is `Unscored` if the LM's reply cannot be used.

    So it is if a judge inside the function is given no text.

    Raises:
        dspy.LMError: If the provider fails, other than by refusing the one text.
        SetupError: If the function is async.
    """
    try:
        # Optimizers read the program's own trace, to which these calls do not belong.
        with dspy.context(trace=[]):
            answer = function(*arguments)
    except (dspy.AdapterParseError, dspy.LMInvalidRequestError) as error:
        if isinstance(error, dspy.LMUnsupportedModelError):
            raise
        said = reason_of(error, dspy.settings.lm)
        return Unscored(f"the metric's own LM gave no usable reply: {said}")
    except InputError as error:
        return Unscored(f"the metric's own judge cannot rate it: {error}")
    if inspect.iscoroutine(answer):
        answer.close()
        raise SetupError(f"A metric must return a number, but {function!r} returns a coroutine.")
    return answer
