"""Reads what the judge reads from a table: texts, conversations and images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mogradjudge.data.batches import is_nan
from mogradjudge.data.conversations import fault_of, read_text, transcript
from mogradjudge.data.faults import Fault
from mogradjudge.data.readers import HUB
from mogradjudge.data.tables import IN_MEMORY, Table, is_blank
from mogradjudge.lm.images import NamedImage, NoImage, read_image

_NAMED = 3  # rows


def input_values(
    table: Table, name: str, images: Sequence[str] = ()
) -> tuple[list[Any], list[Fault]]:
    """Return a column's texts, or images if it is one of these, and what is wrong with rows."""
    if name not in images:
        return input_texts(table, name)
    values = list(read_images(table, name))
    return values, [value for value in values if isinstance(value, Fault)]


def read_images(table: Table, name: str) -> Iterator[NamedImage | Fault]:
    """Yield a column's images, or what is wrong with those that cannot be read.

    Paths begin at the table's file, and stay in its folder; a data set of the hub has none. Those
    of a table in memory may be any.
    """
    is_file = not table.source.startswith(HUB)
    folder = None if table.source == IN_MEMORY else Path(table.source).parent
    for place, value in enumerate(table.column(name)):
        try:
            yield read_image(value, folder, local=is_file)
        except NoImage as reason:
            yield table.fault(place, f"{name!r} must hold images, but {reason}:", value)


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
    values = ["" if is_nan(value) else read_text(value) for value in table.column(name)]
    faults = [
        table.fault(place, f"{name!r} must be texts, got", value)
        for place, value in enumerate(values)
        if not isinstance(value, str | int | float)
    ]
    return [str(value) for value in values], faults


def notes_on_conversations(table: Table, name: str) -> list[str]:
    """Say which texts of a column look like conversations, but are none.

    Example:
        >>> rows = [{"chat": '[{"role": "user", "content": "Hi"}]'}, {"chat": '[{"role": "us'}]
        >>> notes_on_conversations(Table("a.csv", ("chat",), rows), "chat")
        ["'chat' is read as plain text in row 2: it is no valid JSON"]
    """
    cells = table.column(name)
    mixed = any(transcript(cell) is not None for cell in cells)
    rows: dict[str, list[str]] = {}
    for place, cell in enumerate(cells):
        if isinstance(cell, str) and (fault := fault_of(cell, in_conversations=mixed)):
            rows.setdefault(fault, []).append(table.where_is(place))
    return [
        f"{name!r} is read as plain text in {_some(places)}: {fault}"
        for fault, places in rows.items()
    ]


def _some(places: Sequence[str]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"{', '.join(places[:_NAMED])}{more}"
