"""Batches of a table's rows, and how rows and Arrow tables are cut into them."""

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
    """Consecutive rows of a table; ``typed`` holds all columns if their source has types.

    Example:
        >>> Batch(("text",), [{"text": "a"}, {"text": "b"}]).top(1).rows
        [{'text': 'a'}]
    """

    columns: Group
    rows: Sequence[Row]
    typed: pa.Table | None = None

    def top(self, count: int) -> Batch:
        """Return a batch of the first rows."""
        typed = None if self.typed is None else self.typed.slice(0, count)
        return Batch(self.columns, self.rows[:count], typed)


def up_to(batches: Iterable[Batch], limit: int | None) -> Iterator[Batch]:
    """Yield the batches of the first ``limit`` rows, and read no further."""
    left = limit
    for batch in batches:
        yield batch if left is None else batch.top(left)
        left = None if left is None else left - len(batch.rows)
        if left is not None and left <= 0:
            return


def of_rows(columns: Group, rows: Iterator[Row], size: int) -> Iterator[Batch]:
    """Cut rows into batches; at least one, so that the columns are known."""
    yield Batch(columns, list(islice(rows, size)))
    while chunk := list(islice(rows, size)):
        yield Batch(columns, chunk)


def of_tables(
    schema: pa.Schema, tables: Iterable[pa.Table], wanted: Group, size: int
) -> Iterator[Batch]:
    """Cut Arrow tables of any length into batches of one length, at least one."""
    import pyarrow as pa

    rest = schema.empty_table()
    is_empty = True  # no batch yet
    for table in tables:
        rest = pa.concat_tables([rest, table])
        while rest.num_rows >= size:
            yield _typed(rest.slice(0, size), wanted)
            rest, is_empty = rest.slice(size), False
    if rest.num_rows or is_empty:
        yield _typed(rest, wanted)


def _typed(table: pa.Table, wanted: Group) -> Batch:
    columns = tuple(table.column_names)
    present = [name for name in dict.fromkeys(wanted) if name in columns]
    rows = table.select(present).to_pylist() if present else [{}] * table.num_rows
    return Batch(columns, rows, table)


def check_unique(source: str, columns: Group) -> None:
    """Check that no two columns have one name.

    Raises:
        SetupError: If two have.
    """
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise SetupError(f"{source}: each column name must be used once, got {twice[0]!r} twice.")
