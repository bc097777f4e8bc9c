"""One attempt of an LM call: it waits for its turn, is sent, and is booked however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from itertools import count
from typing import Any, TypeAlias

import dspy

from mogradjudge.files import resource_error
from mogradjudge.lm.budget import Spent
from mogradjudge.lm.dspy_internals import Exchange, calling_modules, fails_in_reader
from mogradjudge.lm.ledger import Ledger, Purpose, Sent, Usage
from mogradjudge.secrets import redact_error, secrets_of

RETRIES = 9  # failures in a row; at one more the provider counts as down
_DSPY_RETRIES = 3  # DSPy's default; too few, as a run has thousands of calls
_MOST_ATTEMPTS = 30  # of one call, while others are answered
_ASYNC_POLL = 0.005  # seconds
_FIRST_ERROR_STATUS = 400  # HTTP

Usages: TypeAlias = Callable[[], Sequence[Usage]]
"""Returns the tokens that an attempt's provider reported, one entry per reply."""


@dataclass(frozen=True)
class Booking:
    """The ledger, role and criteria under which the calls of a context are booked.

    The calls of a module with `ledger_criteria`, such as a judge's predictor, are booked for these.
    """

    ledger: Ledger
    role: str
    criteria: tuple[str, ...]

    def purpose(self, lm: dspy.BaseLM) -> Purpose:
        """Return what a call of an LM is for, by the module that calls it."""
        caller = next(reversed(calling_modules()), None)
        criteria = getattr(caller, "ledger_criteria", self.criteria)
        return Purpose(self.role, criteria, lm.model)

    def attempt(
        self, lm: dspy.BaseLM, sent: object, options: Mapping[str, Any], replies: int = 1
    ) -> Attempt:
        """Prepare an attempt, with the most that it can spend.

        Args:
            lm: The model.
            sent: Everything that is sent.
            options: The call's settings.
            replies: How many replies it requests.
        """
        limit = options.get("max_tokens") or options.get("max_completion_tokens")
        weight = self.ledger.budget.weigh(lm, sent, limit, replies)
        return Attempt(self.ledger, self.purpose(lm), weight, lm)

    def answered_by_cache(self, lm: dspy.BaseLM) -> None:
        """Book a call that was not sent."""
        _withdraw_outer()
        self.ledger.book_cached(self.purpose(lm))


@dataclass
class Attempt:
    """One attempt of a call."""

    ledger: Ledger
    purpose: Purpose
    weight: Spent
    lm: dspy.BaseLM
    sent: Sent | None = None
    wave: int = 0

    def depart(self) -> None:
        """Wait until it may be sent; take a place in flight and reserve its part of the budget."""
        _withdraw_outer()
        self.wave = self.ledger.limiter.take()
        try:
            self.sent = self.ledger.depart(self.purpose, self.weight)
        except BaseException:
            self.ledger.limiter.give_back()
            raise

    async def adepart(self) -> None:
        """Do the same without blocking the event loop or its threads: calls in flight need both."""
        _withdraw_outer()
        while (wave := self.ledger.limiter.take_now()) is None:
            await pause(self.ledger)
        try:
            while (sent := self.ledger.depart_now(self.purpose, self.weight)) is None:
                await pause(self.ledger)
        except BaseException:
            self.ledger.limiter.give_back()
            raise
        self.wave, self.sent = wave, sent

    @contextmanager
    def under_way(self, usages: Usages) -> Iterator[None]:
        """Book the attempt at the end of the block, however it ends."""
        token = _UNDER_WAY.set(self)
        try:
            yield
        except BaseException as error:  # an interrupted call was also sent
            self._fail(error, usages())
            raise
        finally:
            _UNDER_WAY.reset(token)
        if self.sent is not None:
            self.ledger.limiter.answered()
            self.ledger.book(self.sent, usages(), answered=True, lost=False)

    def tries_again(self, error: dspy.LMError, attempts: int) -> bool:
        """Return whether another attempt may help after so many."""
        own = getattr(self.lm, "num_retries", 0)
        retries = RETRIES if own == _DSPY_RETRIES else own
        if self.sent is None or not retries or not _may_pass(error):
            return False
        if resource_error(error):
            return False
        if self.ledger.limiter.is_down(retries):
            redact_error(error, frozenset(secrets_of(self.lm.kwargs)))
            self.ledger.stop_signal.fail(error)  # otherwise each waiting call would try once more
            return False
        return attempts < _MOST_ATTEMPTS

    def withdraw(self) -> None:
        """Release its place and its part of the budget: it sent nothing itself."""
        if self.sent is not None and self.ledger.withdraw(self.sent):
            self.ledger.limiter.give_back()
        self.sent = None

    def _fail(self, error: BaseException, usages: Sequence[Usage]) -> None:
        if self.sent is None:
            return
        if _may_pass(error):
            self.ledger.limiter.failed(self.wave, getattr(error, "retry_after", None))
        else:  # the provider is up, but refuses this call
            self.ledger.limiter.answered()
        was_answered = isinstance(error, dspy.LMProviderError) or _is_garbled(error)
        lost = not was_answered or isinstance(error, dspy.LMTimeoutError)
        self.ledger.book(self.sent, usages, answered=False, lost=lost)


