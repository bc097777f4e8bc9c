"""Batches of a table's rows, and how they are cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError

if TYPE_CHECKING:
    import pyarrow as pa  # slow to import, so only where it is used

BATCH_ROWS = 1000

Row: TypeAlias = Mapping[str, object]


class BadRow(dict[str, object]):
    """A row that cannot be read; it has no cells.

    Args:
        instance: What is wrong and where: "line 3 is not valid JSON".
        advice: What to do.
        rule: What the row breaks, in front of the instance, if other rows may break it, too.
    """

    def __init__(self, instance: str, advice: str = "", rule: str = "") -> None:
        super().__init__()
        self.instance, self.advice, self.rule = instance, advice, rule


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table.

    Args:
        columns: The names of all columns.
        rows: The rows, which hold the wanted columns.
        typed: All columns, if their source has types.
        separator: What stands between the fields of a text file.
        notes: What the reader has to say about the source.
        hint: Why wanted columns may be missing, as a sentence.
        numbers: Where the rows are in the source, if its reader knows.
        unit: What is numbered: the source's rows or its lines.

    Example:
        >>> Batch(("text",), [{"text": "a"}, {"text": "b"}]).part(0, 1).rows
        [{'text': 'a'}]
    """

    columns: Group
    rows: Sequence[Row]
    typed: pa.Table | None = None
    separator: str | None = None
    notes: Group = ()
    hint: str = ""
    numbers: Sequence[int] = ()
    unit: str = "row"

    def part(self, start: int, stop: int | None = None) -> Batch:
        """Return a batch of some of the rows."""
        if start == 0 and (stop is None or stop >= len(self.rows)):
            return self
        rows, numbers = self.rows[start:stop], self.numbers[start:stop]
        typed = None if self.typed is None else self.typed.slice(start, len(rows))
        return replace(self, rows=rows, typed=typed, numbers=numbers)

    def chosen(self, places: Sequence[int]) -> Batch:
        """Return a batch of the rows at these places."""
        typed = None if self.typed is None else self.typed.take(list(places))
        numbers = [self.numbers[place] for place in places] if self.numbers else ()
        rows = [self.rows[place] for place in places]
        return replace(self, rows=rows, typed=typed, numbers=numbers)

    def joined(self, other: Batch) -> Batch:
        """Return a batch of these rows and the other's."""
        import pyarrow as pa

        both = self.typed is not None and other.typed is not None
        return replace(
            self,
            columns=tuple(dict.fromkeys([*self.columns, *other.columns])),
            rows=[*self.rows, *other.rows],
            numbers=[*self.numbers, *other.numbers],
            typed=pa.concat_tables([self.typed, other.typed]) if both else None,
        )


def up_to(batches: Iterable[Batch], limit: int | None) -> Iterator[Batch]:
    """Yield the batches of the first ``limit`` rows, and read no further."""
    left = limit
    for batch in batches:
        yield batch.part(0, left)
        left = None if left is None else left - len(batch.rows)
        if left is not None and left <= 0:
            return


def recut(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Cut batches of any length into batches of one length, at least one if there is one."""
    rest, is_first = None, True
    for batch in batches:
        rest = batch if rest is None else rest.joined(batch)
        while len(rest.rows) >= size:
            yield rest.part(0, size)
            rest, is_first = rest.part(size), False
    if rest is not None and (rest.rows or is_first):
        yield rest


def of_rows(
    columns: Group, rows: Iterator[tuple[int, Row]], size: int, **about: str
) -> Iterator[Batch]:
    """Cut numbered rows into batches; at least one, so that the columns are known.

    Args:
        columns: The names of all columns.
        rows: Each row's number in the source, and the row.
        size: The rows of a batch.
        about: Other fields of each batch.
    """
    chunk = list(islice(rows, size))
    while True:
        numbers, held = [number for number, _ in chunk], [row for _, row in chunk]
        yield Batch(columns, held, numbers=numbers, **about)  # type: ignore[arg-type]
        if not (chunk := list(islice(rows, size))):
            return


def of_table(table: pa.Table, wanted: Group) -> Batch:
    """Make a batch of an Arrow table."""
    columns = tuple(table.column_names)
    present = [name for name in dict.fromkeys(wanted) if name in columns]
    rows = table.select(present).to_pylist() if present else [{}] * table.num_rows
    return Batch(columns, rows, table)


def is_nan(value: object) -> bool:
    """Say whether a value is missing: None or nan."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def bare(name: object) -> str:
    """Return a column's name without the blanks and marks around it.

    >>> bare(" Summary ")
    'Summary'
    """
    return str(name).strip().strip("\ufeff\u200b").strip()


def header_of(source: str, columns: Iterable[object]) -> Group:
    """Return the bare names of columns.

    Raises:
        SetupError: If two have one name.
    """
    names = tuple(bare(name) for name in columns)
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise SetupError(f"{source}: each column name must be used once, got {twice[0]!r} twice.")
    return names
