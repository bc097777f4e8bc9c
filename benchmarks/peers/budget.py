"""A cap on a method's calls, held where they are sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy


class CapReached(BaseException):
    """The cap on calls is reached.

    It is no Exception: a peer that takes every error for a failed example would go on, and score
    what it cannot pay for as 0.
    """


class Meter:
    """Counts calls before they are sent, and refuses those past the cap.

    ``failed`` counts those that brought no reply: some peers swallow that.
    """

    def __init__(self, cap: int) -> None:
        self.cap, self.taken, self.failed = cap, 0, 0
        self._in_flight = 0
        self._changed = threading.Condition()

    def __deepcopy__(self, memo: object) -> Meter:
        return self

    @property
    def left(self) -> int:
        """Calls that may still be sent."""
        return self.cap - self.taken

    def take(self) -> None:
        """Count a call.

        Raises:
            CapReached: If it would be one too many.
        """
        with self._changed:
            if self.taken >= self.cap:
                raise CapReached(f"the cap of {self.cap} calls is reached")
            self.taken += 1

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count the call in the block, which is in flight meanwhile.

        Raises:
            CapReached: If it would be one too many.
        """
        self.take()
        with self._changed:
            self._in_flight += 1
        try:
            yield
        except BaseException:
            with self._changed:
                self.failed += 1
            raise
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def settle(self) -> None:
        """Wait for the calls in flight; DSPy's executor does not, when it is cut off."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_flight)


class CappedLM(dspy.LM):  # type: ignore[misc]  # dspy is untyped
    """An LM whose calls are counted. Several replies to one prompt are as many calls."""

    def __init__(self, model: str, meter: Meter, **settings: Any) -> None:
        super().__init__(model, **settings)
        self.capped_by = meter

    def __call__(
        self, prompt: Any = None, *, messages: Any = None, n: int | None = None, **settings: Any
    ) -> list[Any]:
        replies: list[Any] = []
        for _ in range(n or 1):
            with self.capped_by.call():
                replies += super().__call__(prompt, messages=messages, **settings)
        return replies
