"""Where paid replies are kept, and the moment at which there is none: only then is a call paid.

DSPy lets `dspy.cache` be replaced by an object of one's own. Ours hands everything on, to the store
of the context or else to the cache that was there. A call that asked to be told is told of a miss,
and of two calls with the same request the second waits for the first one's reply.
"""

from __future__ import annotations

import pickle
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import dspy
from diskcache.core import MODE_PICKLE
from dspy.clients.cache import Cache
from dspy.clients.disk_serialization import restricted_disk

from mogradjudge.brake import POLL
from mogradjudge.errors import SetupError

# litellm notes on a reply which address it came from and with which headers; both may hold keys.
_NOTES = ("_hidden_params", "_response_headers")
_SIZE_LIMIT = 30 * 10**9  # bytes, as in DSPy; beyond it the oldest replies would be dropped
_SETTING = "mogradjudge_replies"  # DSPy takes its settings along into threads and tasks of its own
_INSTALLING = threading.Lock()


class ReplyStore(Protocol):
    """Replies that several processes share, each known by its request's key."""

    def get(self, key: str) -> Any:
        """Give a reply, or None."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep a reply."""
        ...

    def delete(self, key: str) -> object:
        """Drop a reply that cannot be read."""
        ...

    def claim(self, key: str) -> bool:
        """Say that this process sends a request; False if another one has sent it just now."""
        ...

    def release(self, key: str) -> None:
        """Give a request back whose call brought no reply."""
        ...


def packed(reply: Any) -> bytes:
    """Write a reply as bytes."""
    return pickle.dumps(reply)


def unpacked(reply: bytes) -> Any:
    """Read what `packed` wrote; nothing but plain data and DSPy's own records is unpickled.

    Raises:
        DeserializationError: If it holds anything else.
    """
    return _Packing.fetch(_Packing.__new__(_Packing), MODE_PICKLE, None, reply, read=False)


_Packing = restricted_disk(frozenset())


@contextmanager
def replies_kept_in(
    place: Path | ReplyStore | None, memory_max_entries: int = 1_000_000
) -> Iterator[None]:
    """Keep this context's replies in a folder, in a store, or without either in memory alone.

    It holds for the block and the threads that it starts; other threads are not touched. A folder's
    files are read without running anything: only plain data and DSPy's own records are unpickled.

    Args:
        place: Where to keep them; a folder is made if it is not there.
        memory_max_entries: The most replies that are kept in memory as well.

    Raises:
        SetupError: If the folder's files are damaged.
    """
    _install()
    folder = place if isinstance(place, Path) else None
    try:
        store = _Replies(
            enable_disk_cache=folder is not None,
            enable_memory_cache=True,
            memory_max_entries=memory_max_entries,
            disk_cache_dir=None if folder is None else str(folder),
            disk_size_limit_bytes=_SIZE_LIMIT,
            restrict_pickle=True,
        )
    except sqlite3.DatabaseError as error:
        raise SetupError(
            f"The replies in {folder} cannot be read ({error}). Remove that folder to pay for them "
            "again, or give another one."
        ) from error
    if place is not None and not isinstance(place, Path):
        store.enable_disk_cache, store.disk_cache = True, place
        store.shared = place
    try:
        with dspy.context(**{_SETTING: store}):
            yield
    finally:
        if folder is not None:
            store.disk_cache.close()


class InFlight(Exception):
    """The same request is under way, and the call that asked may not be held up to wait for it."""


@contextmanager
def told_of_a_miss(on_miss: Callable[[], None], check: Callable[[], None] | None) -> Iterator[None]:
    """Call a function if the cache has no reply for the LM call in the block.

    Args:
        on_miss: Called just before the call is sent; an error of its own keeps it from being sent.
        check: Called now and then while the same request of another thread is waited for, for its
            errors. None raises `InFlight` instead of waiting.
    """
    _install()
    waiting = _Waiting(on_miss, check)
    token = _WAITING.set(waiting)
    try:
        yield
    finally:
        _WAITING.reset(token)
        if waiting.landed is not None:
            waiting.landed()


@dataclass
class _Waiting:
    """A call that has not been told yet whether the cache has its reply."""

    on_miss: Callable[[], None]
    check: Callable[[], None] | None
    told: bool = False
    landed: Callable[[], None] | None = None


_WAITING: ContextVar[_Waiting | None] = ContextVar("waiting", default=None)


class _Replies(Cache):  # type: ignore[misc]  # dspy is untyped
    """DSPy's cache, but a reply is the same reply however long a call would have waited for it."""

    shared: ReplyStore | None = None

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
        """Keep a reply as DSPy does, without its notes but for the price, which DSPy reads."""
        for name in _NOTES:
            if isinstance(notes := getattr(value, name, None), dict):
                for key in notes.keys() - {"response_cost"}:
                    del notes[key]
        super().put(request, value, ignored_args_for_cache_key, enable_memory_cache)


class _Flights:
    """The requests that are under way, by the store that their replies go to."""

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
    """Stands in the place of DSPy's cache, and is used like it."""

    def __init__(self, usual: Cache) -> None:
        object.__setattr__(self, "_usual", usual)  # all other attributes are those of the store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._store(), name, value)

    def __contains__(self, key: str) -> bool:
        return key in self._store()

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: Any = None) -> Any:
        store, waiting = self._store(), _WAITING.get()
        if waiting is None or waiting.told:
            return store.get(request, ignored_args_for_cache_key)
        if (key := _key(store, request, ignored_args_for_cache_key)) is not None:
            flight = (id(store), key)
            _FLIGHTS.take_off(flight, waiting.check)
            waiting.landed = partial(_FLIGHTS.land, flight)
        reply = store.get(request, ignored_args_for_cache_key)
        if reply is None and key is not None and getattr(store, "shared", None) is not None:
            get = partial(store.get, request, ignored_args_for_cache_key)
            reply = _reply_of_others(store.shared, key, get, waiting)
        waiting.told = True
        if reply is None:
            waiting.on_miss()
        return reply

    def _store(self) -> Any:
        return dspy.settings.get(_SETTING) or self._usual


def _reply_of_others(
    shared: ReplyStore, key: str, get: Callable[[], Any], waiting: _Waiting
) -> Any:
    """Wait for a request that another process has sent; None where it is ours to send."""
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
    if not (store.enable_memory_cache or store.enable_disk_cache):
        return None  # there will be no reply to wait for
    try:
        return str(store.cache_key(request, ignored))
    except (TypeError, ValueError):  # a request that cannot be written as JSON is never cached
        return None


def _install() -> None:
    with _INSTALLING:
        if not isinstance(dspy.cache, _Router):
            dspy.cache = _Router(dspy.cache)
