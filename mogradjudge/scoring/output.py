"""A scored table as a file, and the columns of a criterion's scores.

For the criterion ``fluency`` the columns are ``fluency`` (its score), ``fluency_source`` (where the
score came from) and ``fluency_unscored`` (why there is no score), each with a prefix if need be. A
calibrated judge adds ``fluency_raw``, the score before the map.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeAlias

import dspy

from mogradjudge.criteria import Group
from mogradjudge.data import write_parquet
from mogradjudge.errors import SetupError
from mogradjudge.files import replaced
from mogradjudge.judge.scores import Unscored

if TYPE_CHECKING:
    import pyarrow as pa

    from mogradjudge.judge.judge import MultiCriteriaJudge

logger = logging.getLogger(__name__)

OUTPUTS = (".parquet", ".csv", ".jsonl")
"""The formats of scored tables, by file suffix."""


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Check, before any call is paid, that scores can be written to a path.

    Raises:
        SetupError: If the file's kind is unknown, its folder is missing, or it is there already.
    """
    if path.suffix not in OUTPUTS:
        raise SetupError(f"`--out` must end with one of {', '.join(OUTPUTS)}, got {path.name!r}.")
    if not path.parent.is_dir():
        raise SetupError(f"`--out` must be in an existing folder, got {path}.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise SetupError(
            f"`--out` must be a new file, but {path} exists. Give another one, or `--overwrite`."
        )


def write_output(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write a file completely or not at all; it is on disk when this returns."""
    if path.suffix == ".parquet":
        write_parquet(path, schema, tables)
        return
    write = _write_csv if path.suffix == ".csv" else _write_json_lines
    with replaced(path) as partial, partial.open("wb") as file:
        write(file, schema, tables)


def _write_csv(file: IO[bytes], schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    from pyarrow import csv

    # An empty text is written as "", to differ from a missing one.
    options = csv.WriteOptions(quoting_style="needed")
    with csv.CSVWriter(file, _flat(schema.empty_table()).schema, write_options=options) as writer:
        for table in tables:
            writer.write_table(_flat(table))


def _write_json_lines(file: IO[bytes], schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    for table in tables:
        for row in _pylist(table):
            file.write(_json(row) + b"\n")


def _pylist(table: pa.Table) -> list[dict[str, Any]]:
    try:
        return list(table.to_pylist())
    except (OverflowError, ValueError):  # a date outside the years that Python supports
        return list(_with_texts(table).to_pylist())


def _flat(table: pa.Table) -> pa.Table:
    """Write lists and other nested values as JSON text, because CSV has no form for them."""
    import pyarrow as pa

    is_flat = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string)
    for place, field in enumerate(table.schema):
        if not any(holds(field.type) for holds in is_flat):
            values = table[place].to_pylist()
            texts = [None if value is None else _text(value) for value in values]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table


def _with_texts(table: pa.Table) -> pa.Table:
    """Write dates and times as text."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            table = table.set_column(place, field.name, table[place].cast(pa.string()))
    return table


def _text(value: object) -> str:
    return _json(value).decode() if isinstance(value, list | dict) else str(value)


def _json(value: object) -> bytes:
    import orjson  # writes dates, and null for nan

    return orjson.dumps(value, default=str)


RAW, SOURCE, UNSCORED = "_raw", "_source", "_unscored"
_PREFIX = "judge_"


Cells: TypeAlias = Mapping[str, float | str | None]
"""One row's values in the added columns."""


@dataclass(frozen=True)
class Added:
    """The criteria whose scores are added to a table, and which of them are ``mapped``."""

    criteria: Group
    mapped: Group = ()

    @classmethod
    def by(cls, judge: MultiCriteriaJudge) -> Self:
        """Return what a judge adds."""
        maps = judge.calibration
        return cls(judge.rubric.names, tuple(name for name in maps if maps[name].knots))

    def schema(self, prefix: str = "") -> pa.Schema:
        """Return the added columns and their types."""
        import pyarrow as pa

        kinds = {"": pa.float64(), RAW: pa.float64(), SOURCE: pa.string(), UNSCORED: pa.string()}
        return pa.schema(
            [
                (prefix + name + end, kind)
                for name in self.criteria
                for end, kind in kinds.items()
                if end != RAW or name in self.mapped
            ]
        )


def prefix_of(columns: Group, added: Added, prefix: str | None) -> str:
    """Return what the added columns' names begin with.

    Args:
        columns: The table's columns.
        added: What is added to them.
        prefix: The caller's choice; None is nothing, or ``judge_`` and a log line where a name is
            in use.

    Raises:
        SetupError: If a name is still in use.

    >>> prefix_of(("text", "fluency"), Added(("tone",)), None)
    ''
    """
    used = _used(columns, added, prefix or "")
    if used and prefix is None:
        prefix = _PREFIX
        logger.warning(
            "The table has a column %r, so the names of the scores' columns begin with %r.",
            *(used, prefix),
        )
        used = _used(columns, added, prefix)
    if used:
        raise SetupError(
            f"The scores go to a column {used!r}, but there is another column of that name. "
            "Give another `--prefix`, or rename the column or the criterion."
        )
    return prefix or ""


def _used(columns: Group, added: Added, prefix: str) -> str | None:
    """Return the first added column whose name another column has."""
    seen = set(columns)
    for name in added.schema(prefix).names:
        if name in seen:
            return str(name)
        seen.add(name)
    return None


def with_added(columns: pa.Schema, added: Added, prefix: str) -> pa.Schema:
    """Append the added columns to those of the table."""
    import pyarrow as pa

    return pa.schema([*columns, *added.schema(prefix)])


def cells_of(prediction: dspy.Prediction | Unscored, criteria: Group) -> Cells:
    """Return the cells of one text.

    >>> cells_of(Unscored("no number"), ("fluency",))
    {'fluency': None, 'fluency_source': None, 'fluency_unscored': 'no number'}
    """
    cells: dict[str, float | str | None] = {}
    for name in criteria:
        result: Any = prediction
        score = result if isinstance(result, Unscored) else result[name]
        if isinstance(score, Unscored):
            cells |= {name: None, name + SOURCE: None, name + UNSCORED: score.reason}
        else:
            reading = result["readings"][name]
            cells |= {name: float(score), name + SOURCE: reading.source, name + UNSCORED: None}
            cells |= {} if reading.raw is None else {name + RAW: float(reading.raw)}
    return cells


def with_scores(table: pa.Table, rows: Sequence[Cells], added: Added, prefix: str) -> pa.Table:
    """Append the scores of a table's rows as columns."""
    import pyarrow as pa

    for name, field in zip(added.schema().names, added.schema(prefix), strict=True):
        # An unscored text has no raw score.
        table = table.append_column(field, pa.array([row.get(name) for row in rows], field.type))
    return table


def count_sources(
    table: pa.Table, criteria: Group, prefix: str, source: str | None
) -> dict[str, int]:
    """Count, for each criterion, the scores from a source; None counts the texts without one."""
    import pyarrow.compute as pc

    def count(column: pa.ChunkedArray) -> int:
        hits = pc.is_null(column) if source is None else pc.equal(column, source)
        return int(pc.sum(hits).as_py() or 0)

    return {name: count(table[prefix + name + SOURCE]) for name in criteria}
