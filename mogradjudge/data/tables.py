"""Reads files and hub data sets as rows of a table, and checks them before any LM call.

Text stays text: '01' does not become 1.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.data.batches import BATCH_ROWS, Batch, Row, up_to
from mogradjudge.data.readers import HUB, read_delimited, read_hub, read_json_lines, read_parquet
from mogradjudge.errors import SetupError
from mogradjudge.secrets import redact

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
"""The suffixes of table files that can be read."""


@dataclass(frozen=True)
class Table:
    """All column names of a source, and rows that hold the wanted columns.

    ``first`` is the number of the first row in the source.

    Example:
        >>> Table("a.csv", ("text",), [{"text": "a"}, {"text": "b"}]).column("text")
        ['a', 'b']
    """

    source: str
    columns: Group
    rows: Sequence[Row]
    first: int = 1

    def column(self, name: str) -> list[object]:
        return [row.get(name) for row in self.rows]


def read_table(source: str, wanted: Group, limit: int | None) -> Table:
    """Read the wanted columns that exist from a source's first rows.

    Raises:
        SetupError: If the source cannot be read.
    """
    batches = list(stream_table(source, wanted, limit))
    columns = tuple(dict.fromkeys(chain.from_iterable(batch.columns for batch in batches)))
    return Table(source, columns, [row for batch in batches for row in batch.rows])


def stream_table(
    source: str,
    wanted: Group,
    limit: int | None = None,
    size: int = BATCH_ROWS,
    *,
    whole: bool = False,
) -> Iterator[Batch]:
    """Read the first rows of a source in batches that hold the wanted columns.

    Args:
        source: A file or a data set of the hub.
        wanted: The columns that the rows hold, if the source has them.
        limit: The largest number of rows to read; None for all.
        size: The rows of a batch; the last one may have fewer.
        whole: Whether the batches keep the other columns, too.

    Raises:
        SetupError: If the source cannot be read.

    Example:
        >>> from mogradjudge import demo
        >>> table = Path(demo.__file__).parent / "replies.jsonl"
        >>> [len(batch.rows) for batch in stream_table(str(table), ("reply",), size=20)]
        [20, 16]
    """
    try:
        yield from up_to(_reader(source, wanted, size, whole=whole), limit)
    except SetupError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(redact(str(error)).split()) or type(error).__name__
        raise SetupError(f"Cannot read {source}: {reason[:300].rstrip('.')}.") from error


def _reader(source: str, wanted: Group, size: int, *, whole: bool) -> Iterator[Batch]:
    if source.startswith(HUB):
        return read_hub(source, wanted, size)
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise SetupError(
            f"`source` must be a {', '.join(KINDS)} file or hf:OWNER/NAME, got {source!r}."
        )
    if not path.is_file():
        raise SetupError(f"Cannot read {path}: there is no such file.")
    match kind:
        case ".parquet":
            return read_parquet(path, wanted, size, whole=whole)
        case ".jsonl":
            return read_json_lines(path, size)
        case _:
            return read_delimited(path, "," if kind == ".csv" else "\t", size)


def check_columns(table: Table, required: Sequence[str]) -> None:
    """Check that a table has rows and these columns.

    Raises:
        SetupError: If it has not; the error suggests similar column names.

    Example:
        >>> check_columns(Table("a.csv", ("text",), [{"text": "a"}]), ["text"])
    """
    if not table.columns:
        raise SetupError(f"{table.source} is empty: it needs {', '.join(required)} and rows.")
    if missing := [name for name in required if name not in table.columns]:
        near = chain(*(difflib.get_close_matches(name, table.columns, 1) for name in missing))
        hint = " or ".join(repr(name) for name in dict.fromkeys(near))
        raise SetupError(
            f"{table.source} has no column {', '.join(map(repr, missing))}"
            f"{f' (did you mean {hint}?)' if hint else ''}. "
            f"Its columns: {', '.join(table.columns)}."
        )
    if not table.rows:
        raise SetupError(f"{table.source} has columns but no rows.")


def input_texts(table: Table, name: str) -> list[str]:
    """Return a column's texts, none of them empty.

    Raises:
        SetupError: If a value is empty or no text.
    """
    texts = texts_of(table, name)
    if empty := [(row, text) for row, text in enumerate(texts, table.first) if not text.strip()]:
        raise SetupError(
            f"{table.source}: each row needs the input {name!r}, but it is empty in "
            f"{named_rows(empty, show=False)}. Fill them in or remove the rows."
        )
    return texts


def texts_of(table: Table, name: str) -> list[str]:
    """Return a column's values as texts.

    Raises:
        SetupError: If a value is neither a text nor a number.
    """
    values = ["" if is_nan(value) else value for value in table.column(name)]
    kinds = (str, int, float)
    if other := [(n, v) for n, v in enumerate(values, table.first) if not isinstance(v, kinds)]:
        raise SetupError(f"{table.source}: {name!r} must be texts, got {named_rows(other)}.")
    return [str(value) for value in values]


def is_nan(value: object) -> bool:
    """Say whether a value is missing: None or nan."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def named_rows(rows: Sequence[tuple[int, object]], *, show: bool = True) -> str:
    """Name the first three rows (and their values) in an error, and count the others."""
    names = [
        f"{reprlib.repr(value)} in row {number}" if show else f"row {number}"
        for number, value in rows[:3]
    ]
    return ", ".join(names) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")


