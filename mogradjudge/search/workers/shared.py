"""What the workers of a study share beside its trials: a lock, a purse and the paid replies."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from mogradjudge.files import to_json
from mogradjudge.search.workers.database import (
    LOCKS,
    NOTES,
    PURSES,
    TABLES,
    Database,
)
from mogradjudge.search.workers.reply_table import SharedReplies
from mogradjudge.search.workers.storage import making_tables

logger = logging.getLogger(__name__)

ASKED, TEXTS, SIZE = "asked", "texts", "configurations"
SCORES, FRESH, CONFIRMED, SUMMARY = "scores", "fresh", "confirmed", "summary"
"""Names of notes, or what they begin with: what a study was asked; the selection texts; how many
configurations there are; a trial's scores on the texts; those of the best trial and of the default,
once more; how the best trial did on texts that chose nothing; what a worker made of it."""


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
        self.database = Database(engine)
        if not makes:
            return
        with making_tables(engine.url):
            TABLES.create_all(engine)
            self._make_rows()

    @contextmanager
    def alone(self) -> Iterator[sa.Connection]:
        """Hold the study's lock while the block runs; another worker waits for it.

        What is written through the connection is there at the block's end, all or nothing. An
        SQLite file takes no other change of this worker's in the meantime.
        """
        connection = self.database.retry(self._take_turn)
        try:
            yield connection
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
        return SharedReplies(self.database, f"{self.study}/{part}", self.patience)

    def note(self, name: str, value: Any, *, first: bool = False) -> None:
        """Keep something under a name, as JSON.

        It replaces the value under that name; with ``first``, the old one stays.
        """
        row = {"note": to_json(value, indent=None).encode()}
        there = sa.update(NOTES).where(self._named(name)).values(row)
        if not first and self.database.change(there):
            return
        try:
            self.database.change(sa.insert(NOTES).values(study=self.study, name=name, **row))
        except sa.exc.IntegrityError:  # another worker was faster
            if not first:
                self.database.change(there)

    def noted(self, name: str) -> Any:
        """Give what is kept under a name; None if nothing is."""
        rows = self.database.rows(sa.select(NOTES.c.note).where(self._named(name)))
        return json.loads(rows[0].note) if rows else None

    def noted_below(self, name: str) -> dict[str, Any]:
        """Give all that is kept under names that begin with this one and a slash, by the rest."""
        below = NOTES.c.name.startswith(f"{name}/", autoescape=True)
        query = sa.select(NOTES.c.name, NOTES.c.note).where(NOTES.c.study == self.study, below)
        return {
            row.name.removeprefix(f"{name}/"): json.loads(row.note)
            for row in self.database.rows(query)
        }

    def _named(self, name: str) -> sa.ColumnElement[bool]:
        return (NOTES.c.study == self.study) & (NOTES.c.name == name)

    def _make_rows(self) -> None:
        with self.engine.begin() as connection:
            for table in (LOCKS, PURSES):
                here = sa.select(table.c.study).where(table.c.study == self.study)
                if connection.execute(here).first() is None:
                    zeros = {c.name: 0 for c in table.columns if not c.primary_key}
                    connection.execute(sa.insert(table).values(study=self.study, **zeros))
