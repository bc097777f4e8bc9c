"""The tables in which workers keep what they share beside the trials, and how they are reached."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

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

LONGEST = 3600.0  # seconds for which a server is waited for
_HURRIED = 5.0  # the same, once the user or another thread has given up
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds
_TOLD_EVERY = 60.0  # seconds between two lines on one outage
_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)


def is_away(error: BaseException) -> bool:
    """Return whether an error says that a database cannot be reached.

    >>> is_away(sa.exc.TimeoutError())
    True
    """
    # Optuna's own error says only that a commit failed, and speaks of invalid data.
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, _AWAY)


def reason(error: Exception) -> str:
    """Return a database's own line on an error, which Optuna hides behind one of its own.

    >>> reason(sa.exc.OperationalError("SELECT 1", {}, Exception("disk I/O error")))
    'disk I/O error'
    """
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return str(getattr(cause, "orig", cause)).strip().partition("\n")[0]


class Outage:
    """The patience of all threads of a worker with one server that does not answer.

    An SQLite file is never away: what it refuses it refuses again.

    Args:
        longest: Seconds for which one thread waits.
    """

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told: float | None = None  # when the last line was written

    def retry(self, action: Callable[[], T]) -> T:
        """Do something with the database; again and again while it cannot be reached.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: What the last try raised.
            StorageInternalError: The same, from Optuna.
        """
        started, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                result = action()
            except (sa.exc.SQLAlchemyError, StorageInternalError) as error:
                if not is_away(error):
                    raise
                if time.monotonic() - started >= self.longest:
                    self.hurry()  # whoever waits beside has waited as long
                    raise
                self._goes_on()
            else:
                self._is_over()
                return result
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def hurry(self) -> None:
        """Wait no longer than a few seconds from now on."""
        self.longest = min(self.longest, _HURRIED)

    def _goes_on(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            if self._told is not None and now - self._told < _TOLD_EVERY:
                return
            self._told = now
            minutes = round((now - self._since) / 60)
            state = f"has not answered for {minutes} min" if minutes else "does not answer"
            longest = f"up to {self.longest / 60:g} min; nothing that was paid for is lost"
            logger.warning("The study's database %s; waiting (%s).", state, longest)

    def _is_over(self) -> None:
        if self._since is not None:
            with self._lock:
                self._since = None


_OUTAGES: WeakKeyDictionary[sa.Engine, Outage] = WeakKeyDictionary()


def outage_of(engine: sa.Engine) -> Outage:
    """Return the patience that all who use an engine share."""
    longest = 0.0 if engine.dialect.name == "sqlite" else LONGEST
    return _OUTAGES.setdefault(engine, Outage(longest))


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
        """Do something with the database; wait while it cannot be reached."""
        return outage_of(self.engine).retry(action)

    def hurry(self) -> None:
        """Let nobody wait long for the database from now on."""
        outage_of(self.engine).hurry()

    def clock(self) -> Any:
        """Give the time in seconds for a statement: a server's own, since workers' clocks differ.

        >>> Database(sa.create_engine("sqlite://")).clock() > 1.7e9
        True
        """
        if self.dialect == "postgresql":
            return sa.extract("epoch", sa.func.clock_timestamp())
        return time.time()
