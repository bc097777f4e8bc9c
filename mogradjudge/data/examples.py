"""Turns the rows of a table into `dspy.Example`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import dspy

from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.data.batches import BadRow, Row, bare
from mogradjudge.data.conversations import transcript
from mogradjudge.data.draft import table_of
from mogradjudge.data.faults import Fault, Findings, say_notes
from mogradjudge.data.grouping import found_groups
from mogradjudge.data.inputs import input_values, notes_on_conversations, texts_of
from mogradjudge.data.options import READ_DEFAULTS, ReadOptions
from mogradjudge.data.ratings import (
    RATER,
    Columns,
    merged,
    one_rating_a_row,
    raters_in_one_list,
    rubric_for,
    source_of,
)
from mogradjudge.data.scores import read_scores
from mogradjudge.data.tables import Table, find_missing, read_table
from mogradjudge.errors import SetupError
from mogradjudge.lm.images import identity
from mogradjudge.lm.quoting import encodable

_RATER = "rater of the row"  # a column beside the fields of an example, none of which is called so


def load_examples(
    source: object,
    rubric: Rubric,
    limit: int | None = None,
    *,
    require_human: bool = True,
    options: ReadOptions = READ_DEFAULTS,
    keep: str | None = None,
) -> list[dspy.Example]:
    """Read a table of texts and human scores, one example per text.

    Each example holds the inputs as texts or `dspy.Image`, the human scores as floats (None where
    there is none) and the name of its ``group``. A row that holds lists of texts and of scores
    becomes one example per list item.

    A text may have several ratings, in rows with equal inputs or as a list in a human column. Its
    human score is then their mean, and ``single_ratings`` holds each `Rating` (`merged`).

    Without ``group`` in the rubric, texts that share an input may form the groups (`found_groups`).

    Args:
        source: A file of one of the `KINDS`, or ``hf:OWNER/NAME``, ``hf:OWNER/NAME:SPLIT`` or
            ``hf:OWNER/NAME/CONFIGURATION:SPLIT``, streamed from the Hugging Face hub; or a
            DataFrame of pandas, polars or pyarrow, or a list of dicts.
        rubric: Names the columns: the inputs, the human scores, the group.
        limit: The number of rows to read from the top; None for all.
        require_human: Whether the human columns and the group column must exist, and that of the
            raters if a text has several ratings. Without a group column each row is a group of its
            own, named by its number.
        options: How the table is read where its file leaves a choice.
        keep: A column that comes along as a text if the table has it, and is no input; rows that
            differ in it are different texts.

    Raises:
        SetupError: If the table cannot be read or does not fit the rubric; it names all that is
            wrong.

    Example:
        >>> from mogradjudge import demo
        >>> folder = Path(demo.__file__).parent
        >>> rubric = Rubric.from_toml(folder / "rubric.toml")
        >>> load_examples(folder / "replies.jsonl", rubric)[0].group
        't01'
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise SetupError(f"`limit` must be >= 1, got {limit!r}.")
    by_row = [it.human for it in rubric.criteria if it.raters and require_human]
    by_row += [RATER] if by_row else []
    wanted = (*rubric.columns, *_labels_of(rubric), *by_row, *([keep] if keep else []))
    if isinstance(source, str | Path):
        table = read_table(str(source), wanted, limit, options)
    else:
        table = table_of(source, limit, options)
    rubric = rubric_for(rubric, table.columns)
    labels = _labels_of(rubric)
    keep = keep if keep in table.columns else None
    table = replace(unnested(table, rubric.columns, tuple(labels)), origins=())
    if require_human:
        table = raters_in_one_list(table, rubric)
        scores = tuple(it.human for it in rubric.criteria)
        scores += tuple(source_of(it.human) for it in rubric.criteria if it.raters)
        table = one_rating_a_row(table, scores, rubric.rater)
    if rubric.rater not in table.columns and not _has_repeats(table, rubric, keep):
        labels = [name for name in labels if name != rubric.rater]
    required = [*rubric.columns, *(labels if require_human else ())]
    columns = _columns(
        table, rubric, tuple(dict.fromkeys(required)), keep, skip_bad=options.skip_bad
    )
    raters = columns.pop(_RATER, None)
    if require_human:
        columns = merged(table.source, columns, rubric, raters, keep)
    if rubric.group is None:
        columns |= _found_groups(table, columns, rubric)
    return [
        dspy.Example(dict(zip(columns, row, strict=True))).with_inputs(*rubric.inputs)
        for row in zip(*columns.values(), strict=True)
    ]


def _labels_of(rubric: Rubric) -> list[str]:
    """Return the columns of what people say of a text."""
    humans = [column for criterion in rubric.criteria for column in criterion.columns]
    comments = [criterion.comment for criterion in rubric.criteria]
    return [*humans, *(name for name in (*comments, rubric.group, rubric.rater) if name)]


