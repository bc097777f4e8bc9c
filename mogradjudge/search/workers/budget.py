"""What all workers of a study spend, held to one budget."""

from __future__ import annotations

import logging
import threading
import time

import sqlalchemy as sa

from mogradjudge.lm.budget import Budget, Spent
from mogradjudge.search.workers.database import PURSES, reason
from mogradjudge.search.workers.shared import Shared

logger = logging.getLogger(__name__)

_SETTLE_EVERY = 1.0  # seconds
BLOCK, _ROOM = 16, 200  # calls taken at a time, while so many more are left for other workers


def spent_of(shared: Shared) -> Spent:
    """Give what the workers of a study have spent and have under way, as far as they reported."""
    row = sa.select(PURSES.c.calls, PURSES.c.tokens, PURSES.c.cost)
    (spent,) = shared.database.rows(row.where(PURSES.c.study == shared.study))
    return Spent(*spent)


class SharedBudget:
    """What all workers of a study have spent, held to one budget.

    A call is taken from it before it is sent, as large as it can be, and settled when it has ended.
    What a dead worker had under way stays counted, as large as it could have been, and so do a few
    calls that it had taken and not sent.

    Args:
        shared: The study's tables.
        budget: The caps.
    """

    def __init__(self, shared: Shared, budget: Budget) -> None:
        self.shared, self.budget = shared, budget
        self._lock = threading.Lock()
        self._pending = Spent()
        self._block = 0  # calls that are taken and not sent yet
        self._settled = time.monotonic()

    def spent(self) -> Spent:
        """Give what all workers have spent and have under way."""
        with self._lock:
            return spent_of(self.shared) + self._pending - Spent(self._block)

    def take(self, weight: Spent) -> bool:
        """Take a call from the purse; False, and nothing taken, where a cap would be passed."""
        if not self.budget.caps_calls:
            self._later(weight)
            return True
        if not self.budget.weighs_calls and weight.calls == 1 and self._from_block():
            return True
        if self._take(weight):
            return True
        self.flush()  # calls that ended may have come to less than was taken for them
        return self._take(weight)

    def settle(self, taken: Spent, spent: Spent) -> None:
        """Replace what was reserved for a call by what it cost."""
        self._later(spent - taken)

    def flush(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            pending, self._pending = self._pending - Spent(self._block), Spent()
            self._block = 0
        try:
            self._add(pending)
        except BaseException:
            with self._lock:
                self._pending += pending
            raise

    def _take(self, weight: Spent, room: int = 0) -> bool:
        return self._add(weight, self.budget, room)

    def _from_block(self) -> bool:
        """Take one of the calls that were taken together, so that not each asks the database."""
        with self._lock:
            if not self._block and self._take(Spent(BLOCK), room=_ROOM):
                self._block = BLOCK
            taken = self._block > 0
            self._block -= taken
            return taken

    def _later(self, change: Spent) -> None:
        with self._lock:
            self._pending += change
            due = time.monotonic() - self._settled > _SETTLE_EVERY
            self._settled = time.monotonic() if due else self._settled
        if due:
            try:
                self.flush()
            except sa.exc.SQLAlchemyError as error:  # a reply that was paid for is not lost by this
                logger.warning("The study's spending is written later: %s", reason(error))

    def _add(self, change: Spent, caps: Budget | None = None, room: int = 0) -> bool:
        """Enter an amount; False, and nothing entered, where it would pass a cap."""
        if change == Spent() and caps is None:
            return True
        row = sa.update(PURSES).where(PURSES.c.study == self.shared.study)
        amounts = {"calls": change.calls, "tokens": change.tokens, "cost": change.cost}
        limits = {"calls": "max_calls", "tokens": "max_tokens", "cost": "max_cost"}
        for name, amount in amounts.items():
            if caps is not None and (cap := getattr(caps, limits[name])) is not None:
                row = row.where(PURSES.c[name] + amount + room <= cap)
        added = row.values({name: PURSES.c[name] + amount for name, amount in amounts.items()})

        return self.shared.database.change(added) == 1
