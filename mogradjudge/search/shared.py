"""What the workers of a study share beside its trials: a lock, a purse and the paid replies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from filelock import FileLock

from mogradjudge.budget import Budget, Spent
from mogradjudge.files import to_json
from mogradjudge.replies import packed, unpacked
from mogradjudge.search.storage import making_tables

ASKED, TEXTS, SCORES, FRESH = "asked", "texts", "scores", "fresh"
"""Names of notes, or what they begin with: what a study was asked; the selection texts; a trial's
scores on them; those of the best trial and of the default, once more."""

_TABLES = sa.MetaData()
_LOCKS = sa.Table(
    "mogradjudge_locks",
    _TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("turns", sa.Integer, nullable=False),
)
_PURSES = sa.Table(
    "mogradjudge_purses",
    _TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
)
_REPLIES = sa.Table(
    "mogradjudge_replies",
    _TABLES,
    sa.Column("store", sa.String(255), primary_key=True),
    sa.Column("request", sa.String(64), primary_key=True),
    sa.Column("reply", sa.LargeBinary(2**24), nullable=True),  # None while somebody asks for it
    sa.Column("asker", sa.String(32), nullable=False),
    sa.Column("since", sa.Float, nullable=False),  # seconds of the clock
)
_NOTES = sa.Table(
    "mogradjudge_notes",
    _TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    # MySQL's ends at 64 KB, and PostgreSQL takes no length.
    sa.Column("note", sa.Text().with_variant(sa.Text(2**24), "mysql", "mariadb"), nullable=False),
)
_SETTLE_EVERY = 1.0  # seconds


class Shared:
    """The tables of one study.

    Args:
        engine: The database.
        study: The study's name.
        patience: Seconds for which a request belongs to the worker that sent it; then it counts as
            dead, and another one sends the request.

    Raises:
        SetupError: If the tables cannot be made.
    """

    def __init__(self, engine: sa.Engine, study: str, patience: float) -> None:
        self.engine, self.study, self.patience = engine, study, patience
        self.at_once = _at_once(engine)
        with making_tables(engine.url):
            _TABLES.create_all(engine)
            self._make_rows()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the study's lock while the block runs; another worker waits for it."""
        if self.engine.dialect.name == "sqlite":  # its own lock would keep us out as well
            with FileLock(f"{self.engine.url.database}.turn"):
                yield
            return
        with self.engine.begin() as connection:
            turn = sa.update(_LOCKS).where(_LOCKS.c.study == self.study)
            connection.execute(turn.values(turns=_LOCKS.c.turns + 1))
            yield

    def replies(self, part: str = "") -> SharedReplies:
        """Give the study's store of replies; ``part`` names one of its own."""
        return SharedReplies(self.at_once, f"{self.study}/{part}", self.patience)

    def note(self, name: str, value: Any) -> None:
        """Keep something under a name, as JSON; in the place of what was there."""
        text, here = to_json(value, indent=None), self._named(name)
        with self.engine.begin() as connection:
            connection.execute(sa.delete(_NOTES).where(here))
            connection.execute(sa.insert(_NOTES).values(study=self.study, name=name, note=text))

    def noted(self, name: str) -> Any:
        """Give what is kept under a name; None if nothing is."""
        with self.engine.begin() as connection:
            text = connection.execute(sa.select(_NOTES.c.note).where(self._named(name))).scalar()
        return None if text is None else json.loads(text)

    def _named(self, name: str) -> sa.ColumnElement[bool]:
        return (_NOTES.c.study == self.study) & (_NOTES.c.name == name)

    def _make_rows(self) -> None:
        with self.engine.begin() as connection:
            for table in (_LOCKS, _PURSES):
                here = sa.select(table.c.study).where(table.c.study == self.study)
                if connection.execute(here).first() is None:
                    zeros = {c.name: 0 for c in table.columns if not c.primary_key}
                    connection.execute(sa.insert(table).values(study=self.study, **zeros))


