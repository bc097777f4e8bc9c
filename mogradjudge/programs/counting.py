"""Counts the texts that are judged, for whoever shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_on_judged: ContextVar[Callable[[int], None] | None] = ContextVar("_on_judged", default=None)


def count_texts(texts: int) -> None:
    """Count some texts as judged, if `texts_counted` watches.

    >>> count_texts(1)
    """
    if (count := _on_judged.get()) is not None:
        count(texts)


@contextmanager
def texts_counted(total: int, watch: Callable[[int, int], None]) -> Iterator[None]:
    """Count the texts that `judge_examples` judges while the block runs, in all its threads.

    >>> with texts_counted(3, print):
    ...     count_texts(2)
    2 3

    Args:
        total: The number of texts.
        watch: Is called with the number of texts done, and ``total``; by one thread at a time.
    """
    lock, done = threading.Lock(), 0

    def count(texts: int) -> None:
        nonlocal done
        with lock:
            done = min(done + texts, total)
            watch(done, total)

    token = _on_judged.set(count)
    try:
        yield
    finally:
        _on_judged.reset(token)
