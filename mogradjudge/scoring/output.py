"""A scored table as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mogradjudge.criteria import Group
from mogradjudge.data import write_parquet
from mogradjudge.errors import SetupError
from mogradjudge.files import replaced
from mogradjudge.judge.cells import SOURCE, Added, Cells

if TYPE_CHECKING:
    import pyarrow as pa

OUTPUTS = (".parquet", ".csv", ".jsonl")
"""The formats of scored tables, by file suffix."""


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Check, before any call is paid, that scores can be written to a path.

    Raises:
        SetupError: If the file's kind is unknown, its folder is missing, or it is there already.
    """
    if path.suffix not in OUTPUTS:
        raise SetupError(f"`--out` must end with one of {', '.join(OUTPUTS)}, got {path.name!r}.")
    if not path.parent.is_dir():
        raise SetupError(f"`--out` must be in an existing folder, got {path}.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise SetupError(
            f"`--out` must be a new file, but {path} exists. Give another one, or `--overwrite`."
        )


def write_output(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write a file completely or not at all; it is on disk when this returns."""
    if path.suffix == ".parquet":
        write_parquet(path, schema, tables)
        return
    write = _write_csv if path.suffix == ".csv" else _write_json_lines
    with replaced(path) as partial, partial.open("wb") as file:
        write(file, schema, tables)


def _write_csv(file: IO[bytes], schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    from pyarrow import csv

    # An empty text is written as "", to differ from a missing one.
    options = csv.WriteOptions(quoting_style="needed")
    with csv.CSVWriter(file, _flat(schema.empty_table()).schema, write_options=options) as writer:
        for table in tables:
            writer.write_table(_flat(table))


def _write_json_lines(file: IO[bytes], schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    for table in tables:
        for row in _pylist(table):
            file.write(_json(row) + b"\n")


def _pylist(table: pa.Table) -> list[dict[str, Any]]:
    try:
        return list(table.to_pylist())
    except (OverflowError, ValueError):  # a date outside the years that Python supports
        return list(_with_texts(table).to_pylist())


def _flat(table: pa.Table) -> pa.Table:
    """Write lists and other nested values as JSON text, because CSV has no form for them."""
    import pyarrow as pa

    is_flat = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string)
    for place, field in enumerate(table.schema):
        if not any(holds(field.type) for holds in is_flat):
            values = table[place].to_pylist()
            texts = [None if value is None else _text(value) for value in values]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table


def _with_texts(table: pa.Table) -> pa.Table:
    """Write dates and times as text."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            table = table.set_column(place, field.name, table[place].cast(pa.string()))
    return table


def _text(value: object) -> str:
    return _json(value).decode() if isinstance(value, list | dict) else str(value)


def _json(value: object) -> bytes:
    import orjson  # writes dates, and null for nan

    return orjson.dumps(value, default=str)


def with_added(columns: pa.Schema, added: Added, prefix: str) -> pa.Schema:
    """Append the added columns to those of the table."""
    import pyarrow as pa

    return pa.schema([*columns, *added.schema(prefix)])


def with_scores(table: pa.Table, rows: Sequence[Cells], added: Added, prefix: str) -> pa.Table:
    """Append the scores of a table's rows as columns."""
    import pyarrow as pa

    for name, field in zip(added.schema().names, added.schema(prefix), strict=True):
        # An unscored text has no raw score.
        table = table.append_column(field, pa.array([row.get(name) for row in rows], field.type))
    return table


def count_sources(
    table: pa.Table, criteria: Group, prefix: str, source: str | None
) -> dict[str, int]:
    """Count, for each criterion, the scores from a source; None counts the texts without one."""
    import pyarrow.compute as pc

    def count(column: pa.ChunkedArray) -> int:
        hits = pc.is_null(column) if source is None else pc.equal(column, source)
        return int(pc.sum(hits).as_py() or 0)

    return {name: count(table[prefix + name + SOURCE]) for name in criteria}
