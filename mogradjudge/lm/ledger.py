"""Counts a run's calls, tokens and cost by role and criteria; enforces its budget."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from mogradjudge.errors import BudgetExhausted, SetupError
from mogradjudge.files import DELETE_LINE, LineLog, decoded
from mogradjudge.lm.budget import Budget, Purse, Spent
from mogradjudge.lm.pricing import price
from mogradjudge.lm.rate_limiter import Limiter
from mogradjudge.lm.stop import POLL, StopSignal

ROLES = ("judge", "critic", "coach", "editor")

Usage: TypeAlias = Mapping[str, Any]
_Count: TypeAlias = Annotated[int, Field(ge=0)]
_Positive: TypeAlias = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class LedgerRow:
    """What one role spent on one group of criteria.

    ``calls`` were answered and paid for; ``cached`` were answered by DSPy's cache; ``failed`` were
    sent and ended in an error. ``cost`` is in US dollars, None where a price is unknown.

    >>> rows = [LedgerRow("judge", ("tone",), 2, 0, 0, 300, 20, 0.25)]
    >>> totals(rows)
    (320, 0.25)
    """

    role: str
    criteria: tuple[str, ...]
    calls: int
    cached: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as `result.json` holds it."""
        return {**asdict(self), "criteria": list(self.criteria)}


def totals(rows: Iterable[LedgerRow]) -> tuple[int, float | None]:
    """Sum up the tokens and US dollars of rows; the latter are None where a price is unknown."""
    tokens, cost = 0, 0.0
    unpriced = False
    for row in rows:
        tokens += row.prompt_tokens + row.completion_tokens
        cost += row.cost or 0.0
        unpriced |= row.cost is None
    return tokens, None if unpriced else cost


@dataclass
class _Account:
    calls: int = 0
    cached: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    unpriced: bool = False  # a paid call reported no tokens, or a call's model has no price


@dataclass(frozen=True)
class Purpose:
    """What a call is for: its role and criteria, and the model that it is sent to."""

    role: str
    criteria: tuple[str, ...]
    model: str


@dataclass(frozen=True)
class Sent:
    """A call in flight: its number, and the most that it can spend."""

    number: int
    purpose: Purpose
    weight: Spent


# The lines of the journal. Their counts are not negative: a stranger's file frees no budget.


@dataclass(frozen=True)
class _Weight:
    calls: _Positive
    tokens: _Count
    cost: Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class _Departure(Purpose):
    sent: _Positive
    weight: _Weight


@dataclass(frozen=True)
class _Landing:
    landed: int
    answered: bool
    unknown: bool
    cached: bool = False
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


@dataclass(frozen=True)
class _Withdrawal:
    landed: int
    withdrawn: Literal[True]


