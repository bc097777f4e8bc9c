"""Parquet files: columns keep their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch, check_unique, of_tables
from mogradjudge.files import replaced

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, wanted: Group, size: int, *, whole: bool) -> Iterator[Batch]:
    """Read a file; of the columns that are not wanted nothing is read, unless all are to be kept.

    Raises:
        SetupError: If a column's name is used twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        # What pandas and `datasets` note about the columns would not hold for what is made of them.
        schema = file.schema_arrow.remove_metadata()
        check_unique(str(path), tuple(schema.names))
        columns = [name for name in schema.names if whole or name in wanted]
        tables = (
            pa.Table.from_batches([batch]).replace_schema_metadata()
            for batch in file.iter_batches(size, columns=columns)
        )
        chosen = pa.schema([schema.field(name) for name in columns])
        for batch in of_tables(chosen, tables, wanted, size):
            yield Batch(tuple(schema.names), batch.rows, batch.typed if whole else None)


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write a file as a whole or not at all; it is on the disk when this returns."""
    import pyarrow.parquet as pq

    with replaced(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        for table in tables:
            writer.write_table(table)
