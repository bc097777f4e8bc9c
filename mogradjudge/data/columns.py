"""A table's columns as texts, and what is said of the rows that have none."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Sequence
from itertools import chain

from mogradjudge.data.tables import Table
from mogradjudge.errors import SetupError


def check_columns(table: Table, required: Sequence[str]) -> None:
    """Check that a table has rows, and these columns.

    Raises:
        SetupError: If it has not; it names what may have been meant.
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
    """Give a column that may hold nothing empty.

    Raises:
        SetupError: If a text is empty, or no text.
    """
    texts = texts_of(table, name)
    if empty := [(row, text) for row, text in enumerate(texts, table.first) if not text.strip()]:
        raise SetupError(
            f"{table.source}: each row needs the input {name!r}, but it is empty in "
            f"{named_rows(empty, show=False)}. Fill them in or take them out."
        )
    return texts


def texts_of(table: Table, name: str) -> list[str]:
    """Give a column's values as the texts that their source has.

    Raises:
        SetupError: If a value is neither a text nor a number.
    """
    values = ["" if is_nan(value) else value for value in table.column(name)]
    kinds = (str, int, float)
    if other := [(n, v) for n, v in enumerate(values, table.first) if not isinstance(v, kinds)]:
        raise SetupError(f"{table.source}: {name!r} must hold texts, got {named_rows(other)}.")
    return [str(value) for value in values]


def is_nan(value: object) -> bool:
    """Tell whether a value stands for nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def named_rows(found: Sequence[tuple[int, object]], *, show: bool = True) -> str:
    """Name the first three rows, and what they hold; count the others."""
    rows = [
        f"{reprlib.repr(value)} in row {row}" if show else f"row {row}" for row, value in found[:3]
    ]
    return ", ".join(rows) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
