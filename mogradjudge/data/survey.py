"""Checks the inputs of a table of any length, and reads them batch by batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch, recut
from mogradjudge.data.faults import Fault, Findings, say_notes
from mogradjudge.data.inputs import input_texts, notes_on_conversations, read_images
from mogradjudge.data.options import READ_DEFAULTS, ReadOptions
from mogradjudge.data.tables import Table, check_columns, find_missing, stream_table
from mogradjudge.errors import SetupError
from mogradjudge.lm.images import located

if TYPE_CHECKING:
    from hashlib import _Hash

    import pyarrow as pa


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


def survey(
    path: Path,
    inputs: Group,
    limit: int | None,
    options: ReadOptions = READ_DEFAULTS,
    images: Group = (),
) -> Survey:
    """Read a file's first rows, and check that each one can be judged and written.

    Rows that cannot be judged are not counted if the options leave them out. The digest is that of
    the file and of what its images hold.

    Args:
        path: The file.
        inputs: The columns of the inputs.
        limit: The largest number of rows to read; None for all.
        options: How the file is read.
        images: The inputs that are images.

    Raises:
        SetupError: If the file cannot be read, lacks an input column, has no rows, or an input that
            is empty or cannot be read.

    Example:
        >>> from mogradjudge import demo
        >>> table = Path(demo.__file__).parent / "replies.jsonl"
        >>> survey(table, ("question", "reply"), limit=10).rows
        10
    """
    import pyarrow as pa

    columns: dict[str, None] = {}
    typed, rows, findings, seen = None, 0, Findings(str(path)), hashlib.sha256()
    for batch in stream_table(str(path), inputs, limit, options=options, whole=True):
        columns |= dict.fromkeys(batch.columns)
        table = _table(str(path), batch, tuple(columns), rows + 1)
        if not rows:
            find_missing(table, inputs, findings)
            say_notes(str(path), batch.notes)
        say_notes(str(path), _notes(table, inputs, images))
        findings.add(_input_faults(table, inputs, images, seen))
        whole = kept_table(path, batch, batch.columns)
        typed = None if batch.typed is None else whole.schema
        rows += len(batch.rows)
    if not rows:
        check_columns(Table(str(path), tuple(columns), ()), inputs)
    findings.conclude(rows, skip_bad=options.skip_bad)
    schema = typed or pa.schema([(name, pa.string()) for name in columns])
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256")
    if images:
        content.update(seen.digest())
    return Survey(rows - findings.bad_rows, schema, content.hexdigest())


def _table(source: str, batch: Batch, columns: Group, first: int = 1) -> Table:
    numbers = batch.numbers or range(first, first + len(batch.rows))
    return Table(source, columns, batch.rows, numbers, hint=batch.hint, unit=batch.unit)


def _notes(table: Table, inputs: Group, images: Group) -> list[str]:
    texts = [name for name in inputs if name in table.columns and name not in images]
    return [note for name in texts for note in notes_on_conversations(table, name)]


def _input_faults(
    table: Table, inputs: Group, images: Group, seen: _Hash | None = None
) -> Iterator[Fault]:
    """Yield what is wrong with inputs; add what is read of images to a digest, one at a time."""
    present = [name for name in inputs if name in table.columns]
    return table.faults(chain.from_iterable(_faults(table, it, images, seen) for it in present))


def _faults(table: Table, name: str, images: Group, seen: _Hash | None) -> Iterator[Fault]:
    if name not in images:
        yield from input_texts(table, name)[1]
        return
    for image in read_images(table, name):
        if isinstance(image, Fault):
            yield image
        elif seen is not None:
            seen.update(image.digest.encode())


def judgeable(
    path: Path,
    inputs: Group,
    limit: int | None,
    size: int,
    options: ReadOptions,
    images: Group = (),
) -> Iterator[Batch]:
    """Read all columns of the rows that `survey` counted, in batches of one length.

    Example:
        >>> from mogradjudge import demo
        >>> table = Path(demo.__file__).parent / "replies.jsonl"
        >>> batches = judgeable(table, ("reply",), None, 20, ReadOptions(skip_bad=True))
        >>> [len(batch.rows) for batch in batches]
        [20, 16]
    """
    batches = stream_table(str(path), inputs, limit, size, options=options, whole=True)
    if options.skip_bad:
        batches = (_without_bad(str(path), batch, inputs, images) for batch in batches)
    return recut(batches, size)


def _without_bad(source: str, batch: Batch, inputs: Group, images: Group) -> Batch:
    faults = _input_faults(_table(source, batch, batch.columns), inputs, images)
    bad = {fault.place for fault in faults}
    return batch.chosen([n for n in range(len(batch.rows)) if n not in bad]) if bad else batch


def inputs_of(
    path: Path, batch: Batch, inputs: Group, images: Group = ()
) -> list[dict[str, object]]:
    """Return the inputs of a batch's rows; of an image where it lies, as many would fill memory.

    Raises:
        SetupError: If an input is empty or no text.

    Example:
        >>> batch = Batch(("text", "n"), [{"text": "a", "n": 1}])
        >>> inputs_of(Path("a.csv"), batch, ("text",))
        [{'text': 'a'}]
    """
    table, findings = _table(str(path), batch, inputs), Findings(str(path))
    texts = tuple(name for name in inputs if name not in images)
    findings.add(_input_faults(table, texts, ()))
    findings.conclude(len(table.rows), skip_bad=False)
    columns = [
        [located(cell, path.parent) for cell in table.column(name)]
        if name in images
        else input_texts(table, name)[0]
        for name in inputs
    ]
    return [dict(zip(inputs, row, strict=True)) for row in zip(*columns, strict=True)]


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
