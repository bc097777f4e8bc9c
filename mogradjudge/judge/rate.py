"""Rates the rows of a table in memory: scores come back as columns of the same kind of table."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import dspy

from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Group, Rubric
from mogradjudge.data import key_of
from mogradjudge.data.tables import similar
from mogradjudge.errors import InputError, SetupError
from mogradjudge.judge.cells import RATIONALE, Added, Cells, cells_of, prefix_of
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import excerpt_of, reason_of

if TYPE_CHECKING:
    import pyarrow as pa

    from mogradjudge.judge.judge import MultiCriteriaJudge

Row: TypeAlias = Mapping[str, Any]

# They concern every text: a rating of the others would fail as well.
_OF_ALL_TEXTS = (
    *(dspy.LMConfigurationError, dspy.LMAuthError, dspy.LMBillingError),
    *(dspy.LMUnsupportedModelError, dspy.LMInvalidRequestError),
)


@dataclass(frozen=True)
class Rating:
    """A table on its way to its scores; ``rows`` are the judge's inputs.

    Rows with equal inputs are judged once. A row that fails has no score, with the reason; if every
    one fails because of the provider, its error is raised.
    """

    judge: MultiCriteriaJudge
    table: Any
    prefix: str
    rows: Sequence[Row]
    errors: list[dspy.LMError] = field(default_factory=list)

    @classmethod
    def of(cls, judge: MultiCriteriaJudge, table: Any, prefix: str | None) -> Rating:
        """Read a table.

        Raises:
            SetupError: If it is no table, lacks an input, or has a column with a score's name.
        """
        names = _names(table)
        prefix = prefix_of(names, added_by(judge), prefix)
        if isinstance(table, Sequence) and not table:
            return cls(judge, table, prefix, [])
        return cls(judge, table, prefix, _inputs(table, _columns(judge.rubric, names)))

    def here(self, num_threads: int) -> Any:
        """Judge with threads, and return the table with its scores."""
        distinct = self._distinct()
        results = in_parallel(self._judged, list(distinct.values()), num_threads)
        return self._scored(dict(zip(distinct, results, strict=True)))

    async def awaited(self, free: asyncio.Semaphore) -> Any:
        """Judge under asyncio, as many texts at a time as are free."""
        distinct = self._distinct()

        async def judged(row: Row) -> dspy.Prediction | Unscored:
            async with free:
                return await self._ajudged(row)

        tasks = [asyncio.create_task(judged(row)) for row in distinct.values()]
        try:
            results = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return self._scored(dict(zip(distinct, results, strict=True)))

    def _distinct(self) -> dict[Hashable, Row]:
        return {key_of(row): row for row in self.rows}

    def _judged(self, row: Row) -> dspy.Prediction | Unscored:
        try:
            return self.judge(**row)
        except (InputError, dspy.LMError) as error:
            return self._failed(error)

    async def _ajudged(self, row: Row) -> dspy.Prediction | Unscored:
        try:
            return await self.judge.acall(**row)
        except (InputError, dspy.LMError) as error:
            return self._failed(error)

    def _failed(self, error: InputError | dspy.LMError) -> Unscored:
        if isinstance(error, InputError):
            return Unscored(str(error))
        if isinstance(error, _OF_ALL_TEXTS):
            raise error
        self.errors.append(error)
        return Unscored(f"the provider failed: {reason_of(error, dspy.settings.lm)}")

    def _scored(self, results: Mapping[Hashable, dspy.Prediction | Unscored]) -> Any:
        if self.errors and len(self.errors) == len(results):
            raise self.errors[0]
        cells = {key: self.cells(result) for key, result in results.items()}
        added = added_by(self.judge).schema(self.prefix)
        return _joined(self.table, [cells[key_of(row)] for row in self.rows], added)

    def cells(self, result: dspy.Prediction | Unscored) -> Cells:
        """Return what a result adds to a row."""
        added = added_by(self.judge)
        cells = dict(cells_of(result, added.criteria))
        if added.reasons:
            cells |= _rationales(result, added.criteria)
        return {self.prefix + name: cells.get(name) for name in added.schema().names}


def added_by(judge: MultiCriteriaJudge) -> Added:
    """Return what a judge adds to a table, its reasons included."""
    return replace(Added.by(judge), reasons=judge.settings.rationale)


def _rationales(result: dspy.Prediction | Unscored, names: Group) -> Cells:
    readings = {} if isinstance(result, Unscored) else result["readings"]
    return {name + RATIONALE: readings[name].rationale if readings else None for name in names}


def _names(table: Any) -> Group:
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        return tuple(dict.fromkeys(name for row in table for name in row))
    names = getattr(table, "column_names", getattr(table, "columns", None))  # pyarrow; the others
    if names is None or isinstance(table, Mapping):
        advice = ""
        if isinstance(table, Mapping):
            advice = " For one text call judge(**record), or put it into a list: [record]."
        raise SetupError(
            "`table` must be a list of dicts or a table of pandas, polars or pyarrow, got "
            f"{excerpt_of(table)}.{advice}"
        )
    names = tuple(names)
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise SetupError(f"The table has two columns {twice!r}. Rename one of them.")
    return names


def _columns(rubric: Rubric, names: Group) -> dict[str, str]:
    """Return where each input stands: in the rubric's column, or in one called like the input.

    Raises:
        SetupError: If there is neither.
    """
    columns = {}
    for name, column in zip(rubric.inputs, rubric.columns, strict=True):
        known = [it for it in (column, name) if it in names]
        if not known:
            other = "" if name == column else f" and none {name!r}"
            hint = f" (did you mean {near}?)" if (near := similar([column], names)) else ""
            raise SetupError(
                f"The table has no column {column!r}{other}{hint}; it has {list(names)}."
            )
        columns[name] = known[0]
    return columns


def _inputs(table: Any, columns: Mapping[str, str]) -> list[Row]:
    if isinstance(table, Sequence):
        return [{name: row.get(column) for name, column in columns.items()} for row in table]
    values = [_values(table[column]) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _values(column: Any) -> list[Any]:
    to_list: Callable[[], list[Any]] = getattr(column, "to_pylist", None) or column.to_list
    return to_list()


def _joined(table: Any, rows: Sequence[Cells], added: pa.Schema) -> Any:
    """Return the table with the added columns; the given one is not changed."""
    import pyarrow as pa

    if isinstance(table, Sequence):
        return [{**old, **new} for old, new in zip(table, rows, strict=True)]
    columns = pa.Table.from_pylist(rows, added)
    if isinstance(table, pa.Table):
        for name in added.names:
            table = table.append_column(name, columns[name])
        return table
    if hasattr(table, "hstack"):  # polars
        return table.hstack(type(table)(columns))
    frame = columns.to_pandas()
    return table.assign(**{name: frame[name].to_numpy() for name in added.names})
