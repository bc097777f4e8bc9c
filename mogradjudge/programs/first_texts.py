"""Stops a scoring early if none of its first texts has a score."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import dspy

from mogradjudge.errors import ReplyError
from mogradjudge.judge.scores import Refused, Unscored, is_unread
from mogradjudge.lm.refusals import with_remedy
from mogradjudge.programs.execution import Failed, Returned

FIRST_TEXTS = 20
"""A scoring stops if none of the first texts has a score: the cause is then not in the texts."""


def nothing_scored(
    outputs: Sequence[Returned], first: Unscored, which: str
) -> dspy.LMError | ReplyError:
    """Return the error for texts that all have no score: the provider's, if it refused them all."""
    refusals = [error for output in outputs if (error := refusal_of(output)) is not None]
    if len(refusals) == len(outputs):
        return refusal_of_all(refusals[0])
    remedy = "Look at the model's replies, and whether it has enough tokens for them."
    if isinstance(first, Failed):
        remedy = "Correct the program or the examples' inputs."
    return ReplyError(f"None of the {which} texts has a score; the first: {first.reason}. {remedy}")


def refusal_of(output: Returned) -> dspy.LMError | None:
    """Return the provider's error if it refused a text, a judge's on every criterion."""
    is_fields = isinstance(output, dspy.Prediction)
    values = [output[name] for name in output if name != "readings"] if is_fields else [output]
    errors = [value.error for value in values if isinstance(value, Refused)]
    return errors[0] if errors and len(errors) == len(values) else None


def refusal_of_all(error: dspy.LMError) -> dspy.LMError:
    """Return the error for a refusal of every text, with the setting to change."""
    if isinstance(error, dspy.LMInvalidRequestError):
        lm = dspy.settings.lm
        temperature = None if lm is None else lm.kwargs.get("temperature")
        return with_remedy(error, "judge", temperature=temperature)
    return error


class FirstTexts:
    """Checks whether one of the first texts has a score; safe to use from several threads.

    Args:
        count: How many texts to check.

    >>> first = FirstTexts(count=1)
    >>> first.see("no JSON", [Unscored("no readable reply")])
    Traceback (most recent call last):
    mogradjudge.errors.ReplyError: None of the first 1 texts has a score; the first: no readable...
    """

    def __init__(self, count: int = FIRST_TEXTS) -> None:
        self._count = count
        self._outputs: list[Returned] = []
        self._lock = threading.Lock()

    def see(self, output: Returned, scores: Iterable[object]) -> None:
        """Check one more text.

        Raises:
            dspy.LMError: If this is the last of the first texts, and the provider refused them all.
            ReplyError: If none of them has a score.
        """
        scores = list(scores)
        first = next((score for score in scores if isinstance(score, Unscored)), None)
        with self._lock:
            if first is None or not all(map(is_unread, scores)):
                self._count = 0  # one is enough
            elif len(self._outputs) < self._count:
                self._outputs.append(output)
                if len(self._outputs) == self._count:
                    raise nothing_scored(self._outputs, first, f"first {self._count}")
