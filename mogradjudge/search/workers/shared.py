"""What the workers of a study share beside its trials: a lock, a purse and the paid replies."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from mogradjudge.files import to_json
from mogradjudge.search.patience import patiently
from mogradjudge.search.workers.database import LOCKS, NOTES, PURSES, TABLES
from mogradjudge.search.workers.reply_table import SharedReplies
from mogradjudge.search.workers.storage import making_tables

logger = logging.getLogger(__name__)

ASKED, TEXTS, SCORES, FRESH = "asked", "texts", "scores", "fresh"
"""Names of notes, or what they begin with: what a study was asked; the selection texts; a trial's
scores on them; those of the best trial and of the default, once more."""


class Shared:
    """The tables of one study.

    Args:
        engine: The database.
        study: The study's name.
        patience: Seconds for which a request belongs to the worker that sent it; then it counts as
            dead, and another one sends the request.
        makes: Whether tables that are not there are made.

    Raises:
        SetupError: If the tables cannot be made.
    """

    def __init__(
        self, engine: sa.Engine, study: str, patience: float, *, makes: bool = True
    ) -> None:
        self.engine, self.study, self.patience = engine, study, patience
        self.at_once = _at_once(engine)
        if not makes:
            return
        with making_tables(engine.url):
            TABLES.create_all(engine)
            self._make_rows()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the study's lock while the block runs; another worker waits for it."""
        if self.engine.dialect.name == "sqlite":  # its own lock would keep us out as well
            with FileLock(f"{self.engine.url.database}.turn"):
                yield
            return
        connection = patiently(self._take_turn, self.engine.dialect.name)
        try:
            yield
            connection.commit()
        finally:
            connection.close()

    def _take_turn(self) -> sa.Connection:
        connection = self.engine.connect()
        try:
            turn = sa.update(LOCKS).where(LOCKS.c.study == self.study)
            connection.execute(turn.values(turns=LOCKS.c.turns + 1))
        except BaseException:
            connection.close()
            raise
        return connection

    def replies(self, part: str = "") -> SharedReplies:
        """Give the study's store of replies; ``part`` names one of its own."""
        return SharedReplies(self.at_once, f"{self.study}/{part}", self.patience)

    def note(self, name: str, value: Any) -> None:
        """Keep something under a name, as JSON; in the place of what was there."""
        row = {"note": to_json(value, indent=None).encode()}
        patiently(lambda: self._write_note(name, row), self.engine.dialect.name)

    def _write_note(self, name: str, row: dict[str, bytes]) -> None:
        there = sa.update(NOTES).where(self._named(name)).values(row)
        with self.at_once.begin() as connection:
            if connection.execute(there).rowcount:
                return
        try:
            with self.at_once.begin() as connection:
                new = sa.insert(NOTES).values(study=self.study, name=name, **row)
                connection.execute(new)
        except sa.exc.IntegrityError:  # another worker was faster: the last one's stays
            with self.at_once.begin() as connection:
                connection.execute(there)

    def noted(self, name: str) -> Any:
        """Give what is kept under a name; None if nothing is."""
        asked = sa.select(NOTES.c.note).where(self._named(name))

        def read() -> bytes | None:
            with self.engine.begin() as connection:
                return connection.execute(asked).scalar()

        text = patiently(read, self.engine.dialect.name)
        return None if text is None else json.loads(text)

    def _named(self, name: str) -> sa.ColumnElement[bool]:
        return (NOTES.c.study == self.study) & (NOTES.c.name == name)

    def _make_rows(self) -> None:
        with self.engine.begin() as connection:
            for table in (LOCKS, PURSES):
                here = sa.select(table.c.study).where(table.c.study == self.study)
                if connection.execute(here).first() is None:
                    zeros = {c.name: 0 for c in table.columns if not c.primary_key}
                    connection.execute(sa.insert(table).values(study=self.study, **zeros))


def _at_once(engine: sa.Engine) -> sa.Engine:
    """Give the engine for single statements: a server is asked once for each, not three times."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="AUTOCOMMIT")
