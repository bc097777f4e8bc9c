"""Bounds DSPy's histories of a run's calls, and shares the user's `dspy.track_usage`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import dspy

from mogradjudge.lm.dspy_internals import (
    UsageTracker,
    histories_of,
    usage_tracker,
    with_usage_tracker,
)

REMEMBERED = 1000
"""The most calls of active runs that DSPy's histories hold."""


class History:
    """The entries of active runs in DSPy's histories; old ones are removed again.

    A program may look up its LM's last calls, but a run of thousands must not keep them all.
    """

    def __init__(self) -> None:
        self._entries: deque[tuple[object, list[MutableSequence[Any]]]] = deque()
        self._lock = threading.Lock()

    def recording(self, is_in_run: Callable[[], bool], dspys: Callable[..., Any]) -> Any:
        """Wrap DSPy's function to note what it adds in a run."""

        @wraps(dspys)
        def record_history(client: Any, entry: Any) -> None:
            dspys(client, entry)
            if dspy.settings.disable_history or not is_in_run():
                return
            with self._lock:
                self._entries.append((entry, histories_of(client)))
                if len(self._entries) > REMEMBERED:
                    _take_out(*self._entries.popleft())

        return record_history

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            while self._entries:
                _take_out(*self._entries.popleft())


def _take_out(entry: object, histories: Sequence[MutableSequence[Any]]) -> None:
    for history in histories:
        # Compared by identity: entries are large dictionaries, and slow to compare.
        place = next((index for index, held in enumerate(history) if held is entry), None)
        if place is not None:
            del history[place]


@contextmanager
def usage_shared() -> Iterator[None]:
    """Let all threads of the block add to the user's own `dspy.track_usage`.

    DSPy gives each of its worker threads a deep copy of the tracker, whose counts are lost.
    """
    tracker = usage_tracker()
    with with_usage_tracker(None if tracker is None else _SharedUsage(tracker)):
        yield


class _SharedUsage(UsageTracker):  # type: ignore[misc]  # dspy is untyped
    """Passes the usage of all threads on to one tracker."""

    def __init__(self, tracker: UsageTracker) -> None:
        super().__init__()
        self.usage_data = tracker.usage_data
        self._tracker, self._lock = tracker, threading.Lock()

    def __deepcopy__(self, memo: object) -> _SharedUsage:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        with self._lock:
            self._tracker.add_usage(lm, usage_entry)
