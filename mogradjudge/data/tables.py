"""Reads files and hub data sets as rows of a table, and checks them before any LM call.

Text stays text: '01' does not become 1.
"""

from __future__ import annotations

import difflib
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from mogradjudge.criteria import Group
from mogradjudge.data.batches import BATCH_ROWS, BadRow, Batch, Row, recut, up_to
from mogradjudge.data.delimited import read_delimited
from mogradjudge.data.faults import Fault, Findings
from mogradjudge.data.options import READ_DEFAULTS, ReadOptions
from mogradjudge.data.readers import HUB, read_hub, read_json_lines, read_parquet
from mogradjudge.data.spreadsheets import SPREADSHEETS, read_spreadsheet
from mogradjudge.errors import SetupError
from mogradjudge.secrets import redact

_OWN_SEPARATORS = {".csv": ",", ".tsv": "\t"}
KINDS = (*_OWN_SEPARATORS, ".jsonl", ".parquet", *SPREADSHEETS)
"""The suffixes of table files that can be read."""


IN_MEMORY = "the table"
"""The source of a table that was read from no file."""


@dataclass(frozen=True)
class Table:
    """All column names of a source, and rows that hold the wanted columns.

    Args:
        source: The file or data set.
        columns: The names of all columns.
        rows: The rows.
        numbers: The rows' numbers in the source, if they are not 1, 2, ...
        origins: The rows' numbers before they were split, if they were.
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
    origins: Sequence[int] = ()

    def column(self, name: str) -> list[object]:
        return [row.get(name) for row in self.rows]

    def where(self, number: int) -> str:
        """Return how a person finds the row with this number."""
        return f"{self.unit} {number}"

    def where_is(self, place: int) -> str:
        """Return how a person finds the row at this index."""
        return self.where(self.numbers[place] if self.numbers else place + 1)

    def split(self, parts: Callable[[str, Row], Iterable[Row]]) -> Table:
        """Return a table of the parts of each row, given where it is; they keep its number."""
        split = [
            (place, part)
            for place, row in enumerate(self.rows)
            for part in parts(self.where_is(place), row)
        ]
        return replace(
            self,
            rows=[part for _, part in split],
            numbers=[self.numbers[place] if self.numbers else place + 1 for place, _ in split],
            origins=[self.origin(place) for place, _ in split],
        )

    def origin(self, place: int) -> int:
        """Return the number that the row at this index had before rows were split."""
        return self.origins[place] if self.origins else place + 1

    def fault(self, place: int, rule: str, value: object = ..., advice: str = "") -> Fault:
        """Return that a row breaks a rule, by its value if there is one."""
        row = self.where_is(place)
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
            f"`source` must be a {', '.join(KINDS)} file or hf:OWNER/NAME, got "
            f"{reprlib.repr(source)}."
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
        hint = similar(missing, table.columns)
        findings.add_line(
            f"the table has no column {', '.join(map(repr, missing))}"
            f"{f' (did you mean {hint}?)' if hint else ''}. "
            f"Its columns: {', '.join(table.columns)}. {table.hint}".rstrip()
        )
    elif not table.rows:
        raise SetupError(f"{table.source} has columns but no rows.")


def similar(missing: Iterable[str], names: Iterable[object]) -> str:
    """Return the names that are like the missing ones, for an error; empty if none is.

    >>> similar(["Question"], ["answer", "QUESTION"])
    "'QUESTION'"
    """
    known = {str(name).casefold(): name for name in names}
    near = chain(*(difflib.get_close_matches(name.casefold(), known, 1) for name in missing))
    return " or ".join(repr(known[name]) for name in dict.fromkeys(near))


def is_blank(text: str) -> bool:
    r"""Say whether a text shows nothing: blanks, and marks as the zero-width space.

    >>> is_blank(" \u200b")
    True
    """
    return all(mark.isspace() or unicodedata.category(mark) == "Cf" for mark in text)
