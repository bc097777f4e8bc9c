"""The columns that a judge adds to a table: a score, how it came about, or why there is none.

For the criterion ``fluency`` they are ``fluency``, ``fluency_source`` and ``fluency_unscored``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import dspy

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import Unscored

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE, UNSCORED = "_source", "_unscored"

Cells: TypeAlias = Mapping[str, float | str | None]
"""One row's values in the added columns."""


def added_schema(criteria: Group) -> pa.Schema:
    """Give the added columns and their types."""
    import pyarrow as pa

    kinds = (("", pa.float64()), (SOURCE, pa.string()), (UNSCORED, pa.string()))
    return pa.schema([(name + end, kind) for name in criteria for end, kind in kinds])


def check_added(columns: Group, criteria: Group) -> None:
    """Check that no added column has the name of another one, or of one that is kept.

    Raises:
        SetupError: If one has.
    """
    seen = set(columns)
    for name in added_schema(criteria).names:
        if name in seen:
            raise SetupError(
                f"The scores are written to the column {name!r}, and the table has a column of "
                "that name. Rename that one, or the criterion."
            )
        seen.add(name)


def with_added(columns: pa.Schema, criteria: Group) -> pa.Schema:
    """Put the added columns after those that are kept."""
    import pyarrow as pa

    return pa.schema([*columns, *added_schema(criteria)])


def cells_of(prediction: dspy.Prediction | Unscored, criteria: Group) -> Cells:
    """Give what a judge made of one text."""
    cells: dict[str, float | str | None] = {}
    for name in criteria:
        score = prediction if isinstance(prediction, Unscored) else prediction[name]
        if isinstance(score, Unscored):
            cells |= {name: None, name + SOURCE: None, name + UNSCORED: score.reason}
        else:
            readings: Any = prediction["readings"]
            source = readings[name].source
            cells |= {name: float(score), name + SOURCE: source, name + UNSCORED: None}
    return cells


def with_scores(table: pa.Table, rows: Sequence[Cells], criteria: Group) -> pa.Table:
    """Put the scores of a table's rows after its columns."""
    import pyarrow as pa

    for field in added_schema(criteria):
        table = table.append_column(field, pa.array([row[field.name] for row in rows], field.type))
    return table


def count_sources(table: pa.Table, criteria: Group, source: str | None) -> dict[str, int]:
    """Count, for each criterion, the scores from a source; None counts the texts without one."""
    import pyarrow.compute as pc

    def count(column: pa.ChunkedArray) -> int:
        hits = pc.is_null(column) if source is None else pc.equal(column, source)
        return int(pc.sum(hits).as_py() or 0)

    return {name: count(table[name + SOURCE]) for name in criteria}
