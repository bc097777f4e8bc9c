"""LMs whose every attempt is limited, retried and booked; a cached reply is none."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import dspy
from dspy.utils.usage_tracker import UsageTracker

from mogradjudge.budget import Spent, largest
from mogradjudge.candidate import change_lms
from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.ledger import Ledger, Purpose, Sent
from mogradjudge.predictor import ScorePredict
from mogradjudge.programs import errors_noted
from mogradjudge.replies import InFlight, Missed, told_of_a_miss
from mogradjudge.secrets import redact_error, secrets_of

RETRIES = 9  # failures in a row that are borne; at one more the provider counts as down
_DSPY_RETRIES = 3  # DSPy's default; a run has thousands of calls, and 3 failures in a row befall it
_MOST_ATTEMPTS = 30  # of one call, while others are answered
_ASYNC_POLL = 0.005  # seconds


def meter(lm: dspy.BaseLM, ledger: Ledger, role: str, criteria: Group) -> dspy.BaseLM:
    """Give a copy of an LM whose calls are booked in a ledger and held to its limits.

    The copy shares connections and weights with ``lm``. It owns the retries, so that each attempt
    is counted: a call is tried again until more than `RETRIES` failures of the whole run came in a
    row (calls in flight together fail as one), or more than ``lm.num_retries`` if that was set to
    another value than DSPy's default.

    Raises:
        SetupError: If the LM gives several replies per call, or the budget cannot hold it.
    """
    _check_one_reply(lm, lm.kwargs)
    ledger.budget.check(lm)
    own = getattr(lm, "num_retries", 0)
    twin = lm.copy(num_retries=0)
    twin.__class__ = _metered_class(lm.__class__)
    twin.meter = _Meter(
        ledger=ledger,
        purpose=Purpose(role, criteria, lm.model),
        retries=RETRIES if own == _DSPY_RETRIES else own,
        asks_cache=asks_cache(lm),
        secrets=frozenset(secrets_of(lm.kwargs)),
    )
    return twin


def meter_program(program: dspy.Module, ledger: Ledger, criteria: Group) -> dspy.Module:
    """Put a metered LM in the place of each that a program holds; a judge's are booked apart.

    A predictor of a judge gets the default LM, if it has none. Any other is left without one: it
    speaks with the LM of the context (`metered_settings`), which the program may choose itself.

    Args:
        program: A copy of the user's program (`clone`); it is changed.
        ledger: Books the calls.
        criteria: What a predictor is booked under that is about no criteria of its own.
    """

    def metered(lm: dspy.BaseLM) -> dspy.BaseLM:
        return lm if isinstance(lm, _Metered) else meter(lm, ledger, "judge", criteria)

    for _, module in list(program.named_sub_modules()):
        if isinstance(module, ScorePredict):
            module.lm = meter(module.lm or dspy.settings.lm, ledger, "judge", module.criteria)
        else:
            change_lms(module, metered)
    return program


def metered_settings(ledger: Ledger, criteria: Group) -> dict[str, Any]:
    """Give the settings under which calls to the default LM are booked too, and an adapter's own.

    They are meant for `dspy.context`.
    """
    lm = dspy.settings.lm
    return {
        "lm": None if lm is None else meter(lm, ledger, "judge", criteria),
        "adapter": _metered_adapter(dspy.settings.adapter, ledger, "judge", criteria),
    }


def adapter_beside(lm: dspy.BaseLM) -> dspy.Adapter | None:
    """Give the context's adapter, its own calls booked as those of a metered LM are."""
    if not isinstance(lm, _Metered):
        return dspy.settings.adapter
    purpose = lm.meter.purpose
    return _metered_adapter(dspy.settings.adapter, lm.meter.ledger, purpose.role, purpose.criteria)


class _CallUsage(UsageTracker):  # type: ignore[misc]  # dspy is untyped
    """Collects one call's usage; unlike its base it keeps an empty report, which was paid for."""

    def __init__(self) -> None:
        super().__init__()
        self.usages: list[dict[str, Any]] = []

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        self.usages.append(dict(usage_entry))


@dataclass(frozen=True)
class _Meter:
    ledger: Ledger
    purpose: Purpose
    retries: int
    asks_cache: bool
    secrets: frozenset[str]

    def attempt(self, lm: dspy.BaseLM, sent: object, kwargs: dict[str, Any]) -> _Attempt:
        _check_one_reply(lm, kwargs)
        limit = kwargs.get("max_tokens") or kwargs.get("max_completion_tokens")
        weighs = self.ledger.budget.weighs_calls
        weight = largest(lm, [sent, lm.kwargs, kwargs], limit) if weighs else Spent(calls=1)
        return _Attempt(self.ledger, self.purpose, weight)

    def tries_again(self, error: dspy.LMError, attempts: int) -> bool:
        redact_error(error, self.secrets)  # it may repeat what it was sent
        if not self.retries or not dspy.is_retryable_lm_error(error):
            return False
        if self.ledger.limiter.is_down(self.retries):
            self.ledger.brake.fail(error)  # or each call that waits would try once more
            return False
        return attempts < _MOST_ATTEMPTS


