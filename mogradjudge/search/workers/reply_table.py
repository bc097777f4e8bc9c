"""The replies that were paid for, in a table that all workers read."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mogradjudge.lm.reply_store import packed, unpacked
from mogradjudge.search.workers.database import REPLIES, Database


class SharedReplies:
    """Replies in a table, as JSON like those in a folder, for all workers.

    Of two workers that are about to send the same request one does; the other waits for its reply.

    Args:
        database: Where the table is.
        store: The name of the store.
        patience: Seconds after which a request that brought no reply may be sent by another worker.
    """

    def __init__(self, database: Database, store: str, patience: float) -> None:
        self.database, self.store, self.patience = database, store, patience
        self.asker = uuid4().hex
        self._claimed: set[str] = set()

    def get(self, key: str) -> Any:
        """Give a reply; None if there is none: this worker or another one sends the request.

        Raises:
            Unreadable: If what is kept is none.
        """
        if key not in self._claimed and self._insert(key):
            self._claimed.add(key)  # most often nobody has asked for it: one statement tells
            return None
        # As it is: SQLAlchemy would make bytes of a number that is there instead.
        query = sa.select(sa.type_coerce(REPLIES.c.reply, sa.types.NULLTYPE)).where(self._at(key))

        rows = self.database.rows(query)
        return unpacked(rows[0][0]) if rows and rows[0][0] is not None else None

    def set(self, key: str, value: Any) -> None:
        """Keep a reply.

        Raises:
            TypeError: If it cannot be written.
        """
        columns = {"reply": packed(value), "asker": self.asker, "since": self.database.clock()}
        # The first one stays: somebody may have gone on from it.
        row = sa.update(REPLIES).where(self._at(key), REPLIES.c.reply.is_(None)).values(columns)
        # A call that nobody counts has not been asked for before.
        if not self.database.change(row) and self._insert(key):
            self.database.change(row)
        self._claimed.discard(key)

    def renew(self) -> None:
        """Say that the requests of this worker that brought no reply yet are still under way."""
        mine = (REPLIES.c.store == self.store) & (REPLIES.c.asker == self.asker)
        row = sa.update(REPLIES).where(mine, REPLIES.c.reply.is_(None))
        self.database.change(row.values(since=self.database.clock()))

    def delete(self, key: str) -> None:
        """Drop a reply that cannot be read."""
        self.database.change(sa.delete(REPLIES).where(self._at(key)))

    def claim(self, key: str) -> bool:
        """Say that this worker sends a request; False if another one has sent it just now."""
        if key in self._claimed:
            return True
        if not self._insert(key):
            now = self.database.clock()
            old = sa.not_(REPLIES.c.since.between(now - self.patience, now + self.patience))
            free = (REPLIES.c.asker == self.asker) | old
            mine = sa.update(REPLIES).where(self._at(key), REPLIES.c.reply.is_(None), free)
            if not self.database.change(mine.values(asker=self.asker, since=self.database.clock())):
                return False
        self._claimed.add(key)
        return True

    def release(self, key: str) -> None:
        """Give a request back whose call brought no reply."""
        if key not in self._claimed:
            return
        mine = (REPLIES.c.asker == self.asker) & REPLIES.c.reply.is_(None)
        self.database.change(sa.delete(REPLIES).where(self._at(key), mine))
        self._claimed.discard(key)

    def _insert(self, key: str) -> bool:
        """Enter a request that is under way; False if it stands there already."""
        insert = self._insert_new(REPLIES).values(
            store=self.store, request=key, reply=None, asker=self.asker, since=self.database.clock()
        )
        try:
            return self.database.change(insert) == 1
        except sa.exc.IntegrityError:
            return False

    def _insert_new(self, table: sa.Table) -> Any:
        """Give an INSERT that leaves a row alone that is there, where the database has one."""
        match self.database.dialect:
            case "postgresql":
                return postgresql.insert(table).on_conflict_do_nothing()
            case "sqlite":
                return sqlite.insert(table).on_conflict_do_nothing()
            case _:
                return sa.insert(table)

    def _at(self, key: str) -> sa.ColumnElement[bool]:
        return (REPLIES.c.store == self.store) & (REPLIES.c.request == key)
