"""A database server that is away for a moment ends no worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST = 60.0  # seconds for which a server is waited for
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds
_AWAY = (
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError),
    StorageInternalError,
)


def patiently(action: Callable[[], T], dialect: str) -> T:
    """Do something with a database; again and again while its server cannot be reached.

    An SQLite file is never away: what it refuses it refuses again.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: What the last try raised.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        try:
            return action()
        except _AWAY as error:
            if dialect == "sqlite" or time.monotonic() - started > LONGEST:
                raise
            logger.warning("The study's database cannot be reached; trying again: %s", error)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
