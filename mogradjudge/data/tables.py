"""Reads files and hub data sets as rows of a table, and checks them before any LM call.

Text stays text: '01' does not become 1.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.data.batches import BATCH_ROWS, BadRow, Batch, Row, is_nan, recut, up_to
from mogradjudge.data.conversations import transcript
from mogradjudge.data.delimited import read_delimited
from mogradjudge.data.faults import Fault, Findings, say_notes
from mogradjudge.data.options import READ_DEFAULTS, ReadOptions
from mogradjudge.data.readers import HUB, read_hub, read_json_lines, read_parquet
from mogradjudge.data.spreadsheets import SPREADSHEETS, read_spreadsheet
from mogradjudge.errors import SetupError
from mogradjudge.secrets import redact

if TYPE_CHECKING:
    import pyarrow as pa

_OWN_SEPARATORS = {".csv": ",", ".tsv": "\t"}
KINDS = (*_OWN_SEPARATORS, ".jsonl", ".parquet", *SPREADSHEETS)
"""The suffixes of table files that can be read."""


@dataclass(frozen=True)
class Table:
    """All column names of a source, and rows that hold the wanted columns.

    Args:
        source: The file or data set.
        columns: The names of all columns.
        rows: The rows.
        numbers: The rows' numbers in the source, if they are not 1, 2, ...
        unit: What is numbered: the source's rows or its lines.
        separator: What stands between the fields of a text file.
        notes: What the reader has to say about the source.
        hint: Why wanted columns may be missing, as a sentence.

    Example:
        >>> Table("a.csv", ("text",), [{"text": "a"}, {"text": "b"}]).column("text")
        ['a', 'b']
    """

    source: str
    columns: Group
    rows: Sequence[Row]
    numbers: Sequence[int] = ()
    separator: str | None = None
    notes: Group = ()
    hint: str = ""
    unit: str = "row"

    def column(self, name: str) -> list[object]:
        return [row.get(name) for row in self.rows]

    def where(self, number: int) -> str:
        """Return how a person finds the row with this number."""
        return f"{self.unit} {number}"

    def split(self, parts: Callable[[str, Row], Iterable[Row]]) -> Table:
        """Return a table of the parts of each row, given where it is; they keep its number."""
        numbers = self.numbers or range(1, len(self.rows) + 1)
        split = [
            (number, part)
            for number, row in zip(numbers, self.rows, strict=True)
            for part in parts(self.where(number), row)
        ]
        rows, numbers = [part for _, part in split], [number for number, _ in split]
        return replace(self, rows=rows, numbers=numbers)

    def fault(self, place: int, rule: str, value: object = ..., advice: str = "") -> Fault:
        """Return that a row breaks a rule, by its value if there is one."""
        row = self.where(self.numbers[place] if self.numbers else place + 1)
        shown = row if value is ... else f"{reprlib.repr(value)} in {row}"
        return Fault(place, rule, shown, advice)

    def faults(self, others: Iterable[Fault]) -> Iterator[Fault]:
        """Yield the rows that cannot be read, and what is wrong with others."""
        unread = {place for place, row in enumerate(self.rows) if isinstance(row, BadRow)}
        for place, row in enumerate(self.rows):
            if isinstance(row, BadRow):
                yield Fault(place, row.rule, row.instance, row.advice)
        yield from (fault for fault in others if fault.place not in unread)


def read_table(
    source: str, wanted: Group, limit: int | None, options: ReadOptions = READ_DEFAULTS
) -> Table:
    """Read the wanted columns that exist from a source's first rows.

    Raises:
        SetupError: If the source cannot be read.
    """
    batches = list(stream_table(source, wanted, limit, options=options))
    columns = tuple(dict.fromkeys(chain.from_iterable(batch.columns for batch in batches)))
    rows = [row for batch in batches for row in batch.rows]
    first = batches[0] if batches else Batch((), ())
    about = {name: getattr(first, name) for name in ("separator", "notes", "hint", "unit")}
    numbers = [number for batch in batches for number in batch.numbers]
    return Table(source, columns, rows, numbers, **about)


def stream_table(
    source: str,
    wanted: Group,
    limit: int | None = None,
    size: int = BATCH_ROWS,
    *,
    options: ReadOptions = READ_DEFAULTS,
    whole: bool = False,
) -> Iterator[Batch]:
    """Read the first rows of a source in batches that hold the wanted columns.

    Args:
        source: A file or a data set of the hub.
        wanted: The columns that the rows hold, if the source has them.
        limit: The largest number of rows to read; None for all.
        size: The rows of a batch; the last one may have fewer.
        options: How the source is read where it leaves a choice.
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
        batches = _said(source, options, _reader(source, wanted, size, options, whole=whole))
        yield from recut(up_to(batches, limit), size)
    except SetupError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(redact(str(error)).split()) or type(error).__name__
        raise SetupError(f"Cannot read {source}: {reason[:300].rstrip('.')}.") from error


