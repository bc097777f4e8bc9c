"""What a run pays: calls, tokens and cost by role and criteria, and the cap on calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, TypeAlias

import dspy
import tenacity
from dspy.utils.usage_tracker import UsageTracker

from mogradjudge.criteria import Group
from mogradjudge.errors import BudgetExhausted, SetupError
from mogradjudge.predictor import ScorePredict
from mogradjudge.prices import price

ROLES = ("judge", "critic", "coach", "editor")
_LONGEST_WAIT = 60.0  # seconds between two attempts, as in DSPy
_ASYNC_POLL = 0.005  # seconds


@dataclass(frozen=True)
class LedgerRow:
    """What one role spent on one group of criteria.

    ``calls`` were answered and paid for; ``cached`` were answered by DSPy's cache; ``failed`` were
    sent and ended in an error. ``cost`` is in US dollars, None where a price is unknown.
    """

    role: str
    criteria: Group
    calls: int
    cached: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def as_dict(self) -> dict[str, Any]:
        """Give the row as `result.json` holds it."""
        return {**asdict(self), "criteria": list(self.criteria)}


@dataclass
class _Account:
    calls: int = 0
    cached: int = 0
    failed: int = 0
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)  # by model: prompt, completion
    unreported: bool = False  # a paid call told no tokens

    def add_tokens(self, model: str, usage: dict[str, Any]) -> None:
        self.unreported |= not usage.get("prompt_tokens")
        prompt, completion = self.tokens.get(model, (0, 0))
        self.tokens[model] = (
            prompt + int(usage.get("prompt_tokens") or 0),
            completion + int(usage.get("completion_tokens") or 0),
        )

    def cost(self) -> float | None:
        if self.unreported:
            return None
        total = 0.0
        for model, (prompt, completion) in self.tokens.items():
            if (known := price(model)) is None:
                return None
            total += known.of(prompt, completion)
        return total


_Key: TypeAlias = tuple[str, Group]


class Ledger:
    """Books every LM call of a run; thread safe.

    Args:
        max_calls: The most calls that may be sent, counting those in flight and those that fail.
            A reply from the cache is not counted. None sets no cap.
        max_in_flight: The most calls that may wait for an answer at one time.
    """

    def __init__(self, max_calls: int | None = None, max_in_flight: int = 8) -> None:
        self.max_calls = max_calls
        self.slots = threading.Semaphore(max_in_flight)
        self._lock = threading.Condition()
        self._accounts: dict[_Key, _Account] = {}
        self._sent = 0
        self._in_flight = 0

    def meter(self, lm: dspy.BaseLM, role: str, criteria: Group) -> dspy.BaseLM:
        """Give a copy of ``lm`` whose calls are booked here and held to the cap.

        The copy shares connections and weights with ``lm``. It owns the retries, ``lm.num_retries``
        of them, so that each attempt is counted.
        """
        if (lm.kwargs.get("n") or 1) != 1:
            raise SetupError(
                f"An LM must give one reply per call, got n={lm.kwargs['n']} on {lm.model!r}; its "
                "further replies would be paid for and not counted."
            )
        twin = lm.copy(num_retries=0)
        twin.__class__ = _metered_class(lm.__class__)
        twin.booking = _Booking(self, role, criteria, lm.model, getattr(lm, "num_retries", 0))
        return twin

    def meter_program(self, program: dspy.Module, criteria: Group) -> dspy.Module:
        """Pin a metered LM on every predictor of a program; a judge's are booked apart.

        Args:
            program: A copy of the user's program.
            criteria: What a predictor is booked under that is about no criteria of its own.
        """
        for _, predictor in program.named_predictors():
            own = predictor.criteria if isinstance(predictor, ScorePredict) else criteria
            predictor.lm = self.meter(predictor.lm or dspy.settings.lm, "judge", own)
        return program

    def metered_default(self, criteria: Group) -> Any:
        """Give a context in which calls past the predictors, to the default LM, are booked too."""
        lm = dspy.settings.lm
        return dspy.context(lm=lm if lm is None else self.meter(lm, "judge", criteria))

    @property
    def calls(self) -> int:
        """Calls sent so far, answered or failed, without those from the cache."""
        with self._lock:
            return self._sent

    @property
    def rows(self) -> tuple[LedgerRow, ...]:
        """The spending, in the order of the roles and then of the criteria's names."""
        with self._lock:
            keys = sorted(self._accounts, key=lambda key: (ROLES.index(key[0]), key[1]))
            return tuple(_row(key, self._accounts[key]) for key in keys)

    def reserve(self, *, wait: bool = True) -> None:
        """Take one call from the budget.

        At the cap, it waits for the calls in flight: the cache may answer one of them, and that
        one gives its place back. So a run does not end earlier for having more threads.

        Raises:
            BudgetExhausted: If the cap is reached.
        """
        with self._lock:
            while self.max_calls is not None and self._sent >= self.max_calls:
                if not wait or not self._in_flight:
                    raise BudgetExhausted(
                        f"The cap of max_calls={self.max_calls} calls is reached."
                    )
                self._lock.wait()
            self._sent += 1
            self._in_flight += 1

    def book(self, role: str, criteria: Group, model: str, usages: list[dict[str, Any]]) -> None:
        """Enter one answered call; without usages, one that the cache answered."""
        with self._landed():
            account = self._accounts.setdefault((role, criteria), _Account())
            if usages:
                account.calls += 1
            else:
                account.cached += 1
                self._sent -= 1
            for usage in usages:
                account.add_tokens(model, usage)

    def book_failure(self, role: str, criteria: Group) -> None:
        """Enter one call that ended in an error."""
        with self._landed():
            self._accounts.setdefault((role, criteria), _Account()).failed += 1

    @contextmanager
    def _landed(self) -> Iterator[None]:
        with self._lock:
            self._in_flight -= 1
            self._lock.notify_all()
            yield


