"""CSV and TSV files: each field is the text that the file has."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch, Row, check_unique, of_rows
from mogradjudge.errors import SetupError

_LONGEST_FIELD = 2**31 - 1


def read_delimited(path: Path, delimiter: str, size: int) -> Iterator[Batch]:
    """Read a file strictly: what is not valid is refused, and never repaired.

    Raises:
        SetupError: If it is not UTF-8 or not valid, or a row has not the header's number of fields.
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
    """The rows that are not blank, however long their fields."""

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
    """Refuse a file that is not UTF-8.

    Raises:
        SetupError: If it is not; it tells the line and the byte.
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