@dataclass
class _Attempt:
    """One attempt of a call; it departs when the cache turns out not to have the reply."""

    ledger: Ledger
    purpose: Purpose
    weight: Spent
    usage: _CallUsage = field(default_factory=_CallUsage)
    sent: Sent | None = None
    wave: int = 0

    def depart(self) -> None:
        if self.sent is not None:
            return
        self.wave = self.ledger.limiter.take()
        try:
            self.sent = self.ledger.depart(self.purpose, self.weight)
        except BaseException:
            self.ledger.limiter.give_back()
            raise

    async def adepart(self) -> None:
        # Neither the loop nor its threads may be held: the calls in flight need both.
        while (wave := self.ledger.limiter.take_now()) is None:
            self.ledger.brake.check()
            await asyncio.sleep(_ASYNC_POLL)
        try:
            while (sent := self.ledger.depart_now(self.purpose, self.weight)) is None:
                self.ledger.brake.check()
                await asyncio.sleep(_ASYNC_POLL)
        except BaseException:
            self.ledger.limiter.give_back()
            raise
        self.wave, self.sent = wave, sent

    def miss(self) -> None:
        """Tell a call under asyncio that it has to wait for its turn, where it holds nobody up."""
        if self.sent is None:
            raise Missed

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Book whatever becomes of the attempt in the block."""
        outer = dspy.settings.usage_tracker
        try:
            with dspy.context(usage_tracker=self.usage, disable_history=True):
                yield
        except BaseException as error:  # an interrupted call was sent, too
            self._fail(error)
            raise
        self._land()
        for entry in self.usage.usages if outer is not None else ():
            outer.add_usage(self.purpose.model, entry)

    def _land(self) -> None:
        if self.sent is not None:
            self.ledger.limiter.answered()
        elif self.usage.usages:  # somebody replaced the cache just then, and nobody was told
            self.sent = self.ledger.enter(self.purpose, self.weight)
        else:
            self.ledger.book_cached(self.purpose)
            return
        self.ledger.book(self.sent, self.usage.usages, answered=True, lost=False)

    def _fail(self, error: BaseException) -> None:
        if self.sent is None:
            return
        if isinstance(error, Exception) and dspy.is_retryable_lm_error(error):
            self.ledger.limiter.failed(self.wave, getattr(error, "retry_after", None))
        else:  # the provider is there, and this call is none for it
            self.ledger.limiter.answered()
        refused = isinstance(error, dspy.LMProviderError) and not isinstance(
            error, dspy.LMTimeoutError
        )
        self.ledger.book(self.sent, self.usage.usages, answered=False, lost=not refused)


class _Metered:
    """Puts the meter around an LM's calls; DSPy has no other door that can refuse one."""

    meter: _Meter

    @errors_noted()
    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        for attempts in range(1, _MOST_ATTEMPTS + 1):
            attempt = self.meter.attempt(self, messages or prompt, kwargs)
            try:
                with attempt.under_way():
                    if not self.meter.asks_cache or not kwargs.get("cache", True):
                        attempt.depart()
                    with told_of_a_miss(attempt.depart, self.meter.ledger.brake.check):
                        return super().__call__(prompt, messages=messages, **kwargs)  # type: ignore[misc]
            except dspy.LMError as error:
                if not self.meter.tries_again(error, attempts):
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        with errors_noted():
            return await self._tried(prompt, messages, kwargs)

    async def _tried(self, prompt: Any, messages: Any, kwargs: dict[str, Any]) -> Any:
        for attempts in range(1, _MOST_ATTEMPTS + 1):
            attempt = self.meter.attempt(self, messages or prompt, kwargs)
            try:
                with attempt.under_way():
                    if not self.meter.asks_cache or not kwargs.get("cache", True):
                        await attempt.adepart()
                    return await self._acall(attempt, prompt, messages, kwargs)
            except dspy.LMError as error:
                if not self.meter.tries_again(error, attempts):
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _acall(
        self, attempt: _Attempt, prompt: Any, messages: Any, kwargs: dict[str, Any]
    ) -> Any:
        while True:
            try:
                with told_of_a_miss(attempt.miss, None):
                    try:
                        return await super().acall(prompt, messages=messages, **kwargs)  # type: ignore[misc]
                    except Missed:  # from here on, equal calls wait for the reply to this one
                        await attempt.adepart()
                    return await super().acall(prompt, messages=messages, **kwargs)  # type: ignore[misc]
            except InFlight:
                attempt.ledger.brake.check()
                await asyncio.sleep(_ASYNC_POLL)


def _check_one_reply(lm: dspy.BaseLM, settings: Mapping[str, Any]) -> None:
    if (settings.get("n") or 1) != 1:
        raise SetupError(
            f"An LM must give one reply per call, got n={settings['n']} on {lm.model!r}; its "
            "further replies would be paid for and not counted."
        )


def _metered_adapter(
    adapter: dspy.Adapter | None, ledger: Ledger, role: str, criteria: Group
) -> dspy.Adapter | None:
    if not isinstance(adapter, dspy.TwoStepAdapter):  # the only one with an LM of its own
        return adapter
    booked = copy.copy(adapter)
    booked.extraction_model = meter(adapter.extraction_model, ledger, role, criteria)
    return booked


def asks_cache(lm: dspy.BaseLM) -> bool:
    """Say whether DSPy looks into its cache before it sends a call of this LM."""
    own_way = type(lm).forward is not getattr(dspy.LM, "forward", None) or "forward" in vars(lm)
    return isinstance(lm, dspy.LM) and not own_way and bool(lm.cache)


@cache
def _metered_class(kind: Any) -> type:
    return type(f"Metered{kind.__name__}", (_Metered, kind), {"__module__": __name__})