@dataclass(frozen=True)
class Survey:
    """A checked table's number of rows, schema and digest.

    Example:
        >>> import pyarrow as pa
        >>> Survey(2, pa.schema([("text", pa.string())]), "ab12").rows
        2
    """

    rows: int
    schema: pa.Schema
    digest: str


def survey(path: Path, inputs: Group, limit: int | None) -> Survey:
    """Read a file's first rows, and check that each one can be judged and written.

    Raises:
        SetupError: If the file cannot be read, lacks an input column, has no rows or an empty
            input.

    Example:
        >>> from mogradjudge import demo
        >>> table = Path(demo.__file__).parent / "replies.jsonl"
        >>> survey(table, ("question", "reply"), limit=10).rows
        10
    """
    import pyarrow as pa

    columns: dict[str, None] = {}
    typed, rows = None, 0
    for batch in stream_table(str(path), inputs, limit, whole=True):
        columns |= dict.fromkeys(batch.columns)
        check_columns(Table(str(path), tuple(columns), batch.rows), inputs)
        inputs_of(path, batch, inputs, rows + 1)
        table = kept_table(path, batch, batch.columns)
        typed = table.schema if batch.typed is not None else None
        rows += len(batch.rows)
    if not rows:
        check_columns(Table(str(path), tuple(columns), ()), inputs)
    schema = typed or pa.schema([(name, pa.string()) for name in columns])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Survey(rows, schema, digest)


def inputs_of(path: Path, batch: Batch, inputs: Group, first: int = 1) -> list[dict[str, str]]:
    """Return the inputs of a batch's rows, which begin at the source's row ``first``.

    Raises:
        SetupError: If an input is empty or no text.

    Example:
        >>> batch = Batch(("text", "n"), [{"text": "a", "n": 1}])
        >>> inputs_of(Path("a.csv"), batch, ("text",))
        [{'text': 'a'}]
    """
    table = Table(str(path), batch.columns, batch.rows, first)
    texts = [input_texts(table, name) for name in inputs]
    return [dict(zip(inputs, row, strict=True)) for row in zip(*texts, strict=True)]


def kept_table(path: Path, batch: Batch, columns: Sequence[str]) -> pa.Table:
    """Return a batch's columns as an Arrow table: with the source's types, or as text.

    Raises:
        SetupError: If UTF-8 cannot encode a text.

    Example:
        >>> kept_table(Path("a.jsonl"), Batch(("n",), [{"n": 1}]), ("n",)).to_pylist()
        [{'n': '1'}]
    """
    import pyarrow as pa

    if batch.typed is not None:
        return batch.typed
    try:
        arrays = {
            name: pa.array([_text(row.get(name)) for row in batch.rows], pa.string())
            for name in columns
        }
    except UnicodeEncodeError as error:
        raise SetupError(
            f"{path}: each text must be valid Unicode, got the lone surrogate "
            f"{error.object[error.start]!a}. Repair the text."
        ) from error
    return pa.table(arrays)


def _text(value: object) -> str | None:
    """Write a value of a JSON row as text; CSV has only texts."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
