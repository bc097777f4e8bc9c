"""The functions that make an objective: what each is given, what it gives, and the defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeGuard

import dspy

from mogradjudge.agreement import Undefined
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import reason_of

_ROUNDING = 1e-6  # a cosine of float32 vectors is 1.0000001


@dataclass(frozen=True)
class Scored:
    """One example with what a program made of it, and the score of that, in [0, 1]."""

    example: dspy.Example
    prediction: Any
    score: float
    group: str


@dataclass(frozen=True)
class MetricFailed(Unscored):
    """An objective's own function gave no usable score; the program may have done well."""


class BadScore(Exception):
    """A function gave for one prediction what is no score, or failed.

    Args:
        said: What it gave, or its error.
        kind: What kind of failure it is; one of each kind is told.
    """

    def __init__(self, said: str, kind: str = "BadScore") -> None:
        super().__init__(said)
        self.kind = kind


def bad_score(error: Exception) -> BadScore:
    """Make a new error of a function's own, one that holds nothing of the call."""
    if isinstance(error, BadScore):
        return BadScore(str(error), error.kind)
    kind = type(error).__name__
    return BadScore(f"{kind}: {reason_of(error, dspy.settings.lm)}", kind)


class OffScale(BadScore):
    """A function gave a number that lies outside its scale."""


class ScoreHook(Protocol):
    """Scores one prediction, higher is better, in [0, 1]; None where there is no label.

    ``prediction`` is whatever the program returns, as `dspy.Evaluate` gives it to a metric: mostly
    a `dspy.Prediction`, perhaps a text, a dict, a tuple or None. A bool, a numpy number and a
    `dspy.Prediction` with a ``score`` are numbers too.
    """

    def __call__(self, example: dspy.Example, prediction: Any, /) -> float | Unscored | None: ...


class AggregateHook(Protocol):
    """Sums up a data set in one number, higher is better."""

    def __call__(self, scored: Sequence[Scored], /) -> float | Undefined: ...


class ShowHook(Protocol):
    """Says what the critic may see of one prediction: what was expected and what was produced."""

    def __call__(self, example: dspy.Example, prediction: Any, /) -> Mapping[str, object]: ...


Label: TypeAlias = float | int | str | bool


class LabelsHook(Protocol):
    """Gives the two labels that are compared, expected and produced; None where there is none."""

    def __call__(
        self, example: dspy.Example, prediction: Any, /
    ) -> tuple[Label | None, Label | None]: ...


def mean_score(scored: Sequence[Scored]) -> float | Undefined:
    """Average the per-example scores; the default aggregate."""
    if not scored:
        return Undefined("no example was scored")
    return sum(each.score for each in scored) / len(scored)


def show_all(example: dspy.Example, prediction: Any) -> dict[str, object]:
    """Show the example's labels, if it has any, as expected and all of the prediction."""
    labels = dict(example.labels())
    produced = dict(prediction) if has_fields(prediction) else prediction
    return {**({"expected": labels} if labels else {}), "produced": produced}


def has_fields(prediction: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether what a program returned has fields with names."""
    return isinstance(prediction, (Mapping, dspy.Example))  # which a dspy.Prediction is


def on_scale(number: float, scale: tuple[float, float] = (0.0, 1.0)) -> float:
    """Give a number on a scale; rounding errors at its ends are none.

    Raises:
        OffScale: If it lies outside by more than a millionth of the scale, or is no number.
    """
    low, high = scale
    slack = _ROUNDING * (high - low)
    if not low - slack <= number <= high + slack:
        raise OffScale(f"must lie in [{low:g}, {high:g}], got {number!r}")
    return min(max(number, low), high)


def is_async(function: object) -> bool:
    """Say whether a call of a function, or of an object, gives a coroutine."""
    called = inspect.iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004
    return called or inspect.iscoroutinefunction(function)


def answer_of_two_tries(function: Callable[..., object], *arguments: object) -> object:
    """Give `answer_of`; one that fails is asked again: a candidate pays dearly for a lost score."""
    try:
        return answer_of(function, *arguments)
    except (MogradError, dspy.LMError, BadScore):
        raise
    except Exception:  # noqa: BLE001 - a function of the user's may fail with any
        return answer_of(function, *arguments)


def answer_of(function: Callable[..., object], *arguments: object) -> object:
    """Call a function that may call an LM; where that LM's reply is of no use, it is `Unscored`.

    Raises:
        dspy.LMError: If the provider fails, other than by refusing the one text.
        SetupError: If the function is async.
    """
    try:
        # The program's own trace is read by optimizers, and these calls are none of its.
        with dspy.context(trace=[]):
            answer = function(*arguments)
    except (dspy.AdapterParseError, dspy.LMInvalidRequestError) as error:
        if isinstance(error, dspy.LMUnsupportedModelError):
            raise
        said = reason_of(error, dspy.settings.lm)
        return Unscored(f"the metric's own LM gave no usable reply: {said}")
    if inspect.iscoroutine(answer):
        answer.close()
        raise SetupError(f"A metric must give a number and no coroutine, and {function!r} does.")
    return answer
