"""Stops a run from sending calls: by Ctrl-C, SIGTERM, a stop file or a time limit."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from mogradjudge.errors import BudgetExhausted, RunStopped

POLL = 0.05  # seconds within which a thread that waits notices that it should stop
_LOOK_EVERY = 1.0  # seconds between two looks at the disk

# Python's default handler of each signal.
_USUAL: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class StopSignal:
    """Stops a run: each call checks it before it is sent.

    A signal's handler may set it at any instant, so it has no lock: a waiting thread checks it
    again after `POLL`.

    Args:
        max_seconds: Seconds from now; None for no limit.
        stop_file: A file whose appearance stops the run.

    >>> signal = StopSignal()
    >>> signal.check()
    >>> signal.set("interrupted")
    >>> signal.check()
    Traceback (most recent call last):
    mogradjudge.errors.RunStopped: The run was asked to stop (interrupted).
    """

    def __init__(self, max_seconds: float | None = None, stop_file: Path | None = None) -> None:
        self.max_seconds = max_seconds
        self.stop_file = stop_file
        self.reason: Literal["interrupted", "stop_file"] | None = None
        self._error: Exception | None = None
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self._look_again = 0.0

    def set(self, reason: Literal["interrupted", "stop_file"]) -> None:
        """Let no more calls be sent."""
        self.reason = reason

    def fail(self, error: Exception) -> None:
        """Let no more calls be sent, as the provider is down: waiting calls raise its error."""
        self._error = error

    def check(self) -> None:
        """Return while calls may be sent.

        Raises:
            RunStopped: If the run was asked to stop.
            BudgetExhausted: If the time is over.
            Exception: The error of `fail`.
        """
        if self._error is not None:
            raise self._error
        now = time.monotonic()
        if self.stop_file is not None and now >= self._look_again:
            self._look_again = now + _LOOK_EVERY
            if self.stop_file.exists():
                self.set("stop_file")
        if self.reason is not None:
            raise RunStopped(self.reason)
        if self._deadline is not None and now >= self._deadline:
            said = f"The cap of max_seconds={self.max_seconds:g} is reached."
            raise BudgetExhausted(said, "max_seconds")


@contextmanager
def interruptible(stop_signal: StopSignal) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop a run while the block runs.

    The first one sets the stop signal, so that no more calls are sent and those in flight end; the
    second one raises KeyboardInterrupt. A signal that the surrounding program handles is left to
    it. Outside the main thread, where Python allows no handler, nothing changes.

    >>> stop_signal = StopSignal()
    >>> with interruptible(stop_signal):
    ...     signal.raise_signal(signal.SIGTERM)
    >>> stop_signal.reason
    'interrupted'
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop_signal.reason == "interrupted":
            raise KeyboardInterrupt
        stop_signal.set("interrupted")

    ours = [number for number, usual in _USUAL.items() if signal.getsignal(number) == usual]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _USUAL[number])
