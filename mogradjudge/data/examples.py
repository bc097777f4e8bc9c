"""Turns the rows of a table into `dspy.Example`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dspy

from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.data.batches import Row
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
    source: str | Path, rubric: Rubric, limit: int | None = None, *, require_human: bool = True
) -> list[dspy.Example]:
    """Read a table of texts and human scores, one example per row.

    Each example holds the inputs as texts, the human scores as floats (None where there is none)
    and the name of its ``group``. A row that holds lists of texts and of scores becomes one example
    per list item.

    Args:
        source: A file of one of the `KINDS`, or ``hf:OWNER/NAME``, ``hf:OWNER/NAME:SPLIT`` or
            ``hf:OWNER/NAME/CONFIGURATION:SPLIT``, streamed from the Hugging Face hub.
        rubric: Names the columns: the inputs, the human scores, the group.
        limit: The number of rows to read from the top; None for all.
        require_human: Whether the human columns and the group column must exist. Without a group
            column each row is a group of its own, named by its number.

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
    labels = [criterion.human for criterion in rubric.criteria]
    labels += [rubric.group] if rubric.group is not None else []
    table = read_table(str(source), (*rubric.inputs, *labels), limit)
    table = unnested(table, rubric.inputs, tuple(labels))
    required = [*rubric.inputs, *(labels if require_human else ())]
    check_columns(table, list(dict.fromkeys(required)))
    columns = _columns(table, rubric, require_human=require_human)
    return [
        dspy.Example(dict(zip(columns, row, strict=True))).with_inputs(*rubric.inputs)
        for row in zip(*columns.values(), strict=True)
    ]


def _columns(table: Table, rubric: Rubric, *, require_human: bool) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {
        name: input_texts(table, name) for name in rubric.inputs
    }
    columns |= {criterion.human: _scores(table, criterion) for criterion in rubric.criteria}
    return columns | {"group": _groups(table, rubric.group, required=require_human)}


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


def _groups(table: Table, name: str | None, *, required: bool) -> list[str]:
    texts = [""] * len(table.rows) if name is None else texts_of(table, name)
    empty = [(row, text) for row, text in enumerate(texts, 1) if not text.strip()]
    if empty and required and name is not None:
        raise SetupError(
            f"{table.source}: each row needs its group, but {name!r} is empty in "
            f"{named_rows(empty, show=False)}. Fill it in, or remove `group` from the rubric."
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