def _said(source: str, options: ReadOptions, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches that say which options have no effect on their source."""
    kind = "" if source.startswith(HUB) else Path(source).suffix.lower()
    unused = []
    if options.separator is not None and kind not in _OWN_SEPARATORS:
        unused.append("--sep has no effect on it")
    if options.encoding is not None and kind not in (*_OWN_SEPARATORS, ".jsonl"):
        unused.append("--encoding has no effect on it")
    for batch in batches:
        yield replace(batch, notes=(*batch.notes, *unused)) if unused else batch


def _reader(
    source: str, wanted: Group, size: int, options: ReadOptions, *, whole: bool
) -> Iterator[Batch]:
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
            return read_json_lines(path, size, options)
        case ".csv" | ".tsv":
            return read_delimited(path, _OWN_SEPARATORS[kind], wanted, size, options)
        case _:
            return read_spreadsheet(path, wanted, size)


def check_columns(table: Table, required: Sequence[str]) -> None:
    """Check that a table has rows and these columns.

    Raises:
        SetupError: If it has not; the error suggests similar column names.

    Example:
        >>> check_columns(Table("a.csv", ("text",), [{"text": "a"}]), ["text"])
    """
    findings = Findings(table.source)
    find_missing(table, required, findings)
    findings.conclude(len(table.rows), skip_bad=False)


def find_missing(table: Table, required: Sequence[str], findings: Findings) -> None:
    """Add the columns that a table has not, with similar names.

    Raises:
        SetupError: If it has no columns or no rows.
    """
    if not table.columns and not table.rows:
        needs = ", ".join(required) or "a header"
        raise SetupError(f"{table.source} is empty: it needs {needs} and rows.")
    if not table.columns:
        return  # no row could be read
    if missing := [name for name in required if name not in table.columns]:
        near = chain(*(difflib.get_close_matches(name, table.columns, 1) for name in missing))
        hint = " or ".join(repr(name) for name in dict.fromkeys(near))
        findings.add_line(
            f"the table has no column {', '.join(map(repr, missing))}"
            f"{f' (did you mean {hint}?)' if hint else ''}. "
            f"Its columns: {', '.join(table.columns)}. {table.hint}".rstrip()
        )
    elif not table.rows:
        raise SetupError(f"{table.source} has columns but no rows.")


def input_texts(table: Table, name: str) -> tuple[list[str], list[Fault]]:
    """Return a column's texts, and what is wrong with those that are empty or no text."""
    texts, faults = texts_of(table, name)
    rule = f"each row needs the input {name!r}, but it is empty in"
    advice = "Fill them in or remove the rows."
    faults += [
        table.fault(place, rule, advice=advice)
        for place, text in enumerate(texts)
        if is_blank(text)
    ]
    return texts, faults


def texts_of(table: Table, name: str) -> tuple[list[str], list[Fault]]:
    """Return a column's values as texts, and what is wrong with those that are no text."""
    values = ["" if is_nan(value) else transcript(value) or value for value in table.column(name)]
    faults = [
        table.fault(place, f"{name!r} must be texts, got", value)
        for place, value in enumerate(values)
        if not isinstance(value, str | int | float)
    ]
    return [str(value) for value in values], faults


def is_blank(text: str) -> bool:
    r"""Say whether a text shows nothing: blanks, and marks as the zero-width space.

    >>> is_blank(" \u200b")
    True
    """
    return all(mark.isspace() or unicodedata.category(mark) == "Cf" for mark in text)


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
    path: Path, inputs: Group, limit: int | None, options: ReadOptions = READ_DEFAULTS
) -> Survey:
    """Read a file's first rows, and check that each one can be judged and written.

    Rows that cannot be judged are not counted if the options leave them out.

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
    typed, rows, findings = None, 0, Findings(str(path))
    for batch in stream_table(str(path), inputs, limit, options=options, whole=True):
        columns |= dict.fromkeys(batch.columns)
        table = _table(str(path), batch, tuple(columns), rows + 1)
        if not rows:
            find_missing(table, inputs, findings)
            say_notes(str(path), batch.notes)
        findings.add(_input_faults(table, inputs))
        whole = kept_table(path, batch, batch.columns)
        typed = None if batch.typed is None else whole.schema
        rows += len(batch.rows)
    if not rows:
        check_columns(Table(str(path), tuple(columns), ()), inputs)
    findings.conclude(rows, skip_bad=options.skip_bad)
    schema = typed or pa.schema([(name, pa.string()) for name in columns])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Survey(rows - findings.bad_rows, schema, digest)


def _table(source: str, batch: Batch, columns: Group, first: int = 1) -> Table:
    numbers = batch.numbers or range(first, first + len(batch.rows))
    return Table(source, columns, batch.rows, numbers, hint=batch.hint, unit=batch.unit)


def _input_faults(table: Table, inputs: Group) -> Iterator[Fault]:
    present = [name for name in inputs if name in table.columns]
    return table.faults(chain.from_iterable(input_texts(table, name)[1] for name in present))


def judgeable(
    path: Path, inputs: Group, limit: int | None, size: int, options: ReadOptions
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
    return recut((_without_bad(batch, inputs) for batch in batches), size)


def _without_bad(batch: Batch, inputs: Group) -> Batch:
    faults = _input_faults(_table("", batch, batch.columns), inputs)
    bad = {fault.place for fault in faults}
    return batch.chosen([n for n in range(len(batch.rows)) if n not in bad]) if bad else batch


def inputs_of(path: Path, batch: Batch, inputs: Group) -> list[dict[str, str]]:
    """Return the inputs of a batch's rows.

    Raises:
        SetupError: If an input is empty or no text.

    Example:
        >>> batch = Batch(("text", "n"), [{"text": "a", "n": 1}])
        >>> inputs_of(Path("a.csv"), batch, ("text",))
        [{'text': 'a'}]
    """
    table, findings = _table(str(path), batch, inputs), Findings(str(path))
    findings.add(_input_faults(table, inputs))
    findings.conclude(len(table.rows), skip_bad=False)
    texts = [input_texts(table, name)[0] for name in inputs]
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
