"""Caches paid replies, and sends only one of equal requests in flight.

DSPy allows another object in the place of `dspy.cache`. Ours passes everything on to the context's
store, or else to the cache that was there before. With `single_flight`, of two calls with the same
request the second waits for the reply of the first.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

from mogradjudge.lm.dspy_internals import (
    CACHE_LOCK,
    NOTES_OF_LITELLM,
    PRICE_NOTE,
    MemoryCache,
    Setting,
    cache_in_place,
    is_on_disk,
    keeps_replies,
    opened_cache,
    put_cache,
)
from mogradjudge.lm.reply_store import FolderReplies, Unreadable, check_reply
from mogradjudge.lm.stop import POLL
from mogradjudge.secrets import redact_reply

logger = logging.getLogger(__name__)


class ReplyStore(Protocol):
    """Replies that several processes share, by the keys of their requests."""

    def get(self, key: str) -> Any:
        """Return a reply, or None; raises `Unreadable` if the stored value is not a reply."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Store a reply; raises `TypeError` if it cannot be written."""
        ...

    def delete(self, key: str) -> object:
        """Delete a reply that cannot be read."""
        ...

    def claim(self, key: str) -> bool:
        """Claim a request for this process; False if another one is sending it."""
        ...

    def release(self, key: str) -> None:
        """Release a request whose call brought no reply."""
        ...


@contextmanager
def replies_kept_in(
    place: Path | ReplyStore | None, memory_max_entries: int = 1_000_000
) -> Iterator[None]:
    """Keep this context's replies in a folder, in a store or, without either, in memory.

    It holds for the block and the threads that it starts, not for other threads. The replies are
    stored as JSON, so reading them runs no code. A reply that JSON cannot hold stays in memory.

    Args:
        place: Where to keep them; a folder is created if it does not exist.
        memory_max_entries: The most replies that are kept in memory as well.

    Raises:
        SetupError: If the folder's files are damaged, or an earlier version's.

    >>> import dspy
    >>> from dspy.utils import DummyLM
    >>> with replies_kept_in(None), dspy.context(lm=DummyLM([{"answer": "Yes"}])):
    ...     dspy.Predict("question -> answer")(question="Is it?").answer
    'Yes'
    """
    store = FolderReplies(place) if isinstance(place, Path) else place
    try:
        with _installed(), _STORE.set(_Replies(memory_max_entries, store)):
            yield
    finally:
        if isinstance(store, FolderReplies):
            store.close()


class InFlight(Exception):
    """The same request is in flight, and the caller must not be blocked until it ends."""


@contextmanager
def single_flight(check: Callable[[], None] | None) -> Iterator[None]:
    """Let the LM call in the block wait while the same request is in flight.

    Args:
        check: Called repeatedly while the call waits for another thread or process; it may raise to
            end the wait. None raises `InFlight` instead of waiting.
    """
    waiting = _Waiting(check)
    token = _WAITING.set(waiting)
    try:
        with _installed():
            yield
    finally:
        _WAITING.reset(token)
        if waiting.landed is not None:
            waiting.landed()


@dataclass
class _Waiting:
    """A call that does not know yet whether the cache has its reply."""

    check: Callable[[], None] | None
    has_looked: bool = False
    landed: Callable[[], None] | None = None


_WAITING: ContextVar[_Waiting | None] = ContextVar("waiting", default=None)


class _Replies(MemoryCache):
    """DSPy's cache with a store, and with keys that do not depend on the timeout."""

    def __init__(self, memory_max_entries: int, store: FolderReplies | ReplyStore | None) -> None:
        super().__init__(memory_max_entries, store)
        self.shared = None if isinstance(store, FolderReplies) else store
        self._store = store
        self._warned = False

    def get(
        self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None
    ) -> Any:
        """Return a reply as DSPy does; a stored value that is not a reply is deleted."""
        if (key := _key(self, request, ignored_args_for_cache_key)) is None:
            return None
        reply = self.remembered(key)
        if reply is None and self._store is not None:
            reply = self._read(self._store, key, request)
        return None if reply is None else self.handed_out(reply)

    def _read(self, store: FolderReplies | ReplyStore, key: str, request: dict[str, Any]) -> Any:
        try:
            reply = store.get(key)
            if reply is not None:
                check_reply(request, reply)
        except Unreadable as error:
            if not self._warned:
                self._warned = True
                logger.warning("A paid reply cannot be read (%s). It is paid for again.", error)
            store.delete(key)
            return None
        if reply is not None:
            self.remember(key, reply)
        return reply

    def cache_key(
        self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None
    ) -> str:
        ignored = [*(ignored_args_for_cache_key or ()), "timeout"]
        return str(super().cache_key(request, ignored))

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,  # noqa: FBT001, FBT002 - DSPy's
    ) -> None:
        """Store a reply as DSPy does, without litellm's notes except the price that DSPy reads."""
        for name in NOTES_OF_LITELLM:
            if isinstance(notes := getattr(value, name, None), dict):
                for key in notes.keys() - {PRICE_NOTE}:
                    del notes[key]
        super().put(request, redact_reply(value), ignored_args_for_cache_key, enable_memory_cache)


