"""Runs calls in parallel threads and returns their results in the order of the items."""

from __future__ import annotations

import contextvars
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = "mogradjudge"
"""The prefix of the names of the threads that run calls."""
AHEAD = 8
"""Items read ahead per thread, so that a slow one leaves no thread idle."""
REMEMBERED = 4096
"""The least number of results that are kept for repeated items; a wider window keeps more."""


def in_parallel(function: Callable[[T], R], items: Sequence[T], num_threads: int) -> list[R]:
    """Call ``function`` on every item, at most ``num_threads`` at a time.

    Each call runs in a copy of the caller's context, so ``dspy.context`` holds inside. The first
    error, in the order of the items, is raised once the calls in flight have ended; calls that
    have not started by then are dropped.

    >>> in_parallel(len, ["a", "bb", "ccc"], num_threads=2)
    [1, 2, 3]
    """
    if len(items) <= 1 or num_threads == 1:  # mostly a judge's one call, so no thread is started
        return [contextvars.copy_context().run(function, item) for item in items]
    return [result for _, result in in_order(function, items, min(num_threads, len(items)))]


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    num_threads: int,
    key: Callable[[T], Hashable] | None = None,
) -> Generator[tuple[T, R], None, None]:
    """Call ``function`` on a stream of items; yield each item with its result, in their order.

    Items are read in the caller's thread, at most ``AHEAD * num_threads`` ahead of the next result.
    Contexts and errors are as in `in_parallel`; the results before the first error are yielded
    before it is raised. Calls that have not started are also dropped when the generator is closed
    or interrupted.

    Args:
        function: What to call.
        items: Any iterable.
        num_threads: The most calls at one time; with 1, calls run in the caller's thread.
        key: If not None, items with equal keys share one call, unless they lie far apart.

    >>> list(in_order(str.upper, iter("ab"), num_threads=2))
    [('a', 'A'), ('b', 'B')]
    """
    pool = _pool(num_threads)
    calls = _Calls(function, pool, key, AHEAD * num_threads)
    window: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            window.append((item, calls.future(item)))
            while window and (len(window) >= calls.width or calls.failed.is_set()):
                yield _next_result(window)
        while window:
            yield _next_result(window)
    except KeyboardInterrupt:  # the user does not want to wait for the calls in flight
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


class _Dropped(Exception):
    """The result of a call that was not started because another one had failed."""


class _Calls(Generic[T, R]):
    """Submits calls and remembers the latest ones by their keys."""

    def __init__(
        self,
        function: Callable[[T], R],
        pool: Executor,
        key: Callable[[T], Hashable] | None,
        width: int,
    ) -> None:
        self.function, self.pool, self.key = function, pool, key
        # Without threads there is nothing to read ahead for.
        self.width = 1 if isinstance(pool, _CallerThread) else width
        self.failed = threading.Event()
        self._recent: OrderedDict[Hashable, Future[R]] = OrderedDict()

    def future(self, item: T) -> Future[R]:
        if self.key is None:
            return self._submit(item)
        name = self.key(item)
        if name in self._recent:
            self._recent.move_to_end(name)
            return self._recent[name]
        future = self._recent[name] = self._submit(item)
        if len(self._recent) > max(REMEMBERED, self.width):
            self._recent.popitem(last=False)
        return future

    def _submit(self, item: T) -> Future[R]:
        return self.pool.submit(contextvars.copy_context().run, self._call, item)

    def _call(self, item: T) -> R:
        if self.failed.is_set():
            raise _Dropped
        try:
            return self.function(item)
        except BaseException:
            self.failed.set()
            raise


def _next_result(window: deque[tuple[T, Future[R]]]) -> tuple[T, R]:
    """Take the first item and its result, or raise the first error once no call is in flight."""
    item, first = window[0]
    if first.exception() is None:
        window.popleft()
        return item, first.result()
    futures = [future for _, future in window]
    wait(futures)  # those that had not started end at once
    errors = (future.exception() for future in futures)
    # A thread may have been about to start the call before the one that failed.
    raise next(error for error in errors if error and not isinstance(error, _Dropped))


class _CallerThread(Executor):
    """Runs calls in the caller's thread."""

    def submit(self, function: Any, /, *args: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        future.set_result(function(*args))
        return future


def _pool(num_threads: int) -> Executor:
    return _CallerThread() if num_threads == 1 else ThreadPoolExecutor(num_threads, WORKERS)
