"""The tables in which workers keep what they share beside the trials."""

from __future__ import annotations

import sqlalchemy as sa

TABLES = sa.MetaData()
LOCKS = sa.Table(
    "mogradjudge_locks",
    TABLES,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("turns", sa.Integer, nullable=False),
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
