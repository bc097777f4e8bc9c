"""The user's own `dspy.track_usage`, which hears of every call of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy
from dspy.utils.usage_tracker import UsageTracker


@contextmanager
def usage_shared() -> Iterator[None]:
    """Let all threads of the block add to the user's own `dspy.track_usage`.

    DSPy gives each worker of its own a deep copy of the tracker, and what that hears is lost.
    """
    tracker = dspy.settings.usage_tracker
    with dspy.context(usage_tracker=None if tracker is None else _SharedUsage(tracker)):
        yield


class _SharedUsage(UsageTracker):  # type: ignore[misc]  # dspy is untyped
    """Hands usage on to one tracker, from whatever thread."""

    def __init__(self, tracker: UsageTracker) -> None:
        super().__init__()
        self.usage_data = tracker.usage_data
        self._tracker, self._lock = tracker, threading.Lock()

    def __deepcopy__(self, memo: object) -> _SharedUsage:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        with self._lock:
            self._tracker.add_usage(lm, usage_entry)
