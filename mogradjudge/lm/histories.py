"""The histories that DSPy keeps of LM calls, while a run of thousands is active."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, MutableSequence, Sequence
from functools import wraps
from typing import Any

import dspy
from dspy.clients import base_lm

REMEMBERED = 1000
"""The calls of active runs that the LMs' histories, and DSPy's own, hold at most."""


class History:
    """What active runs have put into the histories that DSPy keeps; it is taken out again.

    A program may look up its LM's last calls, but a run of thousands must not keep them all.
    """

    def __init__(self) -> None:
        self._entries: deque[tuple[object, list[MutableSequence[Any]]]] = deque()
        self._lock = threading.Lock()

    def recording(self, is_in_run: Callable[[], bool], dspys: Callable[..., Any]) -> Any:
        """Put this in the place of DSPy's function, to note what it adds in a run."""

        @wraps(dspys)
        def record_history(client: Any, entry: Any) -> None:
            dspys(client, entry)
            if dspy.settings.disable_history or not is_in_run():
                return
            owners = (client, *(dspy.settings.caller_modules or ()))
            with self._lock:
                histories = [base_lm.GLOBAL_HISTORY, *(owner.history for owner in owners)]
                self._entries.append((entry, histories))
                if len(self._entries) > REMEMBERED:
                    _take_out(*self._entries.popleft())

        return record_history

    def clear(self) -> None:
        """Take out what is left."""
        with self._lock:
            while self._entries:
                _take_out(*self._entries.popleft())


def _take_out(entry: object, histories: Sequence[MutableSequence[Any]]) -> None:
    for history in histories:
        # Asked for by identity: entries are large dictionaries, and slow to compare.
        place = next((i for i, each in enumerate(history) if each is entry), None)
        if place is not None:
            del history[place]
