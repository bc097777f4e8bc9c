"""Reads CSV and TSV files, with any of the separators that spreadsheets write."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.data.batches import BadRow, Batch, Row, bare, header_of, of_rows
from mogradjudge.data.encoding import opened
from mogradjudge.data.options import ReadOptions
from mogradjudge.errors import SetupError

# What spreadsheets take for the start of a formula (OWASP, "CSV Injection"), after apostrophes.
_FORMULA = re.compile("'*[-=+@\t\r\n\uff0d\uff1d\uff0b\uff20]")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_LONGEST_FIELD = 2**31 - 1
_HEAD = 100_000  # characters
_SEPARATORS = (",", ";", "\t", "|")
_NAMED = re.compile(
    r'"?sep= *([^\r\n]) *"?(?:\r\n?|\n)', re.IGNORECASE
)  # the first line that Excel reads
_AT_END = "unexpected end of data"
_TITLE = "The first line looks like a title: remove what is above the header."
_FEWEST_BELOW = 3  # rows below a title
_FIRST_ROWS = 10  # where a header is looked for
_QUOTES = "Check its quotes."
_LONG = "Put a text that holds the separator or a line break in quotes."
_SHORT = (
    "Put a text that holds a line break in quotes; where empty cells at the end were left out, as "
    "Excel does, write their separators."
)

Line: TypeAlias = tuple[int, Sequence[str] | BadRow]
"""A row's number, and its fields."""


def read_delimited(
    path: Path, own: str, wanted: Group, size: int, options: ReadOptions
) -> Iterator[Batch]:
    """Read a CSV or TSV file strictly: invalid lines are told, not repaired.

    Args:
        path: The file.
        own: The separator that its suffix names.
        wanted: The columns that the caller looks for.
        size: The rows of a batch.
        options: The separator and the encoding, where they are known.

    Raises:
        SetupError: If it is not in its encoding, a quote is never closed, or two columns have one
            name.
    """
    with opened(path, options.encoding, newline="") as file:
        start = file.tell()
        head = file.read(_HEAD)
        file.seek(start)
        named = _NAMED.match(head)
        separator = options.separator or (named[1] if named else _separator(head, own, wanted))
        lines = _Lines(path, csv.reader(file, delimiter=separator, strict=True))
        if named:
            next(lines)
        title = _title_hint(head, separator)
        for batch in batches_of(str(path), lines, wanted, size, "line"):
            hint = batch.hint or title or _separator_hint(batch.columns, wanted)
            yield replace(batch, separator=separator, hint=hint)