_STORE: Setting[_Replies] = Setting("replies")


class _Flights:
    """The requests in flight, by the store that their replies go to."""

    def __init__(self) -> None:
        self._under_way: set[tuple[int, str]] = set()
        self._changed = threading.Condition()

    def take_off(self, flight: tuple[int, str], check: Callable[[], None] | None) -> None:
        with self._changed:
            while flight in self._under_way:
                if check is None:
                    raise InFlight
                check()
                self._changed.wait(POLL)
            self._under_way.add(flight)

    def land(self, flight: tuple[int, str]) -> None:
        with self._changed:
            self._under_way.discard(flight)
            self._changed.notify_all()


_FLIGHTS = _Flights()


class _Router:
    """Replaces DSPy's cache and has the same interface.

    Args:
        usual: The cache that was there; None if DSPy has not opened its own yet.
    """

    def __init__(self, usual: Any) -> None:
        object.__setattr__(self, "_usual", usual)  # all other attributes are those of the store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._store(), name, value)

    def __contains__(self, key: str) -> bool:
        return key in self._store()

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: Any = None) -> Any:
        store, waiting = self._store(), _WAITING.get()
        get = partial(self._ask, store, "get", request, ignored_args_for_cache_key)
        if waiting is None or waiting.has_looked:
            return get()
        if (key := _key(store, request, ignored_args_for_cache_key)) is not None:
            flight = (id(store), key)
            _FLIGHTS.take_off(flight, waiting.check)
            waiting.landed = partial(_FLIGHTS.land, flight)
        reply = get()
        if reply is None and key is not None and getattr(store, "shared", None) is not None:
            reply = _reply_of_others(store.shared, key, get, waiting)
        waiting.has_looked = True
        return reply

    def put(self, *args: Any, **kwargs: Any) -> None:
        self._ask(self._store(), "put", *args, **kwargs)

    def _store(self) -> Any:
        return _STORE.get() or self._usual_one()

    def _usual_one(self) -> Any:
        if self._usual is None:
            with CACHE_LOCK:
                if self._usual is None:
                    object.__setattr__(self, "_usual", opened_cache())
        return self._usual

    def _ask(self, store: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        ask = partial(getattr(store, method), *args, **kwargs)
        if store is not self._usual or not is_on_disk(store):
            return ask()
        return _one_thread(os.getpid()).submit(copy_context().run, ask).result()


def _reply_of_others(
    shared: ReplyStore, key: str, get: Callable[[], Any], waiting: _Waiting
) -> Any:
    """Wait for the reply to a request that another process sends; None if we are to send it."""
    while not shared.claim(key):
        if waiting.check is None:
            raise InFlight
        waiting.check()
        time.sleep(POLL)
        if (reply := get()) is not None:
            return reply
    land = waiting.landed

    def land_and_release() -> None:
        if land is not None:
            land()
        shared.release(key)

    waiting.landed = land_and_release
    return None


def _key(store: Any, request: dict[str, Any], ignored: Any) -> str | None:
    if not keeps_replies(store):
        return None  # a reply would not be stored
    try:
        return str(store.cache_key(request, ignored))
    except (TypeError, ValueError):  # a request that cannot be written as JSON is never cached
        return None


@cache
def _one_thread(process: int) -> ThreadPoolExecutor:
    """Return the thread that uses DSPy's own cache, which opens 16 files for each thread."""
    return ThreadPoolExecutor(1, "mogradjudge-cache")


class _Blocks:
    """Counts the blocks that need the router."""

    open = 0


@contextmanager
def _installed() -> Iterator[None]:
    """Put the router in the place of DSPy's cache until the last such block ends."""
    with CACHE_LOCK:
        _Blocks.open += 1
        if not isinstance(usual := cache_in_place(), _Router):
            put_cache(_Router(usual))
    try:
        yield
    finally:
        with CACHE_LOCK:
            _Blocks.open -= 1
            if not _Blocks.open:
                _put_back()


def _put_back() -> None:
    router = cache_in_place()
    if not isinstance(router, _Router):  # somebody has set another cache meanwhile
        return
    put_cache(router._usual)
