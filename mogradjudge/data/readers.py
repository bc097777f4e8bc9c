"""Reads files and hub data sets as batches of rows, and writes Parquet files.

Fields of CSV and TSV stay texts; in JSON lines each line is one row; in Parquet and on the hub
columns keep their types.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch, Row, check_unique, of_rows, of_tables
from mogradjudge.errors import SetupError
from mogradjudge.files import replaced

if TYPE_CHECKING:
    import pyarrow as pa

HUB = "hf:"
"""The prefix of a data set on the hub."""
_LONGEST_FIELD = 2**31 - 1


def read_delimited(path: Path, delimiter: str, size: int) -> Iterator[Batch]:
    """Read a CSV or TSV file strictly: invalid lines are refused, not repaired.

    Raises:
        SetupError: If it is not UTF-8, or not valid, or a row and the header differ in length.
    """
    check_utf8(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _Lines(path, csv.reader(file, delimiter=delimiter, strict=True))
        header = tuple(next(lines, []))
        check_unique(str(path), header)
        yield from of_rows(header, _rows(path, header, lines), size)


def _rows(path: Path, header: Group, lines: _Lines) -> Iterator[Row]:
    for fields in lines:
        if len(fields) != len(header):
            raise SetupError(
                f"{path}: the row that ends in line {lines.number} must have as many fields as "
                f"the header, {len(header)}, got {len(fields)}. "
                "Put a text that holds the separator or a line break in quotes."
            )
        yield dict(zip(header, fields, strict=True))


class _Lines(Iterator[list[str]]):
    """The rows of a CSV reader that are not blank, with fields of any length."""

    def __init__(self, path: Path, reader: Any) -> None:
        self.path, self.reader = path, reader

    @property
    def number(self) -> int:
        return int(self.reader.line_num)

    def __next__(self) -> list[str]:
        # The limit is the whole process's, so it is back before anything else runs.
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            return next(filter(None, self.reader))
        except csv.Error as error:
            raise SetupError(
                f"{self.path}: line {self.number} is not valid CSV: {error}. Check its quotes."
            ) from error
        finally:
            csv.field_size_limit(before)


def check_utf8(path: Path) -> None:
    """Check that a file is UTF-8.

    Raises:
        SetupError: If it is not; the error names the line and the byte.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise SetupError(
                    f"{path} is not UTF-8 text: byte {error.start + 1} of line {number} is "
                    "invalid. Save it as UTF-8."
                ) from error


def read_json_lines(path: Path, size: int) -> Iterator[Batch]:
    """Read a file of JSON objects, one per line.

    A batch's columns are all keys of its rows.

    Raises:
        SetupError: If the file is not UTF-8, or a line is no JSON object.
    """
    check_utf8(path)
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        lines = ((number, line.strip()) for number, line in enumerate(file, 1))
        rows = (_row(path, number, line) for number, line in lines if line)
        while chunk := list(islice(rows, size)):
            yield Batch(tuple(dict.fromkeys(key for row in chunk for key in row)), chunk)


def _row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise SetupError(
            f"{path}: line {number} is not valid JSON: {error.msg} at column {error.colno}."
        ) from error
    if not isinstance(row, dict):
        raise SetupError(f"{path}: line {number} must be a JSON object, got {line[:40]!r}.")
    return row


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
        if (first := next(tables, None)) is not None:
            yield from of_tables(first.schema, chain([first], tables), wanted, size)


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
