"""The functions that make an objective: what each is given, what it gives, and the defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import dspy

from mogradjudge.agreement import Undefined
from mogradjudge.fields import reason_of
from mogradjudge.scores import Unscored


@dataclass(frozen=True)
class Scored:
    """One example with what a program made of it, and the score of that, in [0, 1]."""

    example: dspy.Example
    prediction: dspy.Prediction
    score: float
    group: str


class ScoreHook(Protocol):
    """Scores one prediction, higher is better, in [0, 1]; None where there is no label.

    A bool, a numpy number and a `dspy.Prediction` with a ``score`` are numbers too.
    """

    def __call__(
        self, example: dspy.Example, prediction: dspy.Prediction, /
    ) -> float | Unscored | None: ...


class AggregateHook(Protocol):
    """Sums up a data set in one number, higher is better."""

    def __call__(self, scored: Sequence[Scored], /) -> float | Undefined: ...


class ShowHook(Protocol):
    """Says what the critic may see of one prediction: what was expected and what was produced."""

    def __call__(
        self, example: dspy.Example, prediction: dspy.Prediction, /
    ) -> Mapping[str, object]: ...


Label: TypeAlias = float | int | str | bool


class LabelsHook(Protocol):
    """Gives the two labels that are compared, expected and produced; None where there is none."""

    def __call__(
        self, example: dspy.Example, prediction: dspy.Prediction, /
    ) -> tuple[Label | None, Label | None]: ...


def mean_score(scored: Sequence[Scored]) -> float | Undefined:
    """Average the per-example scores; the default aggregate."""
    if not scored:
        return Undefined("no example was scored")
    return sum(each.score for each in scored) / len(scored)


def show_all(example: dspy.Example, prediction: dspy.Prediction) -> dict[str, object]:
    """Show the example's labels, if it has any, as expected and all of the prediction."""
    labels = dict(example.labels())
    return {**({"expected": labels} if labels else {}), "produced": dict(prediction)}


def is_async(function: object) -> bool:
    """Say whether a call of a function, or of an object, gives a coroutine."""
    called = inspect.iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004
    return called or inspect.iscoroutinefunction(function)


def answer_of(function: Callable[..., object], *arguments: object) -> object:
    """Call a function that may call an LM; where that LM's reply is of no use, it is `Unscored`.

    Raises:
        dspy.LMError: If the provider fails, other than by refusing the one text.
    """
    try:
        # The program's own trace is read by optimizers, and these calls are none of its.
        with dspy.context(trace=[]):
            return function(*arguments)
    except (dspy.AdapterParseError, dspy.LMInvalidRequestError) as error:
        if isinstance(error, dspy.LMUnsupportedModelError):
            raise
        said = reason_of(error, dspy.settings.lm)
        return Unscored(f"the metric's own LM gave no usable reply: {said}")
