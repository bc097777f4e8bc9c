"""Rows of a table to ``dspy.Example``."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import dspy

from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.data.tables import Table, read_table
from mogradjudge.errors import SetupError

# What a score column holds, in lower case, where nobody gave a score.
_NO_SCORE = frozenset({"", "na", "n/a", "nan", "none", "null"})


def load_examples(
    source: str | Path, rubric: Rubric, limit: int | None = None, *, require_human: bool = True
) -> list[dspy.Example]:
    """Read a table of texts and human scores, one example per row.

    Each example holds the inputs as the text that the file has, the human scores as floats (None
    where there is none) and, as ``group``, what tells which examples belong together.

    Args:
        source: A file of one of the `KINDS`, or ``hf:OWNER/NAME`` or ``hf:OWNER/NAME:SPLIT`` for
            a data set of the Hugging Face hub, which is streamed.
        rubric: Names the columns: the inputs, the human scores, the group.
        limit: Read only that many rows from the top.
        require_human: Whether the human columns and the group column must be there. Without a
            group column each row is a group of its own, named by its number.

    Raises:
        SetupError: If the table cannot be read or does not fit the rubric.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise SetupError(f"`limit >= 1` must hold, got {limit!r}.")
    labels = [criterion.human for criterion in rubric.criteria]
    labels += [rubric.group] if rubric.group is not None else []
    table = read_table(str(source), (*rubric.inputs, *labels), limit)
    required = [*rubric.inputs, *(labels if require_human else ())]
    _check_columns(table, list(dict.fromkeys(required)))
    columns: dict[str, Sequence[object]] = {name: _inputs(table, name) for name in rubric.inputs}
    columns |= {criterion.human: _scores(table, criterion) for criterion in rubric.criteria}
    columns["group"] = _groups(table, rubric.group, required=require_human)
    return [
        dspy.Example(dict(zip(columns, row, strict=True))).with_inputs(*rubric.inputs)
        for row in zip(*columns.values(), strict=True)
    ]


def missing_human(examples: Sequence[dspy.Example], rubric: Rubric) -> dict[str, int]:
    """Count, for each criterion, the examples without a human score."""
    return {
        criterion.name: sum(example.get(criterion.human) is None for example in examples)
        for criterion in rubric.criteria
    }


def _check_columns(table: Table, required: Sequence[str]) -> None:
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


def _inputs(table: Table, name: str) -> list[str]:
    texts = _texts(table, name)
    if empty := [(row, text) for row, text in enumerate(texts, 1) if not text.strip()]:
        raise SetupError(
            f"{table.source}: each row needs the input {name!r}, but it is empty in "
            f"{_rows(empty, show=False)}. Fill them in or take them out."
        )
    return texts


def _groups(table: Table, name: str | None, *, required: bool) -> list[str]:
    texts = [""] * len(table.rows) if name is None else _texts(table, name)
    empty = [(row, text) for row, text in enumerate(texts, 1) if not text.strip()]
    if empty and required and name is not None:
        raise SetupError(
            f"{table.source}: each row needs its group, but {name!r} is empty in "
            f"{_rows(empty, show=False)}. Fill it in, or use no `group` in the rubric."
        )
    return [text if text.strip() else str(row) for row, text in enumerate(texts, 1)]


def _texts(table: Table, name: str) -> list[str]:
    values = ["" if _is_nan(value) else value for value in table.column(name)]
    kinds = (str, int, float)
    if other := [(n, v) for n, v in enumerate(values, 1) if not isinstance(v, kinds)]:
        raise SetupError(f"{table.source}: {name!r} must hold texts, got {_rows(other)}.")
    return [str(value) for value in values]


def _scores(table: Table, criterion: Criterion) -> list[float | None]:
    scores: list[float | None] = []
    odd: list[tuple[int, object]] = []
    outside: list[tuple[int, object]] = []
    for row, value in enumerate(table.column(criterion.human), 1):
        try:
            scores.append(_score(value))
        except (TypeError, ValueError, OverflowError):
            odd.append((row, value))
        else:
            if scores[-1] is not None and not criterion.scale.covers(scores[-1]):
                outside.append((row, value))
    where = f"{table.source}: {criterion.human!r} must"
    if odd:
        raise SetupError(f"{where} hold numbers or nothing, got {_rows(odd)}.")
    if outside:
        raise SetupError(f"{where} lie on the scale {criterion.scale}, got {_rows(outside)}.")
    return scores


def _score(value: object) -> float | None:
    if _is_nan(value) or (isinstance(value, str) and value.strip().lower() in _NO_SCORE):
        return None
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # type: ignore[arg-type]  # a TypeError is the answer for other types


def _is_nan(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _rows(found: Sequence[tuple[int, object]], *, show: bool = True) -> str:
    """Name the first three rows, and what they hold; count the others."""
    rows = [
        f"{reprlib.repr(value)} in row {row}" if show else f"row {row}" for row, value in found[:3]
    ]
    return ", ".join(rows) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