def _at_once(engine: sa.Engine) -> sa.Engine:
    """Give the engine for single statements: a server is asked once for each, not three times."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def spent_of(shared: Shared) -> Spent:
    """Give what the workers of a study have spent and have under way, as far as they have told."""
    row = sa.select(_PURSES.c.calls, _PURSES.c.tokens, _PURSES.c.cost)
    with shared.engine.begin() as connection:
        return Spent(*connection.execute(row.where(_PURSES.c.study == shared.study)).one())


class SharedPurse:
    """What all workers of a study have spent, held to one budget.

    A call is taken from it before it is sent, as large as it can be, and settled when it has ended.
    What a dead worker had under way stays counted, as large as it could have been.

    Args:
        shared: The study's tables.
        budget: The caps.
    """

    def __init__(self, shared: Shared, budget: Budget) -> None:
        self.shared, self.budget = shared, budget
        self._lock = threading.Lock()
        self._pending = Spent()
        self._settled = time.monotonic()

    def spent(self) -> Spent:
        """Give what all workers have spent and have under way."""
        with self._lock:
            return spent_of(self.shared) + self._pending

    def take(self, weight: Spent) -> bool:
        """Take a call from the purse; False, and nothing taken, where a cap would be passed."""
        if not self.budget.caps_calls:
            self._later(weight)
            return True
        pending = self._take_pending()
        with self.shared.at_once.begin() as connection:
            if self._add(connection, pending + weight, self.budget):
                return True
            self._add(connection, pending)
            return False

    def settle(self, taken: Spent, spent: Spent) -> None:
        """Enter what a call came to in the place of what was taken for it."""
        self._later(spent - taken)

    def flush(self) -> None:
        """Write what is not written yet."""
        with self.shared.engine.begin() as connection:
            self._add(connection, self._take_pending())

    def _take_pending(self) -> Spent:
        with self._lock:
            pending, self._pending = self._pending, Spent()
            return pending

    def _later(self, change: Spent) -> None:
        with self._lock:
            self._pending += change
            due = time.monotonic() - self._settled > _SETTLE_EVERY
            self._settled = time.monotonic() if due else self._settled
        if due:
            self.flush()

    def _add(self, connection: sa.Connection, change: Spent, caps: Budget | None = None) -> bool:
        if change == Spent() and caps is None:
            return True
        row = sa.update(_PURSES).where(_PURSES.c.study == self.shared.study)
        amounts = {"calls": change.calls, "tokens": change.tokens, "cost": change.cost}
        limits = {"calls": "max_calls", "tokens": "max_tokens", "cost": "max_cost"}
        for name, amount in amounts.items():
            if caps is not None and (cap := getattr(caps, limits[name])) is not None:
                row = row.where(_PURSES.c[name] + amount <= cap)
        added = {name: _PURSES.c[name] + amount for name, amount in amounts.items()}
        return connection.execute(row.values(added)).rowcount == 1


class SharedReplies:
    """Replies in a table, kept as DSPy keeps them on a disk, for all workers.

    Of two workers that are about to send the same request one does; the other waits for its reply.

    Args:
        engine: The database.
        store: The name of the store.
        patience: Seconds after which a request that brought no reply may be sent by another worker.
    """

    def __init__(self, engine: sa.Engine, store: str, patience: float) -> None:
        self.engine, self.store, self.patience = engine, store, patience
        self.asker = uuid4().hex
        self._claimed: set[str] = set()

    def get(self, key: str) -> Any:
        """Give a reply, or None."""
        with self.engine.begin() as connection:
            packed_reply = connection.execute(
                sa.select(_REPLIES.c.reply).where(self._at(key))
            ).scalar()
        return None if packed_reply is None else unpacked(packed_reply)

    def set(self, key: str, value: Any) -> None:
        """Keep a reply."""
        self._claimed.discard(key)
        row = {"reply": packed(value), "asker": self.asker, "since": time.time()}
        with self.engine.begin() as connection:
            kept = connection.execute(sa.update(_REPLIES).where(self._at(key)).values(row))
            if kept.rowcount:
                return
        try:
            self._insert(key, row)
        except sa.exc.IntegrityError:  # somebody else has just kept one
            return

    def delete(self, key: str) -> None:
        """Drop a reply that cannot be read."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(_REPLIES).where(self._at(key)))

    def claim(self, key: str) -> bool:
        """Say that this worker sends a request; False if another one has sent it just now."""
        now = time.time()
        try:
            self._insert(key, {"reply": None, "asker": self.asker, "since": now})
        except sa.exc.IntegrityError:
            free = (_REPLIES.c.asker == self.asker) | (_REPLIES.c.since < now - self.patience)
            mine = sa.update(_REPLIES).where(self._at(key), _REPLIES.c.reply.is_(None), free)
            with self.engine.begin() as connection:
                taken = connection.execute(mine.values(asker=self.asker, since=now))
            if not taken.rowcount:
                return False
        self._claimed.add(key)
        return True

    def release(self, key: str) -> None:
        """Give a request back whose call brought no reply."""
        if key not in self._claimed:
            return
        self._claimed.discard(key)
        mine = (_REPLIES.c.asker == self.asker) & _REPLIES.c.reply.is_(None)
        with self.engine.begin() as connection:
            connection.execute(sa.delete(_REPLIES).where(self._at(key), mine))

    def _insert(self, key: str, row: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            insert = sa.insert(_REPLIES).values(store=self.store, request=key, **row)
            connection.execute(insert)

    def _at(self, key: str) -> sa.ColumnElement[bool]:
        return (_REPLIES.c.store == self.store) & (_REPLIES.c.request == key)
