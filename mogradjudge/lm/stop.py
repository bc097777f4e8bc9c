"""How a run is told to send no more calls: by a signal, a stop file or the clock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from mogradjudge.errors import BudgetExhausted, RunStopped

POLL = 0.05  # seconds within which a thread that waits notices that it should stop
_LOOK_EVERY = 1.0  # seconds between two looks at the disk


class Brake:
    """Asked by every call before it is sent.

    A signal's handler may pull it at any instant, so it has no lock: a thread that waits looks
    again after `POLL`.

    Args:
        max_seconds: Time from now on; None for no end.
        stop_file: A file whose appearance stops the run.
    """

    def __init__(self, max_seconds: float | None = None, stop_file: Path | None = None) -> None:
        self.max_seconds = max_seconds
        self.stop_file = stop_file
        self.reason: Literal["interrupted", "stop_file"] | None = None
        self._error: Exception | None = None
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self._look_again = 0.0

    def pull(self, reason: Literal["interrupted", "stop_file"]) -> None:
        """Let no more calls out."""
        self.reason = reason

    def fail(self, error: Exception) -> None:
        """Let no more calls out: those that wait for a provider that is down end with its error."""
        self._error = error

    def check(self) -> None:
        """Pass while calls may be sent.

        Raises:
            RunStopped: If somebody asked the run to stop.
            BudgetExhausted: If its time is over.
            Exception: What `fail` was told.
        """
        if self._error is not None:
            raise self._error
        now = time.monotonic()
        if self.stop_file is not None and now >= self._look_again:
            self._look_again = now + _LOOK_EVERY
            if self.stop_file.exists():
                self.pull("stop_file")
        if self.reason is not None:
            raise RunStopped(self.reason)
        if self._deadline is not None and now >= self._deadline:
            raise BudgetExhausted(f"The cap of max_seconds={self.max_seconds:g} is reached.")
