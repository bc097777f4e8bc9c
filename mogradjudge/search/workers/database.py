"""The tables in which workers keep what they share beside the trials, and how they are reached."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

logger = logging.getLogger(__name__)

T = TypeVar("T")

TABLES = sa.MetaData()
LOCKS = sa.Table(
    "mogradjudge_locks",
    TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("turns", sa.Integer, nullable=False),
)
TASKS = sa.Table(
    "mogradjudge_tasks",
    TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),  # among the tasks that were queued with it
    sa.Column("params", sa.LargeBinary(2**16), nullable=False),  # JSON
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column(
        "since", sa.Float(53), nullable=False
    ),  # when it was queued, or its last sign of life
    sa.Column("trial", sa.Integer, nullable=True),  # Optuna's identity of the last attempt
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),  # those that count, since the last start
    sa.Index("mogradjudge_tasks_in_order", "study", "state", "since", "place"),
)
PURSES = sa.Table(
    "mogradjudge_purses",
    TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
)
REPLIES = sa.Table(
    "mogradjudge_replies",
    TABLES,
    sa.Column("store", sa.String(255), primary_key=True),
    sa.Column("request", sa.String(64), primary_key=True),
    sa.Column("reply", sa.LargeBinary(2**24), nullable=True),  # None while somebody asks for it
    sa.Column("asker", sa.String(32), nullable=False),
    sa.Column("since", sa.Float, nullable=False),  # seconds of the clock
)
NOTES = sa.Table(
    "mogradjudge_notes",
    TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("note", sa.LargeBinary(2**24), nullable=False),  # JSON; MySQL cuts texts short
)

LONGEST = 60.0  # seconds for which a server is waited for
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds
_AWAY = (
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError),
    StorageInternalError,
)


def retry_database(action: Callable[[], T], dialect: str) -> T:
    """Do something with a database; again and again while its server cannot be reached.

    An SQLite file is never away: what it refuses it refuses again.

    Args:
        action: What is done.
        dialect: SQLAlchemy's name of the database.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: What the last try raised.

    >>> retry_database(lambda: 3, "sqlite")
    3
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


class Database:
    """A database with one request at a time; calls wait while it cannot be reached.

    Args:
        engine: Its connections.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self.dialect = engine, engine.dialect.name
        # A server is asked once for a single statement, not three times.
        one_by_one = {} if self.dialect == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        self._at_once = engine.execution_options(**one_by_one)

    def change(self, statement: Any) -> int:
        """Change rows at once; gives how many."""
        counted = statement.execution_options(preserve_rowcount=True)

        def once() -> int:
            with self._at_once.begin() as connection:
                return connection.execute(counted).rowcount

        return self.retry(once)

    def rows(self, query: Any) -> Sequence[Any]:
        """Read rows."""

        def once() -> Sequence[Any]:
            with self.engine.begin() as connection:
                return connection.execute(query).all()

        return self.retry(once)

    def retry(self, action: Callable[[], T]) -> T:
        """Do something with the database, by `retry_database`."""
        return retry_database(action, self.dialect)

    def clock(self) -> Any:
        """Give the time in seconds for a statement: a server's own, since workers' clocks differ.

        >>> Database(sa.create_engine("sqlite://")).clock() > 1.7e9
        True
        """
        if self.dialect == "postgresql":
            return sa.extract("epoch", sa.func.clock_timestamp())
        return time.time()
