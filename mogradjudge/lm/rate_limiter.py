"""Limits how fast a run sends calls: one limiter for all its roles and threads."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from mogradjudge.errors import SetupError
from mogradjudge.lm.stop import POLL, StopSignal

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 5.0
LONGEST_HINT = 60.0  # of a provider's Retry-After, as in DSPy
LONGEST_OUTAGE = 300.0  # after it three failures in a row are enough, as calls may hang for long
_MINUTE = 60.0
_WORTH_TELLING = 5.0


class Limiter:
    """Gives out places for calls in flight; thread safe.

    When a provider refuses a call or fails, all calls pause: twice as long as the time before, or
    as long as the provider asks, if that is longer. The places are halved then, and each answered
    call adds one again. Calls that were in flight together and fail together count as one failure.

    Args:
        max_in_flight: The most calls that may wait for an answer at one time, at least 1.
        max_rpm: The most calls to send in any 60 seconds; None for no limit.
        stop_signal: Checked while a call waits for its place.

    Raises:
        SetupError: If a limit is no whole number of at least 1.

    >>> limiter = Limiter(max_in_flight=1)
    >>> wave = limiter.take()
    >>> limiter.take_now() is None  # the only place is taken
    True
    >>> limiter.answered()
    """

    def __init__(
        self, max_in_flight: int, max_rpm: int | None = None, stop_signal: StopSignal | None = None
    ):
        limits = {"max_in_flight": max_in_flight, "max_rpm": 1 if max_rpm is None else max_rpm}
        for name, value in limits.items():
            if type(value) is not int or value < 1:
                raise SetupError(f"`{name}` must be a whole number >= 1, got {value!r}.")
        self.max_in_flight = max_in_flight
        self.max_rpm = max_rpm
        self.stop_signal = stop_signal or StopSignal()
        self.failures = 0  # in a row, with no answer between
        self._failing_since: float | None = None  # but for refusals that say when to come back
        self._places = max_in_flight
        self._in_flight = 0
        self._resume_at = 0.0
        self._wave = 0  # grows with each failure; calls sent in one wave fail as one
        self._sent: deque[float] = deque(maxlen=max_rpm)
        self._changed = threading.Condition()

    def take(self) -> int:
        """Wait for a place and take it; return the wave that the call belongs to.

        Raises:
            RunStopped: If the run is stopped meanwhile.
            BudgetExhausted: If its time is over meanwhile.
        """
        with self._changed:
            while (seconds := self._wait()) > 0:
                self.stop_signal.check()
                self._changed.wait(min(seconds, POLL))
            return self._take()

    def take_now(self) -> int | None:
        """Take a place if one is free, as `take` does; else return None."""
        with self._changed:
            return None if self._wait() > 0 else self._take()

    def is_down(self, retries: int) -> bool:
        """Return whether to stop retrying: more attempts than ``retries`` failed in a row."""
        with self._changed:
            since = self._failing_since
            lasts = since is not None and time.monotonic() - since > LONGEST_OUTAGE
            return self.failures > (min(retries, 2) if lasts else retries)

    def give_back(self) -> None:
        """Give back the place of a call that was not sent."""
        with self._changed:
            self._leave()

    def answered(self) -> None:
        """Give back the place of a call that the provider answered."""
        with self._changed:
            self.failures, self._failing_since = 0, None
            self._places = min(self._places + 1, self.max_in_flight)
            self._leave()

    def failed(self, wave: int, retry_after: float | None) -> None:
        """Give back the place of a call that may succeed later, and pause all calls."""
        with self._changed:
            bearable = retry_after is not None and retry_after <= LONGEST_HINT
            if not bearable and self._failing_since is None:
                self._failing_since = time.monotonic()
            if wave == self._wave:
                self._wave += 1
                self.failures += 1
                self._places = max(1, self._places // 2)
                pause = min(FIRST_PAUSE * 2.0 ** (self.failures - 1), LONGEST_PAUSE)
                self._pause(max(pause, retry_after or 0.0))
            elif retry_after is not None:
                self._pause(retry_after)
            self._leave()

    def _wait(self) -> float:
        """Return the seconds until there can be a place; 0 if there is one now."""
        now = time.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        if self._in_flight >= self._places:
            return POLL
        if self.max_rpm is not None and len(self._sent) == self.max_rpm:
            return max(0.0, self._sent[0] + _MINUTE - now)
        return 0.0

    def _take(self) -> int:
        self.stop_signal.check()
        self._in_flight += 1
        if self.max_rpm is not None:
            self._sent.append(time.monotonic())
        return self._wave

    def _leave(self) -> None:
        self._in_flight -= 1
        self._changed.notify(2)  # an answer may add a place beside its own

    def _pause(self, seconds: float) -> None:
        seconds = min(seconds, LONGEST_HINT)
        if seconds >= _WORTH_TELLING:
            logger.warning(
                "The provider fails or refuses calls. All calls pause for %.0f s.", seconds
            )
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
