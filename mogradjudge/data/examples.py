"""Turns the rows of a table into `dspy.Example`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dspy

from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.data.batches import Row
from mogradjudge.data.grouping import found_groups
from mogradjudge.data.ratings import Columns, merged, one_rating_a_row
from mogradjudge.data.tables import (
    Table,
    check_columns,
    input_texts,
    is_nan,
    named_rows,
    read_table,
    texts_of,
)
from mogradjudge.errors import SetupError

# How a score column writes a missing score, in lower case.
_NO_SCORE = frozenset({"", "na", "n/a", "nan", "none", "null"})


def load_examples(
    source: str | Path,
    rubric: Rubric,
    limit: int | None = None,
    *,
    require_human: bool = True,
    merge: bool = True,
) -> list[dspy.Example]:
    """Read a table of texts and human scores, one example per text.

    Each example holds the inputs as texts, the human scores as floats (None where there is none)
    and the name of its ``group``. A row that holds lists of texts and of scores becomes one example
    per list item.

    A text may have several ratings, in rows with equal inputs or as a list in a human column. Its
    human score is then their mean, and ``single_ratings`` holds each `Rating` (`merged`).

    Without ``group`` in the rubric, texts that share an input may form the groups (`found_groups`).

    Args:
        source: A file of one of the `KINDS`, or ``hf:OWNER/NAME``, ``hf:OWNER/NAME:SPLIT`` or
            ``hf:OWNER/NAME/CONFIGURATION:SPLIT``, streamed from the Hugging Face hub.
        rubric: Names the columns: the inputs, the human scores, the group.
        limit: The number of rows to read from the top; None for all.
        require_human: Whether the human columns and the group column must exist. Without a group
            column each row is a group of its own, named by its number.
        merge: Whether rated rows with equal inputs become one example; else each row is one.

    Raises:
        SetupError: If the table cannot be read or does not fit the rubric.

    Example:
        >>> from mogradjudge import demo
        >>> folder = Path(demo.__file__).parent
        >>> rubric = Rubric.from_toml(folder / "rubric.toml")
        >>> load_examples(folder / "replies.jsonl", rubric)[0].group
        't01'
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise SetupError(f"`limit` must be >= 1, got {limit!r}.")
    humans = [criterion.human for criterion in rubric.criteria]
    labels = [*humans, *(name for name in (rubric.group, rubric.rater) if name)]
    table = read_table(str(source), (*rubric.columns, *labels), limit)
    table = unnested(table, rubric.columns, tuple(labels))
    required = [*rubric.columns, *(labels if require_human else ())]
    check_columns(table, list(dict.fromkeys(required)))
    merge = merge and require_human
    if merge:
        table = one_rating_a_row(table, tuple(humans), rubric.rater)
    columns = _columns(table, rubric, require_human=require_human)
    if merge:
        raters = None if rubric.rater is None else _named(table, rubric.rater, "rater")
        columns = merged(table.source, columns, rubric, raters)
    if rubric.group is None:
        columns |= _found_groups(table, columns, rubric)
    return [
        dspy.Example(dict(zip(columns, row, strict=True))).with_inputs(*rubric.inputs)
        for row in zip(*columns.values(), strict=True)
    ]


def _columns(table: Table, rubric: Rubric, *, require_human: bool) -> Columns:
    columns: Columns = {
        name: input_texts(table, column)
        for name, column in zip(rubric.inputs, rubric.columns, strict=True)
    }
    columns |= {criterion.human: _scores(table, criterion) for criterion in rubric.criteria}
    group = _named(table, rubric.group or None, "group", required=require_human)
    return columns | {"group": group}


def _found_groups(table: Table, columns: Columns, rubric: Rubric) -> Columns:
    inputs = {
        column: columns[name] for name, column in zip(rubric.inputs, rubric.columns, strict=True)
    }
    groups = found_groups(inputs, f"{table.source}: no group is set", "group = false")
    return {} if groups is None else {"group": groups}


def listed(examples: Iterable[dspy.Example], name: str) -> list[dspy.Example]:
    """Return examples as a list; they may come from a generator.

    Args:
        examples: The examples.
        name: The argument's name, for errors.

    Raises:
        SetupError: If an item is no `dspy.Example`.

    Example:
        >>> listed((dspy.Example(n=n) for n in range(2)), "trainset")
        [Example({'n': 0}) (input_keys=None), Example({'n': 1}) (input_keys=None)]
    """
    try:
        rows = iter(examples)
    except TypeError as error:
        kind = type(examples).__name__
        raise SetupError(f"`{name}` must be a list of dspy.Example, got a {kind}.") from error
    held = list(rows)
    for number, row in enumerate(held, start=1):
        if not isinstance(row, dspy.Example):
            raise SetupError(
                f"`{name}` must hold only dspy.Example, got a {type(row).__name__} in row "
                f"{number}. Make an example of each row: dspy.Example(**row).with_inputs(...)."
            )
    return held


def missing_human(examples: Sequence[dspy.Example], rubric: Rubric) -> dict[str, int]:
    """Count, for each criterion, the examples without a human score.

    Example:
        >>> rubric = Rubric(["text"], [Criterion("clarity", "Is easy to read.")])
        >>> missing_human([dspy.Example(human_clarity=None), dspy.Example(human_clarity=4)], rubric)
        {'clarity': 1}
    """
    return {
        criterion.name: sum(example.get(criterion.human) is None for example in examples)
        for criterion in rubric.criteria
    }


def _named(table: Table, name: str | None, what: str, *, required: bool = True) -> list[str]:
    """Return each row's group or rater; the row's number where there is none."""
    texts = [""] * len(table.rows) if name is None else texts_of(table, name)
    empty = [(row, text) for row, text in enumerate(texts, 1) if not text.strip()]
    if empty and required and name is not None:
        raise SetupError(
            f"{table.source}: each row needs its {what}, but {name!r} is empty in "
            f"{named_rows(empty, show=False)}. Fill it in, or remove `{what}` from the rubric."
        )
    return [text if text.strip() else str(row) for row, text in enumerate(texts, 1)]


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
        raise SetupError(f"{where} hold numbers or nothing, got {named_rows(odd)}.")
    if outside:
        raise SetupError(f"{where} lie on the scale {criterion.scale}, got {named_rows(outside)}.")
    return scores


def _score(value: object) -> float | None:
    if is_nan(value) or (isinstance(value, str) and value.strip().lower() in _NO_SCORE):
        return None
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # type: ignore[arg-type]  # a TypeError is the answer for other types


def unnested(table: Table, inputs: Group, scores: Group) -> Table:
    """Split rows of lists into one row per text; other values are copied to each.

    A row is split if both an input and a score of it are lists. (`mteb/summeval` on the hub has one
    row per article, with 16 summaries and 16 scores per criterion.)

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
            f"{source}: the lists of a row must have one length, but in row {number} {sizes}."
        )
    for place in range(max(lengths.values(), default=1)):
        yield {
            name: value[place] if isinstance(value, list) else value for name, value in row.items()
        }