def _row(key: _Key, account: _Account) -> LedgerRow:
    role, criteria = key
    return LedgerRow(
        role=role,
        criteria=criteria,
        calls=account.calls,
        cached=account.cached,
        failed=account.failed,
        prompt_tokens=sum(prompt for prompt, _ in account.tokens.values()),
        completion_tokens=sum(completion for _, completion in account.tokens.values()),
        cost=account.cost(),
    )


class _CallUsage(UsageTracker):  # type: ignore[misc]  # dspy is untyped
    """Collects one call's usage; unlike its base it keeps an empty report, which was paid for."""

    def __init__(self) -> None:
        super().__init__()
        self.usages: list[dict[str, Any]] = []

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        self.usages.append(dict(usage_entry))


@dataclass(frozen=True)
class _Booking:
    ledger: Ledger
    role: str
    criteria: Group
    model: str
    num_retries: int

    def attempts(self) -> dict[str, Any]:
        return {
            "retry": tenacity.retry_if_exception(dspy.is_retryable_lm_error),
            "stop": tenacity.stop_after_attempt(self.num_retries + 1),
            "wait": _wait,
            "reraise": True,
        }

    @contextmanager
    def one_call(self, *, wait: bool = True) -> Iterator[None]:
        self.ledger.reserve(wait=wait)
        outer, usage = dspy.settings.usage_tracker, _CallUsage()
        try:
            with dspy.context(usage_tracker=usage, disable_history=True):
                yield
        except BaseException:  # an interrupted call was sent, too
            self.ledger.book_failure(self.role, self.criteria)
            raise
        self.ledger.book(self.role, self.criteria, self.model, usage.usages)
        if outer is not None:
            for entry in usage.usages:
                outer.add_usage(self.model, entry)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    hint = getattr(error, "retry_after", None)
    seconds = 2.0 ** (state.attempt_number - 1) if hint is None else float(hint)
    return min(seconds, _LONGEST_WAIT)


class _Metered:
    """Puts the booking around an LM's calls; DSPy has no other door that can refuse one."""

    booking: _Booking

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        for attempt in tenacity.Retrying(**self.booking.attempts()):
            with attempt, self.booking.ledger.slots, self.booking.one_call():
                return super().__call__(prompt, messages=messages, **kwargs)  # type: ignore[misc]
        raise AssertionError("tenacity returns or raises")

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        slots = self.booking.ledger.slots
        async for attempt in tenacity.AsyncRetrying(**self.booking.attempts()):
            with attempt:
                # Neither the loop nor its threads may be held: the calls in flight need both.
                while not slots.acquire(blocking=False):
                    await asyncio.sleep(_ASYNC_POLL)
                try:
                    with self.booking.one_call(wait=False):
                        return await super().acall(prompt, messages=messages, **kwargs)  # type: ignore[misc]
                finally:
                    slots.release()
        raise AssertionError("tenacity returns or raises")


@cache
def _metered_class(kind: Any) -> type:
    return type(f"Metered{kind.__name__}", (_Metered, kind), {"__module__": __name__})