def _may_pass(error: BaseException) -> bool:
    """Return whether another try may help."""
    return isinstance(error, Exception) and (
        dspy.is_retryable_lm_error(error) or _is_garbled(error)
    )


def _is_garbled(error: BaseException) -> bool:
    """Return whether the answer was unreadable: cut JSON, a page of HTML, a redirect, odd usage.

    DSPy has no class for it: an error in its reader of replies is an `LMUnexpectedError`.
    """
    if type(error) is dspy.LMProviderError:
        status = getattr(error, "status", None)
        return status is not None and status < _FIRST_ERROR_STATUS
    if type(error) is not dspy.LMUnexpectedError or error.__cause__ is None:
        return False
    return fails_in_reader(error.__cause__)


def reading_message(dspys: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse an answer without a message ({"status": "queued"}), which DSPy reads as no text."""

    @wraps(dspys)
    def read(provider: str, data: Any, **options: Any) -> Any:
        choices = data.get("choices") if isinstance(data, Mapping) else None
        choices = choices if isinstance(choices, list) else []
        reply = dspys(provider, data, **options)  # first, as it raises the provider's own errors
        if not any(isinstance(choice.get("message"), Mapping) for choice in choices):
            raise TypeError("an answer without a message")
        return reply

    return read


def reading_usage(dspys: Callable[..., Any]) -> Callable[..., Any]:
    """Treat an invalid usage as an unknown one, so that the reply is not lost."""

    @wraps(dspys)
    def read(usage: Any) -> Any:
        try:
            return dspys(usage)
        except (AttributeError, TypeError, ValueError):
            return dspys({})

    return read


_UNDER_WAY: ContextVar[Attempt | None] = ContextVar("under_way", default=None)


def is_under_way(lm: dspy.BaseLM) -> bool:
    """Return whether this call is part of an attempt of the same LM."""
    outer = _UNDER_WAY.get()
    return outer is not None and outer.lm is lm


async def pause(ledger: Ledger) -> None:
    """Wait a moment, unless the run is to stop."""
    ledger.stop_signal.check()
    await asyncio.sleep(_ASYNC_POLL)


def _withdraw_outer() -> None:
    """Withdraw the attempt during which another LM is called: it sends through that LM."""
    if (outer := _UNDER_WAY.get()) is not None:
        outer.withdraw()


def send_with_retries(
    prepare: Callable[[], Attempt],
    send: Callable[[Attempt], Any],
    exchange: Exchange | None = None,
) -> Any:
    """Send an attempt when it may be sent, and retry where that can help.

    Args:
        prepare: Makes an attempt.
        send: Sends it.
        exchange: DSPy's own attempt, if there is one.
    """
    for attempts in count(1):
        ours = prepare()
        ours.depart()
        try:
            return send(ours)
        except dspy.LMError as error:
            if _is_final(ours, error, attempts, exchange):
                raise
    raise AssertionError("the last attempt returns or raises")


async def send_with_retries_async(
    prepare: Callable[[], Attempt],
    send: Callable[[Attempt], Awaitable[Any]],
    exchange: Exchange | None = None,
) -> Any:
    """Do the same without blocking the event loop."""
    for attempts in count(1):
        ours = prepare()
        await ours.adepart()
        try:
            return await send(ours)
        except dspy.LMError as error:
            if _is_final(ours, error, attempts, exchange):
                raise
    raise AssertionError("the last attempt returns or raises")


def _is_final(
    attempt: Attempt, error: dspy.LMError, attempts: int, exchange: Exchange | None
) -> bool:
    """Return whether a call failed for good; if so, DSPy's own retries are ended too."""
    if exchange is None:
        return not attempt.tries_again(error, attempts)
    if exchange.may_be_repeated and attempt.tries_again(error, attempts):
        return False
    exchange.end_retries()
    return True
