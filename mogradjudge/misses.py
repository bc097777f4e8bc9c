"""The moment at which DSPy's cache turns out to have no reply: only then is a call sent and paid.

DSPy lets `dspy.cache` be replaced by an object of one's own. Ours hands everything on to the cache
that was there; a call that asked to be told is told of a miss, and of two calls with the same
request the second one waits for the first one's reply instead of paying for its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import dspy

from mogradjudge.brake import POLL


@dataclass
class _Waiting:
    """A call that has not been told yet whether the cache has its reply."""

    on_miss: Callable[[], None]
    check: Callable[[], None]
    told: bool = False
    key: str | None = None


_WAITING: ContextVar[_Waiting | None] = ContextVar("waiting", default=None)


@contextmanager
def told_of_a_miss(on_miss: Callable[[], None], check: Callable[[], None]) -> Iterator[None]:
    """Call a function if the cache has no reply for the LM call in the block.

    Args:
        on_miss: Called just before the call is sent; an error of its own keeps it from being sent.
        check: Called while the same request of another thread is waited for; so for its errors.
    """
    if not isinstance(dspy.cache, _Watched):
        dspy.cache = _Watched(dspy.cache)
    watched, waiting = dspy.cache, _Waiting(on_miss, check)
    token = _WAITING.set(waiting)
    try:
        yield
    finally:
        _WAITING.reset(token)
        if waiting.key is not None:
            watched.landed(waiting.key)


class _Watched:
    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._in_flight: set[str] = set()
        self._changed = threading.Condition()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __contains__(self, key: str) -> bool:
        return key in self.inner

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: Any = None) -> Any:
        waiting = _WAITING.get()
        if waiting is None or waiting.told:
            return self.inner.get(request, ignored_args_for_cache_key)
        waiting.told = True
        key = self._key(request, ignored_args_for_cache_key)
        if key is not None:
            self._take_off(key, waiting.check)
            waiting.key = key
        reply = self.inner.get(request, ignored_args_for_cache_key)
        if reply is None:
            waiting.on_miss()
        return reply

    def landed(self, key: str) -> None:
        with self._changed:
            self._in_flight.discard(key)
            self._changed.notify_all()

    def _key(self, request: dict[str, Any], ignored: Any) -> str | None:
        if not (self.inner.enable_memory_cache or self.inner.enable_disk_cache):
            return None  # there will be no reply to wait for
        try:
            return str(self.inner.cache_key(request, ignored))
        except (TypeError, ValueError):  # a request that cannot be written as JSON is never cached
            return None

    def _take_off(self, key: str, check: Callable[[], None]) -> None:
        with self._changed:
            while key in self._in_flight:
                check()
                self._changed.wait(POLL)
            self._in_flight.add(key)
