"""A first look at a whole table: what is wrong with it is found before any call is paid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch
from mogradjudge.data.columns import check_columns, input_texts
from mogradjudge.data.tables import Table, stream_table
from mogradjudge.errors import SetupError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Survey:
    """What is known of a table before its rows are read again to be judged."""

    rows: int
    schema: pa.Schema
    digest: str


def survey(path: Path, inputs: Group, limit: int | None) -> Survey:
    """Read a file's first rows, and check that each one can be judged and kept.

    Raises:
        SetupError: If the file cannot be read, lacks an input column, has no rows or an empty
            input.
    """
    import pyarrow as pa

    columns: dict[str, None] = {}
    typed, rows = None, 0
    for batch in stream_table(str(path), inputs, limit, whole=True):
        columns |= dict.fromkeys(batch.columns)
        check_columns(Table(str(path), tuple(columns), batch.rows), inputs)
        inputs_of(path, batch, inputs, rows + 1)
        kept = kept_table(path, batch, batch.columns)
        typed = kept.schema if batch.typed is not None else None
        rows += len(batch.rows)
    if not rows:
        check_columns(Table(str(path), tuple(columns), ()), inputs)
    schema = typed or pa.schema([(name, pa.string()) for name in columns])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Survey(rows, schema, digest)


def inputs_of(path: Path, batch: Batch, inputs: Group, first: int = 1) -> list[dict[str, str]]:
    """Give the inputs of a batch's rows; its first row is the source's row ``first``.

    Raises:
        SetupError: If an input is empty, or no text.
    """
    table = Table(str(path), batch.columns, batch.rows, first)
    texts = [input_texts(table, name) for name in inputs]
    return [dict(zip(inputs, row, strict=True)) for row in zip(*texts, strict=True)]


def kept_table(path: Path, batch: Batch, columns: Sequence[str]) -> pa.Table:
    """Give a batch's columns as they are kept: with their types, or as text.

    Raises:
        SetupError: If a text holds what UTF-8 cannot write.
    """
    import pyarrow as pa

    if batch.typed is not None:
        return batch.typed
    try:
        kept = {
            name: pa.array([_text(row.get(name)) for row in batch.rows], pa.string())
            for name in columns
        }
    except UnicodeEncodeError as error:
        raise SetupError(
            f"{path}: each text must be valid Unicode, got the lone surrogate "
            f"{error.object[error.start]!a}. Repair the text."
        ) from error
    return pa.table(kept)


def _text(value: object) -> str | None:
    """Write what a JSON row holds; CSV has nothing but texts."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