class Ledger:
    """Books every attempt of a run's LM calls and enforces its budget; thread safe.

    Args:
        budget: The caps; None for no caps.
        max_in_flight: The most calls that may wait for an answer at one time.
        max_rpm: The most calls to send in any 60 seconds; None for no limit.
        stop_file: A file whose appearance stops the run.
        purse: What this run spends together with others; each call is taken from it too.

    >>> ledger = Ledger(Budget(max_calls=1))
    >>> call = ledger.depart(Purpose("judge", ("tone",), "openai/gpt-4o-mini"), Spent(calls=1))
    >>> tokens = {"prompt_tokens": 300, "completion_tokens": 20}
    >>> ledger.book(call, [tokens], answered=True, lost=False)
    >>> ledger.calls, ledger.rows[0].prompt_tokens
    (1, 300)
    """

    def __init__(
        self,
        budget: Budget | None = None,
        max_in_flight: int = 8,
        max_rpm: int | None = None,
        stop_file: Path | None = None,
        purse: Purse | None = None,
    ) -> None:
        if not isinstance(budget, Budget | None):
            raise SetupError(f"`budget` must be a Budget(...), got {budget!r}.")
        self.budget = budget or Budget()
        self.purse = purse
        self.reserve: Spent | None = None
        self.stop_signal = StopSignal(self.budget.max_seconds, stop_file)
        self.limiter = Limiter(max_in_flight, max_rpm, self.stop_signal)
        self._journal: LineLog | None = None
        self._lock = threading.Condition()
        self._accounts: dict[tuple[str, tuple[str, ...]], _Account] = {}
        self._numbers = count(1)
        self._spent = Spent()
        self._under_way: dict[int, Sent] = {}

    @property
    def calls(self) -> int:
        """Calls sent so far, answered or failed, without those from the cache."""
        with self._lock:
            return self._spent.calls + len(self._under_way)

    @property
    def rows(self) -> tuple[LedgerRow, ...]:
        """The spending, ordered by role and then by the criteria's names."""
        with self._lock:
            keys = sorted(self._accounts, key=_order)
            return tuple(_row(*key, self._accounts[key]) for key in keys)

    def set_aside(self, reserve: Spent | None, first: Spent = Spent()) -> None:  # noqa: B008
        """Keep a reserve for later: until it is released, the caps are lower by it.

        Args:
            reserve: What is kept; None releases it. It is not kept if the caps leave less than it
                for the calls between. Only the caps count for this, and not what was spent, so that
                a run that is resumed decides alike.
            first: What comes before those calls.
        """
        with self._lock:
            fits = reserve and (first + reserve + reserve).passes(self.budget) is None
            self.reserve = reserve if fits else None

    def depart(self, purpose: Purpose, weight: Spent) -> Sent:
        """Reserve a call in the budget, just before it is sent.

        At a cap it waits for the calls in flight: they may spend less than was reserved. So a run
        with more threads does not end earlier.

        Args:
            purpose: What it is for.
            weight: The most that it can spend.

        Raises:
            BudgetExhausted: If a cap would be passed.
            RunStopped: If the run was asked to stop.
        """
        while (sent := self.depart_now(purpose, weight)) is None:
            self.stop_signal.check()
            with self._lock:
                self._lock.wait(POLL)
        return sent

    def depart_now(self, purpose: Purpose, weight: Spent) -> Sent | None:
        """Reserve a call as `depart` does; None where that would wait."""
        with self._lock:
            wanted = self._with(weight + (self.reserve or Spent()))
            cap = wanted.passes(self.budget) if self.budget.caps_calls else None
            if cap is None and (self.purse is None or self.purse.take(weight)):
                return self._enter_sent(purpose, weight)
            if not self._under_way:
                of = "all runs together" if cap is None else self.budget.named(cap)
                raise BudgetExhausted(f"The cap of {of} is reached.", cap)
            return None

    def withdraw(self, sent: Sent) -> bool:
        """Cancel a call that was not sent after all; False if it has ended."""
        with self._lock:
            if self._under_way.pop(sent.number, None) is None:
                return False
            self._lock.notify_all()
            self._write({"landed": sent.number, "withdrawn": True})
        if self.purse is not None:
            self.purse.settle(sent.weight, Spent())
        return True

    def book(self, sent: Sent, usages: Sequence[Usage], *, answered: bool, lost: bool) -> None:
        """Book how a call ended.

        Args:
            sent: The call.
            usages: The tokens that the provider reported, one entry per reply; no entry if the
                cache had the reply after all.
            answered: Whether a reply came.
            lost: Whether it may be billed though no reply came: it then counts at its largest.
        """
        tokens = [
            (_tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens"))
            for usage in usages
        ]
        is_counted = any(prompt for prompt, _ in tokens)
        landing = _Landing(
            landed=sent.number,
            answered=answered,
            unknown=(answered and bool(usages) and not is_counted) or lost,
            cached=answered and not usages,
            prompt_tokens=sum(prompt for prompt, _ in tokens),
            completion_tokens=sum(completion for _, completion in tokens),
        )
        with self._lock:
            # Booked before it is written, so that a full disk blocks no waiting call.
            spent = self._enter(self._under_way.pop(sent.number), landing)
            self._lock.notify_all()
        if self.purse is not None:
            self.purse.settle(sent.weight, spent)
        with self._lock:
            self._write(asdict(landing))

    def book_cached(self, purpose: Purpose) -> None:
        """Book a call that the cache answered."""
        with self._lock:
            self._write({"from_cache": True, **asdict(purpose)})
            self._account(purpose).cached += 1

    @contextmanager
    def kept_in(self, journal: LineLog) -> Iterator[None]:
        """Write each call to a journal while the block runs, after booking what it holds already.

        A call that was in flight when the journal broke off counts as failed, and at its largest.
        """
        with self._lock:
            self._restore(journal)
            self._journal = journal
        try:
            yield
        finally:
            with self._lock:
                self._journal = None
            journal.close()

    def _enter_sent(self, purpose: Purpose, weight: Spent) -> Sent:
        sent = Sent(next(self._numbers), purpose, weight)
        self._write({"sent": sent.number, **asdict(purpose), "weight": asdict(weight)})
        self._under_way[sent.number] = sent
        return sent

    def _with(self, weight: Spent) -> Spent:
        return sum((sent.weight for sent in self._under_way.values()), self._spent + weight)

    def _restore(self, journal: LineLog) -> None:
        open_ends: dict[int, Sent] = {}
        for number, entry in enumerate(journal.entries(), start=1):
            try:
                self._again(entry, open_ends)
            except ValueError as error:
                raise SetupError(
                    f"Line {number} of {journal.path} is damaged ({error}). {DELETE_LINE}"
                ) from error
        for sent in open_ends.values():
            self._enter(sent, _Landing(sent.number, answered=False, unknown=True))

    def _again(self, entry: Mapping[str, Any], open_ends: dict[int, Sent]) -> None:
        """Book a line of a journal; a call that was sent waits for the line of its end."""
        if "withdrawn" in entry:
            _sent(open_ends, decoded(_Withdrawal, entry).landed)
        elif "landed" in entry:
            landing = decoded(_Landing, entry)
            self._enter(_sent(open_ends, landing.landed), landing)
        elif "from_cache" in entry:
            self._account(decoded(Purpose, entry)).cached += 1
        else:
            line = decoded(_Departure, entry)
            purpose = Purpose(line.role, line.criteria, line.model)
            weight = Spent(line.weight.calls, line.weight.tokens, line.weight.cost)
            open_ends[line.sent] = Sent(line.sent, purpose, weight)
            self._numbers = count(line.sent + 1)

    def _enter(self, sent: Sent, landing: _Landing) -> Spent:
        account = self._account(sent.purpose)
        if landing.cached:
            account.cached += 1
            return Spent()
        account.calls += landing.answered
        account.failed += not landing.answered
        prompt, completion = landing.prompt_tokens, landing.completion_tokens
        known = price(sent.purpose.model)
        cost = 0.0 if known is None else known.of(prompt, completion)
        account.prompt_tokens += prompt
        account.completion_tokens += completion
        account.cost += cost
        is_paid = landing.answered or prompt or completion
        account.unpriced |= bool(is_paid) and landing.unknown
        spent = sent.weight if landing.unknown else Spent(1, prompt + completion, cost)
        self._spent += spent
        return spent

    def _account(self, purpose: Purpose) -> _Account:
        account = self._accounts.setdefault((purpose.role, purpose.criteria), _Account())
        # Also where all replies were cached: 0 dollars would look like a price.
        account.unpriced = account.unpriced or price(purpose.model) is None
        return account

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._journal is not None:
            self._journal.add(entry)


def _sent(open_ends: dict[int, Sent], number: int) -> Sent:
    """Take out a call in flight.

    Raises:
        ValueError: If there is none with that number.
    """
    if number not in open_ends:
        raise ValueError(f"landed: no call {number} is under way")
    return open_ends.pop(number)


def _tokens(usage: Usage, name: str) -> int:
    """Read a count; 0 if it is missing or is no positive integer."""
    count = usage.get(name)
    return count if type(count) is int and count > 0 else 0


def _order(key: tuple[str, tuple[str, ...]]) -> tuple[int, str, tuple[str, ...]]:
    role, criteria = key
    return (ROLES.index(role) if role in ROLES else len(ROLES), role, criteria)


def _row(role: str, criteria: tuple[str, ...], account: _Account) -> LedgerRow:
    return LedgerRow(
        role=role,
        criteria=criteria,
        calls=account.calls,
        cached=account.cached,
        failed=account.failed,
        prompt_tokens=account.prompt_tokens,
        completion_tokens=account.completion_tokens,
        cost=None if account.unpriced else account.cost,
    )