def guarded(cell: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would take for a formula, and no number.

    >>> guarded("=1+1"), guarded("-1"), unguarded(guarded("=1+1"))
    ("'=1+1", '-1', '=1+1')
    """
    is_formula = _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unguarded(cell: str) -> str:
    """Return what `guarded` was given; other programs guard cells in the same way."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _separator(head: str, own: str, wanted: Group) -> str:
    """Find the separator that cuts the most rows into as many fields as the header.

    Of several, it is the one that cuts more of the wanted columns' names out of the header.
    """

    def fit(separator: str) -> tuple[int, int, bool]:
        header, *others = _whole_rows(head, separator) or [[]]
        width = len(header)
        rows = 1 + [len(fields) for fields in others].count(width) if width > 1 else 0
        return rows, _count(header, wanted), separator == own

    return max(_SEPARATORS, key=fit)


def _whole_rows(head: str, separator: str) -> list[list[str]]:
    """Return the fields of the rows that are whole in a file's head, the header's first."""
    rows = []
    try:
        for fields in csv.reader(io.StringIO(head, ""), delimiter=separator, strict=True):
            rows += [fields] if fields else []
    except csv.Error:
        return rows
    return rows if len(head) < _HEAD else rows[:-1]


def _title_hint(head: str, separator: str) -> str:
    """Say that a title may stand above the header, where no row is as wide as the first."""
    first, *others = _whole_rows(head, separator) or [[]]
    if any(len(fields) == len(first) > 1 for fields in others):
        return ""
    tables = (_whole_rows(head, other) for other in _SEPARATORS)
    return _TITLE if any(_is_title(*rows) for rows in tables if rows) else ""


def _is_title(first: Sequence[str], *others: Sequence[str]) -> bool:
    """Say whether the first row holds much less than the equally wide rows below it."""
    header = [*filter(str.strip, others[0])] if len(others) >= _FEWEST_BELOW else []
    return (
        len({len(fields) for fields in others}) == 1
        and 0 < 2 * sum(map(bool, map(str.strip, first))) <= len(header)
        and bool(first[0].strip())
        and len({*header}) == len(header)
    )


def _count(fields: Sequence[str], wanted: Group) -> int:
    return len({bare(field) for field in fields} & set(wanted))


def _separator_hint(columns: Group, wanted: Group) -> str:
    """Say that the columns may be separated otherwise, if they look so."""
    missing = set(wanted) - set(columns)
    parts = {bare(part) for column in columns for part in re.split(r"[^\w ]", column)}
    if len(columns) > 1 and not missing & parts:
        return ""
    return "If something else separates the columns, say what (--sep)."


@contextmanager
def long_fields() -> Iterator[None]:
    """Let CSV readers read fields of any length.

    >>> with long_fields():
    ...     len(next(csv.reader(["x" * 200_000]))[0])
    200000
    """
    # The limit is the whole process's, so it is back before anything else runs.
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class _Lines(Iterator[Line]):
    """The rows of a CSV reader that are not blank, with fields of any length."""

    def __init__(self, path: Path, reader: Any) -> None:
        self.path, self.reader = path, reader

    def __next__(self) -> Line:
        try:
            with long_fields():
                return next(filter(lambda line: has_text(line[1]), self._numbered()))
        except csv.Error as error:
            return self.reader.line_num, self._unread(error)

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the number of its first line."""
        number = self.reader.line_num + 1
        for fields in self.reader:
            yield number, fields
            number = self.reader.line_num + 1

    def _unread(self, error: csv.Error) -> BadRow:
        statement = f"line {self.reader.line_num} is not valid CSV: {error}"
        if str(error) == _AT_END:  # the last field may have swallowed any number of rows
            raise SetupError(f"{self.path}: {statement}. {_QUOTES}") from error
        return BadRow(statement, _QUOTES)


def has_text(fields: Sequence[str]) -> bool:
    """Return whether a row is not blank."""
    return any(map(str.strip, fields))


def batches_of(
    source: str, lines: Iterator[Line], wanted: Group, size: int, unit: str
) -> Iterator[Batch]:
    """Make batches of lines of fields, the header first; nameless columns are left out.

    A nameless first column of whole numbers is kept: data frames are written with their index.

    Raises:
        SetupError: If the header cannot be read, or names a column twice.
    """
    _, first = next(lines, (0, ()))
    if isinstance(first, BadRow):
        raise SetupError(f"{source}: {first.instance}. {first.advice}")
    header = header_of(source, first)
    rows = list(islice(lines, _FIRST_ROWS))
    has_index = bool(rows) and _is_index(header, rows[0][1])
    names = {place: name for place, name in enumerate(header) if name or (has_index and not place)}
    read = (
        (number, _row(len(header), names, fields, f"{unit} {number}"))
        for number, fields in chain(rows, lines)
    )
    place = _header_place(header, rows, wanted)
    below = [fields for _, fields in rows if not isinstance(fields, BadRow)]
    hint = _TITLE if _is_title(first, *below) else ""
    hint = f"The header seems to be in {unit} {place}: remove what is above it." if place else hint
    return of_rows(tuple(names.values()), read, size, unit=unit, hint=hint)


def _header_place(header: Group, rows: Sequence[Line], wanted: Group) -> int | None:
    """Find a row below the header that looks more like it, if there is one."""
    least = max(_count(header, wanted) + 1, min(2, len(set(wanted))))
    places = (
        number
        for number, fields in rows
        if not isinstance(fields, BadRow) and _count(fields, wanted) >= least
    )
    return next(places, None)


def _is_index(header: Group, fields: Sequence[str] | BadRow) -> bool:
    if isinstance(fields, BadRow) or header[0] or not fields:
        return False
    return fields[0].isdigit()


def _row(width: int, names: Mapping[int, str], fields: Sequence[str] | BadRow, where: str) -> Row:
    if isinstance(fields, BadRow):
        return fields
    if len(fields) != width:
        return BadRow(
            f"{where} has {len(fields)}",
            _SHORT if len(fields) < width else _LONG,
            f"each row must have as many fields as the header, {width}, but",
        )
    if extra := [n for n, cell in enumerate(fields) if n not in names and cell.strip()]:
        return BadRow(
            f"{where} has {fields[extra[0]]!r} in column {extra[0] + 1}",
            "Name the column or empty it.",
            "only columns with a name may have values, but",
        )
    return {name: unguarded(fields[place]) for place, name in names.items()}
