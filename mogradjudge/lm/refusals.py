"""Handles requests that a provider always refuses, and names the setting to change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import dspy

from mogradjudge.errors import MogradError
from mogradjudge.files import resource_error
from mogradjudge.lm.dspy_internals import Setting

REFUSALS: Final = (dspy.LMInvalidRequestError, dspy.LMAuthError, dspy.LMUnsupportedFeatureError)
"""The errors by which a provider, or DSPy, refuses a parameter that is not supported."""
NOTED_ERRORS: Final[Setting[list[Exception]]] = Setting("errors")
"""The errors of a program's LM calls, also those that the program handles."""
_TOP_LOGPROBS = 20  # the most that OpenAI's interface gives
_FEW_LOGPROBS = 5  # what others give at least

_OF_THE_TEXT = re.compile(
    r"content[ _-]?(filter|policy|management)|flagged|moderat|safety|usage polic"
    r"|^(?!.*max_\w*tokens).*context[ _-]?(size|length|window)",  # DSPy knows OpenAI's error alone
    re.IGNORECASE | re.DOTALL,
)
_TOO_LARGE = 413  # the status of a server in front of the model's

# What a refusal names, and the setting behind it; {role}_ is nothing for the judge.
_REMEDIES = (
    (
        r"logprob",
        "`--fallback integer` goes on without them (fallback='integer' in Python)",
    ),
    (
        r"temperature",
        "`--{option}temperature none` sends none (in Python {python}temperature=None)",
    ),
    (r"max_(completion_)?tokens", "leave out `--max-tokens` (max_tokens=None on the dspy.LM)"),
    (r"response_format|json_schema", "choose another adapter, as dspy.ChatAdapter()"),
    (
        r"\bsystem (message|prompt|role|instruction)|developer (message|instruction|role)",
        "it takes no system message: give another model with {model}",
    ),
)
_OTHERWISE = "change the settings of that model, or give another one with {model}"


class TopLogprobs:
    """Remembers how many alternatives per token each model returns; 0 for none.

    A judge shares it with its copies in all threads: a number that was refused for one text is not
    requested again for the others.

    >>> TopLogprobs().config(None)
    {'logprobs': True, 'top_logprobs': 20}
    """

    def __init__(self) -> None:
        self._most: dict[tuple[str, str], int] = {}

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def config(self, lm: dspy.BaseLM | None) -> dict[str, Any]:
        """Return the parameters of a call that requests as many as the model returns."""
        return _asking_for(self._most.get(_address(lm), _TOP_LOGPROBS))

    def config_after(
        self, error: Exception, sent: Mapping[str, Any], lm: dspy.BaseLM | None, least: int
    ) -> dict[str, Any] | None:
        """Return the parameters of another try after a call with those ``sent`` was refused.

        None if it was refused for another reason, or if fewer than ``least`` would be left.
        """
        before = sent.get("top_logprobs", 0)
        said = str(getattr(error, "message", error))
        if not before or not re.search(r"log_?prob", said, re.IGNORECASE):
            return None
        if concerns_the_text(error):  # its words may be quoted
            return None
        known = self._most.get(_address(lm), before)
        fewer = known if known < before else _fewer(said, before)
        if fewer < least:
            return None
        noted = NOTED_ERRORS.get()
        if noted and error in noted:  # the program that contains the judge has not failed
            noted.remove(error)
        return _asking_for(fewer)

    def note_taken(self, sent: Mapping[str, Any], lm: dspy.BaseLM | None) -> None:
        """Remember that a call with these parameters was answered."""
        taken = sent.get("top_logprobs", 0)
        self._most[_address(lm)] = max(taken, self._most.get(_address(lm), taken))


def _asking_for(number: int) -> dict[str, Any]:
    return {"logprobs": True, "top_logprobs": number} if number else {}


def _fewer(said: str, before: int) -> int:
    """Return the number that a refusal names; else a few, and then 0."""
    named = [int(number) for number in re.findall(r"\d{1,3}", said) if 0 < int(number) < before]
    few = _FEW_LOGPROBS if before > _FEW_LOGPROBS else 0
    return max(named, default=few)


def _address(lm: dspy.BaseLM | None) -> tuple[str, str]:
    return (str(getattr(lm, "model", "")), str(getattr(lm, "kwargs", {}).get("api_base")))


def concerns_the_text(error: Exception) -> bool:
    """Return whether one text was refused, for its content or its length."""
    if isinstance(error, dspy.LMUnsupportedModelError):  # a model for moderation, say
        return False
    if isinstance(error, dspy.ContextWindowExceededError):
        return True
    if getattr(error, "status", None) == _TOO_LARGE:
        return True
    said = getattr(error, "message", error)
    return _OF_THE_TEXT.search(f"{getattr(error, 'provider_code', None)} {said}") is not None


def as_refusal(error: dspy.LMError) -> dspy.LMError:
    """Turn an authentication error (403) that names a setting into a refused request."""
    if not isinstance(error, dspy.LMAuthError) or error.status not in (None, 403):
        return error
    if not any(re.search(named, error.message, re.IGNORECASE) for named, _ in _REMEDIES):
        return error
    return _refusal(error, error.message)


def with_remedy(
    error: dspy.LMInvalidRequestError, role: str, *, temperature: float | None
) -> dspy.LMInvalidRequestError:
    """Return the refusal of all calls of a role, with the setting to change in its text.

    Args:
        error: The refusal.
        role: The role whose calls were refused.
        temperature: Its sampling temperature; None if it sends none.
    """
    said = error.message.rstrip()
    remedies = (
        text
        for named, text in _REMEDIES
        if re.search(named, said, re.IGNORECASE)
        and (named != "temperature" or temperature is not None)
    )
    own = role != "judge"
    remedy = next(remedies, _OTHERWISE).format(
        option=f"{role}-" if own else "",
        python=f"{role}_" if own else "",
        model=f"`--prompt-lm` ({role}_lm=)" if own else "`--lm`",
    )
    stop = "" if said.endswith((".", "!", "?")) else "."
    return _refusal(error, f"{said}{stop} All calls of the {role} were refused; {remedy}.")


def _refusal(error: dspy.LMProviderError, said: str) -> dspy.LMInvalidRequestError:
    return dspy.LMInvalidRequestError(
        said,
        model=error.model,
        provider=error.provider,
        provider_code=error.provider_code,
        status=error.status,
        request_id=error.request_id,
    )


@contextmanager
def errors_noted() -> Iterator[None]:
    """Note an LM's error for `call_program`, even if the program handles it.

    Raises:
        ResourceError: If the process may open no more files or connections.
    """
    try:
        yield
    except Exception as raised:
        error = resource_error(raised) or raised
        noted = NOTED_ERRORS.get()
        ends = isinstance(error, (MogradError, dspy.LMError)) and not _may_be_handled(error)
        if noted is not None and ends:
            noted.append(error)
        if error is raised:
            raise
        raise error from raised


def _may_be_handled(error: Exception) -> bool:
    """Return whether a program may handle an error itself: one request was refused, not all."""
    refused = isinstance(error, dspy.LMInvalidRequestError)
    return refused and not isinstance(error, dspy.LMUnsupportedModelError)
