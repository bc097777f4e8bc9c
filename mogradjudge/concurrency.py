"""Calls of one round in flight together; results in the order of the items."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = "mogradjudge"
"""How the names of the threads begin that calls run in."""


def in_parallel(function: Callable[[T], R], items: Sequence[T], num_threads: int) -> list[R]:
    """Call ``function`` on every item, at most ``num_threads`` at a time.

    Each call runs in a copy of the caller's context, so ``dspy.context`` holds inside. The first
    error, in the order of the items, is raised once the calls in flight have ended; calls that
    have not started by then are dropped.
    """
    if len(items) <= 1 or num_threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(num_threads, len(items)), WORKERS) as pool:
        try:
            futures = [
                pool.submit(contextvars.copy_context().run, function, item) for item in items
            ]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for future in futures:
        if not future.cancelled() and (error := future.exception()):
            raise error
    return [future.result() for future in futures]
