"""Reads JSON lines, Parquet and hub data sets as batches of rows, and writes Parquet files.

In JSON lines each line is one row; in Parquet and on the hub columns keep their types.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.data.batches import BadRow, Batch, Row, bare, header_of, of_rows, of_table
from mogradjudge.data.encoding import opened
from mogradjudge.data.options import ReadOptions
from mogradjudge.errors import SetupError
from mogradjudge.files import replaced

if TYPE_CHECKING:
    import pyarrow as pa

HUB = "hf:"
"""The prefix of a data set on the hub."""


def read_json_lines(path: Path, size: int, options: ReadOptions) -> Iterator[Batch]:
    """Read a file of JSON objects, one per line.

    A batch's columns are all keys of its rows.

    Raises:
        SetupError: If the file is not in its encoding.
    """
    with opened(path, options.encoding, newline="\n") as file:
        lines = ((number, line.strip()) for number, line in enumerate(file, 1))
        rows = ((number, _row(number, line)) for number, line in lines if line)
        while chunk := list(islice(rows, size)):
            columns = tuple(dict.fromkeys(key for _, row in chunk for key in row))
            yield from of_rows(columns, iter(chunk), size, unit="line")


def _row(number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return BadRow(f"line {number} is not valid JSON: {error.msg} at column {error.colno}")
    if not isinstance(row, dict):
        return BadRow(
            f"{line[:40]!r} in line {number}", rule="each line must be a JSON object, got"
        )
    named = {bare(name): value for name, value in row.items()}
    if len(named) < len(row):
        rule = "each line must name each key once, got"
        return BadRow(f"{', '.join(row)!r} in line {number}", rule=rule)
    return named


def read_parquet(path: Path, wanted: Group, size: int, *, whole: bool) -> Iterator[Batch]:
    """Read a file; unwanted columns are read only if all are to be kept.

    Raises:
        SetupError: If a column's name is used twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        # The metadata of pandas and `datasets` would not fit the columns that are read.
        schema = file.schema_arrow.remove_metadata()
        columns = header_of(str(path), schema.names)
        chosen = {
            own: name
            for own, name in zip(schema.names, columns, strict=True)
            if whole or name in wanted
        }
        tables = (
            pa.Table.from_batches([batch]) for batch in file.iter_batches(size, columns=[*chosen])
        )
        empty = schema.empty_table().select([*chosen])  # so that the columns are known
        for table in chain([empty], tables):
            named = table.replace_schema_metadata().rename_columns([*chosen.values()])
            batch = of_table(named, wanted)
            yield Batch(columns, batch.rows, batch.typed if whole else None)


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write a Parquet file completely or not at all; it is on the disk on return.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import pyarrow as pa
        >>> table = pa.table({"text": ["a"]})
        >>> with TemporaryDirectory() as folder:
        ...     write_parquet(Path(folder, "a.parquet"), table.schema, [table])
    """
    import pyarrow.parquet as pq

    with replaced(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        for table in tables:
            writer.write_table(table)


def read_hub(source: str, wanted: Group, size: int) -> Iterator[Batch]:
    """Read a split of a data set; columns keep their types.

    Raises:
        SetupError: If the source names no split.
    """
    name = r"\w[\w.-]*"
    parts = re.fullmatch(rf"hf:({name}/{name})(?:/({name}))?(?::([\w.-]+))?", source)
    if not parts:
        raise SetupError(
            "`source` must be hf:OWNER/NAME, hf:OWNER/NAME:SPLIT or, for a data set with several "
            f"configurations, hf:OWNER/NAME/CONFIGURATION:SPLIT, got {source!r}."
        )
    with _quiet() as folder:
        from datasets import load_dataset

        splits = load_dataset(parts[1], parts[2], streaming=True, cache_dir=folder)
        data = splits[_choose_split(source, parts[3], list(splits))]
        # To decode an image or a document would open the file or address that it names.
        data = data.decode(enable=False)
        tables = (
            table.replace_schema_metadata()
            for table in data.with_format("arrow").iter(batch_size=size)
        )
        for table in tables:
            yield of_table(
                table.rename_columns(list(header_of(source, table.column_names))), wanted
            )


def _choose_split(source: str, split: str | None, known: list[str]) -> str:
    if split is None and len(known) == 1:
        return known[0]
    if split not in known:
        raise SetupError(
            f"`source` must name one of the splits {', '.join(known)}, got {source!r}. "
            f"For example: {':'.join(source.split(':')[:2])}:{known[0]}."
        )
    return split


@contextmanager
def _quiet() -> Iterator[str]:
    """Run `datasets` with a temporary cache and without logs and progress bars.

    Its own cache may be stale, and its logs would repeat our one-line errors.
    """
    import datasets

    bars = datasets.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield folder
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
