"""Reads the first sheet of Excel and OpenDocument files, each cell as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, time
from pathlib import Path

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch
from mogradjudge.data.delimited import batches_of, has_text
from mogradjudge.errors import SetupError

SPREADSHEETS = (".xlsx", ".xls", ".ods")


def read_spreadsheet(path: Path, wanted: Group, size: int) -> Iterator[Batch]:
    """Read the first sheet, looking for the wanted columns; a cell that holds an error is empty.

    Raises:
        SetupError: If the file is no spreadsheet, or two columns have one name.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            sheet = book.get_sheet_by_index(0)
            cells, (above, _) = sheet.to_python(), sheet.start or (0, 0)
    except CalamineError as error:
        raise SetupError(f"Cannot read {path}: {error}.") from error
    texts = enumerate(([_text(cell) for cell in row] for row in cells), above + 1)
    lines = ((number, row) for number, row in texts if has_text(row))
    others = len(names) - 1
    note = f"only the first of {others + 1} sheets, {names[0]!r}, is read" if others else ""
    for batch in batches_of(str(path), lines, wanted, size, "row"):
        hint = " ".join(filter(None, [batch.hint, note and f"O{note[1:]}."]))
        yield replace(batch, notes=(note,) if note else (), hint=hint)


def _text(cell: object) -> str:
    """Write a cell as a person sees it: whole numbers without ".0", dates as ISO 8601.

    >>> _text(4.0), _text(True)
    ('4', 'TRUE')
    """
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)