def _has_repeats(table: Table, rubric: Rubric, keep: str | None) -> bool:
    """Say whether rows have the same inputs and group, so that their raters matter."""
    names = [*rubric.columns, *(name for name in (rubric.group, keep) if name)]
    texts = {tuple(str(row.get(name)) for name in names) for row in table.rows}
    return len(texts) < len(table.rows)


def _columns(
    table: Table, rubric: Rubric, required: Group, keep: str | None, *, skip_bad: bool
) -> Columns:
    """Check a table, and return its columns by the examples' fields, without bad rows.

    Raises:
        SetupError: If columns are missing, or rows are bad and not left out.
    """
    findings = Findings(table.source)
    find_missing(table, required, findings)
    columns: Columns = {}
    faults, notes = [], [*table.notes]
    for name, column in zip(rubric.inputs, rubric.columns, strict=True):
        if column not in rubric.image_columns:
            notes += notes_on_conversations(table, column)
        columns[name], wrong = input_values(table, column, rubric.image_columns)
        faults += wrong if column in table.columns else []
    for criterion in rubric.criteria:
        scores = read_scores(table, criterion)
        columns |= _of_criterion(table, criterion) | {criterion.human: scores.values}
        faults += scores.faults
        notes += scores.notes
    if keep:
        columns[keep] = [encodable(str(value)) for value in table.column(keep)]
    labels = {"group": rubric.group or None, _RATER: rubric.rater}
    for field, label in labels.items():
        if field == "group" or label in required:
            what = field.split()[0]
            columns[field], wrong = _labels(table, label, what, required=label in required)
            faults += wrong
    wrong = list(table.faults(faults))
    # A row's input stands in each part of it.
    findings.add(dict.fromkeys(replace(it, place=table.origin(it.place)) for it in wrong))
    findings.conclude(len(set(map(table.origin, range(len(table.rows))))), skip_bad=skip_bad)
    bad = {fault.place for fault in wrong}
    say_notes(table.source, notes)
    return {
        name: [value for place, value in enumerate(values) if place not in bad]
        for name, values in columns.items()
    }


def _of_criterion(table: Table, criterion: Criterion) -> Columns:
    """Return the columns that stand beside a criterion's scores."""
    columns: Columns = {}
    if criterion.comment in table.columns:
        columns[criterion.comment] = [_comment(cell) for cell in table.column(criterion.comment)]
    sources = table.column(source_of(criterion.human))
    if any(sources):
        columns[source_of(criterion.human)] = sources
    return columns


def _comment(cell: object) -> str | None:
    text = "" if cell is None or cell != cell else str(cell).strip()  # pandas marks gaps by nan
    return encodable(text) or None


def _found_groups(table: Table, columns: Columns, rubric: Rubric) -> Columns:
    inputs = {
        column: [str(identity(value)) for value in columns[name]]
        for name, column in zip(rubric.inputs, rubric.columns, strict=True)
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
        >>> from mogradjudge import Criterion
        >>> rubric = Rubric(["text"], [Criterion("clarity", "Is easy to read.")])
        >>> missing_human([dspy.Example(human_clarity=None), dspy.Example(human_clarity=4)], rubric)
        {'clarity': 1}
    """
    return {
        criterion.name: sum(example.get(criterion.human) is None for example in examples)
        for criterion in rubric.criteria
    }


def _labels(
    table: Table, name: str | None, what: str, *, required: bool
) -> tuple[list[str], list[Fault]]:
    """Return each row's group or rater, its number if it has none, and what is wrong with rows."""
    if name is None or name not in table.columns:
        return [str(table.origin(place)) for place, _ in enumerate(table.rows)], []
    texts, faults = texts_of(table, name)
    labels = [text if bare(text) else str(row) for row, text in enumerate(texts, 1)]
    if not required:
        return labels, faults
    rule = f"each row needs its {what}, but {name!r} is empty in"
    advice = f"Fill it in, or remove `{what}` from the rubric."
    empty = [n for n, text in enumerate(texts) if not bare(text)]
    return labels, [*faults, *(table.fault(n, rule, advice=advice) for n in empty)]


def unnested(table: Table, inputs: Group, scores: Group) -> Table:
    """Split rows of lists into one row per text; other values are copied to each.

    A row is split if both an input and a score of it are lists. (`mteb/summeval` on the hub has one
    row per article, with 16 summaries and 16 scores per criterion.) A row whose lists differ in
    length is bad.
    """

    def parts(where: str, row: Row) -> list[Row]:
        is_nested = _holds_list(row, inputs) and _holds_list(row, scores)
        return _texts(where, row) if is_nested else [row]

    return table.split(parts)


def _holds_list(row: Row, names: Group) -> bool:
    return any(_is_several(row.get(name)) for name in names)


def _is_several(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list) and transcript(value) is None


def _texts(where: str, row: Row) -> list[Row]:
    lengths = {name: len(value) for name, value in row.items() if _is_several(value)}
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        return [BadRow(f"in {where} {sizes}", rule="the lists of a row must have one length, but")]
    return [
        {name: value[place] if _is_several(value) else value for name, value in row.items()}
        for place in range(max(lengths.values(), default=1))
    ]
