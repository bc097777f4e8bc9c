"""Tables whose rows hold many texts: a source once, with lists of outputs and of their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Row
from mogradjudge.data.tables import Table
from mogradjudge.errors import SetupError


def unnested(table: Table, inputs: Group, scores: Group) -> Table:
    """Give each text a row of its own; what a row holds once belongs to all of its texts.

    A row is many texts if both an input and a score of it are lists; other rows are given as they
    are. (`mteb/summeval` on the hub has one row per article, with 16 summaries and 16 scores per
    criterion.)

    Raises:
        SetupError: If a row's lists differ in length.
    """
    rows = [
        text
        for number, row in enumerate(table.rows, table.first)
        for text in (
            _texts(table.source, number, row)
            if _holds_list(row, inputs) and _holds_list(row, scores)
            else [row]
        )
    ]
    return replace(table, rows=rows)


def _holds_list(row: Row, names: Group) -> bool:
    return any(isinstance(row.get(name), list) for name in names)


def _texts(source: str, number: int, row: Row) -> Iterator[Row]:
    lengths = {name: len(value) for name, value in row.items() if isinstance(value, list)}
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise SetupError(
            f"{source}: the lists of a row must have one length, and in row {number} {sizes}."
        )
    for place in range(max(lengths.values(), default=1)):
        yield {
            name: value[place] if isinstance(value, list) else value for name, value in row.items()
        }
