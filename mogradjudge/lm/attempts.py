"""One attempt of an LM call: it departs when it may, and whatever becomes of it is booked."""

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

RETRIES = 9  # failures in a row that are borne; at one more the provider counts as down
_DSPY_RETRIES = 3  # DSPy's default; a run has thousands of calls, and 3 failures in a row befall it
_MOST_ATTEMPTS = 30  # of one call, while others are answered
_ASYNC_POLL = 0.005  # seconds
_FIRST_ERROR_STATUS = 400  # of HTTP

Usages: TypeAlias = Callable[[], Sequence[Usage]]
"""Gives the tokens that an attempt's provider reported, one entry per reply."""


@dataclass(frozen=True)
class Booking:
    """Whom the calls of a context are booked for.

    A module with `ledger_criteria`, as a judge's predictor, has its calls booked for these.
    """

    ledger: Ledger
    role: str
    criteria: tuple[str, ...]

    def purpose(self, lm: dspy.BaseLM) -> Purpose:
        """Say what a call of an LM is for, by the module that calls it."""
        caller = next(reversed(calling_modules()), None)
        criteria = getattr(caller, "ledger_criteria", self.criteria)
        return Purpose(self.role, criteria, lm.model)

    def attempt(
        self, lm: dspy.BaseLM, sent: object, options: Mapping[str, Any], replies: int = 1
    ) -> Attempt:
        """Weigh an attempt that is about to be made.

        Args:
            lm: The model.
            sent: All that is sent.
            options: The call's settings.
            replies: How many replies it asks for.
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
        """Wait until it may be sent, and take a place and a part of the budget."""
        _withdraw_outer()
        self.wave = self.ledger.limiter.take()
        try:
            self.sent = self.ledger.depart(self.purpose, self.weight)
        except BaseException:
            self.ledger.limiter.give_back()
            raise

    async def adepart(self) -> None:
        """Do the same without holding the loop or its threads: the calls in flight need both."""
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
        """Book whatever becomes of it in the block."""
        token = _UNDER_WAY.set(self)
        try:
            yield
        except BaseException as error:  # an interrupted call was sent, too
            self._fail(error, usages())
            raise
        finally:
            _UNDER_WAY.reset(token)
        if self.sent is not None:
            self.ledger.limiter.answered()
            self.ledger.book(self.sent, usages(), answered=True, lost=False)

    def tries_again(self, error: dspy.LMError, attempts: int) -> bool:
        """Say whether another attempt may help after so many."""
        own = getattr(self.lm, "num_retries", 0)
        retries = RETRIES if own == _DSPY_RETRIES else own
        if self.sent is None or not retries or not _may_pass(error):
            return False
        if resource_error(error):
            return False
        if self.ledger.limiter.is_down(retries):
            redact_error(error, frozenset(secrets_of(self.lm.kwargs)))
            self.ledger.stop_signal.fail(error)  # or each call that waits would try once more
            return False
        return attempts < _MOST_ATTEMPTS

    def withdraw(self) -> None:
        """Give everything back: nothing was sent in its own name."""
        if self.sent is not None and self.ledger.withdraw(self.sent):
            self.ledger.limiter.give_back()
        self.sent = None

    def _fail(self, error: BaseException, usages: Sequence[Usage]) -> None:
        if self.sent is None:
            return
        if _may_pass(error):
            self.ledger.limiter.failed(self.wave, getattr(error, "retry_after", None))
        else:  # the provider is there, and this call is none for it
            self.ledger.limiter.answered()
        was_answered = isinstance(error, dspy.LMProviderError) or _is_garbled(error)
        lost = not was_answered or isinstance(error, dspy.LMTimeoutError)
        self.ledger.book(self.sent, usages, answered=False, lost=lost)


def _may_pass(error: BaseException) -> bool:
    """Say whether another try may help."""
    return isinstance(error, Exception) and (
        dspy.is_retryable_lm_error(error) or _is_garbled(error)
    )


def _is_garbled(error: BaseException) -> bool:
    """Say whether an answer came that is none: cut JSON, a page of HTML, a redirect, odd usage.

    DSPy has no class of its own for it. What its reader of replies fails on is unexpected to it.
    """
    if type(error) is dspy.LMProviderError:
        status = getattr(error, "status", None)
        return status is not None and status < _FIRST_ERROR_STATUS
    if type(error) is not dspy.LMUnexpectedError or error.__cause__ is None:
        return False
    return fails_in_reader(error.__cause__)


def reading_message(dspys: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse an answer without a message, as {"status": "queued"}; to DSPy it is an empty text."""

    @wraps(dspys)
    def read(provider: str, data: Any, **options: Any) -> Any:
        choices = data.get("choices") if isinstance(data, Mapping) else None
        choices = choices if isinstance(choices, list) else []
        reply = dspys(provider, data, **options)  # it knows what a provider says of its errors
        if not any(isinstance(choice.get("message"), Mapping) for choice in choices):
            raise TypeError("an answer without a message")
        return reply

    return read


def reading_usage(dspys: Callable[..., Any]) -> Callable[..., Any]:
    """Take a usage that is none for one that is not known: the reply is as good."""

    @wraps(dspys)
    def read(usage: Any) -> Any:
        try:
            return dspys(usage)
        except (AttributeError, TypeError, ValueError):
            return dspys({})

    return read


_UNDER_WAY: ContextVar[Attempt | None] = ContextVar("under_way", default=None)


def is_under_way(lm: dspy.BaseLM) -> bool:
    """Say whether this is part of an attempt of the same LM."""
    outer = _UNDER_WAY.get()
    return outer is not None and outer.lm is lm


async def pause(ledger: Ledger) -> None:
    """Wait a moment before looking again, unless the run is to stop."""
    ledger.stop_signal.check()
    await asyncio.sleep(_ASYNC_POLL)


def _withdraw_outer() -> None:
    """Withdraw the attempt in whose midst another LM is called: it sends through that one."""
    if (outer := _UNDER_WAY.get()) is not None:
        outer.withdraw()


def sent(
    weighed: Callable[[], Attempt],
    send: Callable[[Attempt], Any],
    exchange: Exchange | None = None,
) -> Any:
    """Send an attempt when it may be sent, and another where that can help.

    Args:
        weighed: Gives an attempt.
        send: Sends it.
        exchange: DSPy's own attempt, if it makes one.
    """
    for attempts in count(1):
        ours = weighed()
        ours.depart()
        try:
            return send(ours)
        except dspy.LMError as error:
            if _is_final(ours, error, attempts, exchange):
                raise
    raise AssertionError("the last attempt returns or raises")


async def sent_async(
    weighed: Callable[[], Attempt],
    send: Callable[[Attempt], Awaitable[Any]],
    exchange: Exchange | None = None,
) -> Any:
    """Do the same without holding the loop."""
    for attempts in count(1):
        ours = weighed()
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
    """Say whether a call failed for good, and keep DSPy's own retries from coming on top."""
    if exchange is None:
        return not attempt.tries_again(error, attempts)
    if exchange.may_be_repeated and attempt.tries_again(error, attempts):
        return False
    exchange.end_retries()
    return True
