"""Ctrl-C and SIGTERM: the first lets a run end in order, the second ends it now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mogradjudge.lm.stop import Brake

# What Python does with each signal if nobody asked for anything else.
_USUAL: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


@contextmanager
def interruptible(brake: Brake) -> Iterator[None]:
    """Let signals pull a brake while the block runs.

    The first one pulls it, so that no more calls are sent and those in flight end; the second one
    raises KeyboardInterrupt. Signals that the program around us handles are left to it, and so are
    all of them outside the main thread, where Python allows no handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if brake.reason == "interrupted":
            raise KeyboardInterrupt
        brake.pull("interrupted")

    ours = [number for number, usual in _USUAL.items() if signal.getsignal(number) == usual]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _USUAL[number])
