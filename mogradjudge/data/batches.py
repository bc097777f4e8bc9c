"""A table as a stream of batches: rows to judge, and all its columns to keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError

if TYPE_CHECKING:
    import pyarrow as pa  # slow to import, so only where it is used

BATCH_ROWS = 1000

Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class Batch:
    """Some rows in a row; ``typed`` holds all columns if their source has types."""

    columns: Group
    rows: Sequence[Row]
    typed: pa.Table | None = None

    def top(self, count: int) -> Batch:
        """Take the first rows."""
        typed = None if self.typed is None else self.typed.slice(0, count)
        return Batch(self.columns, self.rows[:count], typed)


def up_to(batches: Iterable[Batch], limit: int | None) -> Iterator[Batch]:
    """Give the first rows, and read no further."""
    left = limit
    for batch in batches:
        yield batch if left is None else batch.top(left)
        left = None if left is None else left - len(batch.rows)
        if left is not None and left <= 0:
            return


def of_rows(columns: Group, rows: Iterator[Row], size: int) -> Iterator[Batch]:
    """Cut rows into batches; there is at least one, so that the columns are told."""
    yield Batch(columns, list(islice(rows, size)))
    while chunk := list(islice(rows, size)):
        yield Batch(columns, chunk)


def of_tables(
    schema: pa.Schema, tables: Iterable[pa.Table], wanted: Group, size: int
) -> Iterator[Batch]:
    """Cut Arrow tables of any length into batches of one length; there is at least one."""
    import pyarrow as pa

    kept = schema.empty_table()
    whole = True
    for table in tables:
        kept = pa.concat_tables([kept, table])
        while kept.num_rows >= size:
            yield _typed(kept.slice(0, size), wanted)
            kept, whole = kept.slice(size), False
    if kept.num_rows or whole:
        yield _typed(kept, wanted)


def _typed(table: pa.Table, wanted: Group) -> Batch:
    columns = tuple(table.column_names)
    present = [name for name in dict.fromkeys(wanted) if name in columns]
    rows = table.select(present).to_pylist() if present else [{}] * table.num_rows
    return Batch(columns, rows, table)


def check_unique(source: str, columns: Group) -> None:
    """Refuse a table that uses a column's name twice.

    Raises:
        SetupError: If it does.
    """
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise SetupError(f"{source}: each column name must be used once, got {twice[0]!r} twice.")
