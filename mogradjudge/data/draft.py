"""Guesses a rubric from a table of ratings: inputs, group, raters, scores, scales and comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.criteria.criterion import check_input_name, identifier_of
from mogradjudge.data.batches import bare, header_of
from mogradjudge.data.columns import Columns
from mogradjudge.data.options import READ_DEFAULTS, ReadOptions
from mogradjudge.data.tables import IN_MEMORY, Table, check_columns, read_table, stream_table
from mogradjudge.errors import SetupError

_LIST = re.compile(r"\[\n((?:    .*,\n)+)\]")


@dataclass(frozen=True)
class Draft:
    """A first rubric for a table, each part of which is a guess.

    ``reasons`` says why, by ``"inputs"``, ``"group"``, ``"rater"`` and the criteria's names;
    ``roles`` says what each column of the table is taken for, and why others are left out;
    ``doubts`` says what may be wrong with a criterion's scores, each as a clause; ``remarks`` are
    columns of comments on no single criterion.

    Example:
        >>> Draft(("reply",), (Criterion("tone", "Is it polite?"),)).rubric.names
        ('tone',)
    """

    inputs: Group
    criteria: tuple[Criterion, ...]
    group: str | None = None
    rater: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    images: Group = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, Group] = field(default_factory=dict)
    remarks: Group = ()

    @property
    def rubric(self) -> Rubric:
        """The rubric."""
        inputs = {_input_name(column): column for column in self.inputs}
        return Rubric(inputs, self.criteria, self.group, rater=self.rater, images=self.images)

    def to_toml(self) -> str:
        """Write the rubric with a comment on each part; it can be read as it is."""
        names, criteria = iter(self.rubric.names), iter(self.criteria)
        text = _LIST.sub(_in_one_line, self.rubric.to_toml())
        lines = text.splitlines(keepends=True)
        return "".join(self._comment(line, names, criteria) + line for line in lines)

    def _comment(self, line: str, names: Iterator[str], criteria: Iterator[Criterion]) -> str:
        if line.startswith("[[criteria]]"):
            name = next(names)
            clauses = [self.reasons.get(name, "As you named it"), *self.doubts.get(name, ())]
            return "".join(f"# {clause}.\n" for clause in clauses)
        if line.startswith("definition = "):
            return (
                f"{self._offered(next(criteria))}"
                "# Put here what the raters were told; the judge reads it.\n"
            )
        key = line.partition(" = ")[0].strip("[]\n")
        return f"# {_PURPOSE[key]}{_clause(self.reasons.get(key))}.\n" if key in _PURPOSE else ""

    def _offered(self, criterion: Criterion) -> str:
        """Offer the comments that may be on a criterion, as lines to choose from."""
        if criterion.comment or not self.remarks:
            return ""
        lines = (f"# comment = {json.dumps(it, ensure_ascii=False)}\n" for it in self.remarks)
        return f"# If people say here why they gave these scores, remove the #:\n{''.join(lines)}"


_PURPOSE = {
    "inputs": "What the judge reads",
    "images": "Inputs that are images: paths from the table's folder on, addresses or data URIs",
    "group": "Texts about one document stay together in a split",
    "rater": "Who gave the ratings of a row",
}


def _in_one_line(items: re.Match[str]) -> str:
    return f"[{' '.join(items[1].split()).rstrip(',')}]"


def _clause(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def draft_rubric(
    source: object,
    *,
    inputs: Sequence[str] | None = None,
    human: Mapping[str, Sequence[str]] | None = None,
    group: str | bool | None = None,
    rater: str | bool | None = None,
    limit: int | None = None,
    options: ReadOptions = READ_DEFAULTS,
) -> Draft:
    """Guess a rubric for a table of ratings.

    Args:
        source: A table that `load_examples` reads, a DataFrame of pandas, polars or pyarrow, or a
            list of dicts.
        inputs: The columns that the judge reads; None guesses them.
        human: The columns of human scores of each criterion: one, or one for each rater. None
            guesses them.
        group: The column that names a row's document; False for none, None guesses it.
        rater: The column that names who gave a row's ratings; False for none, None guesses it.
        limit: The number of rows to read; None for all.
        options: How a file is read.

    Raises:
        SetupError: If the table cannot be read, a named column is missing, or no inputs or scores
            are found.

    Example:
        >>> rows = [{"reply": f"This is reply {n}.", "human_tone": 1 + n % 5} for n in range(20)]
        >>> draft = draft_rubric(rows)
        >>> draft.inputs, draft.criteria[0].name, str(draft.criteria[0].scale)
        (('reply',), 'tone', '1 to 5')
    """
    table = table_of(source, limit, options)
    chosen = [
        *(inputs or ()),
        *(column for columns in (human or {}).values() for column in columns),
    ]
    chosen += [name for name in (group, rater) if isinstance(name, str)]
    check_columns(table, [*chosen] or table.columns[:1])
    columns = Columns(table)
    scores = columns.criteria() if human is None else columns.named(human)
    used = {column for own in scores.values() for column in own}
    comments = columns.comments(scores, used)
    used |= {*comments.values()}
    if rater is None and all(len(own) == 1 for own in scores.values()):
        rater = columns.rater(tuple(inputs or columns.inputs(used)), used)
    rater = str(rater) if rater else None
    used |= {*filter(None, [rater])}
    texts = tuple(inputs or columns.inputs(used))
    _check_found(columns, texts, scores)
    document = columns.group(texts, used) if group is None else group or None
    criteria = tuple(
        columns.criterion(
            f"{name}_score" if name in map(_input_name, texts) else name,
            *(tuple(own), comments.get(name), texts),
        )
        for name, own in scores.items()
    )
    criteria = _one_questionnaire(criteria)
    draft = Draft(texts, criteria, str(document) if document else None, rater)
    draft = replace(draft, images=tuple(filter(columns.holds_images, texts)))
    remarks = columns.remarks({*used, *texts, str(document)})
    draft = replace(draft, remarks=tuple(remarks))
    draft = replace(draft, doubts={it.name: tuple(columns.doubts(it)) for it in criteria})
    labels = {column: label for own in scores.values() for column, label in own.items()}
    return replace(draft, reasons=_reasons(columns, draft), roles=_roles(columns, draft, labels))


def table_of(
    source: object, limit: int | None = None, options: ReadOptions = READ_DEFAULTS
) -> Table:
    """Return all columns of a file, a data set of the hub, a DataFrame or a list of dicts.

    Raises:
        SetupError: If it is none of these, or cannot be read.

    Example:
        >>> table_of([{"text": "a", "tone": 4}]).columns
        ('text', 'tone')
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | Path):
        first = next(stream_table(str(source), (), 1, options=options), None)
        return read_table(str(source), first.columns if first else (), limit, options)
    header_of(IN_MEMORY, getattr(source, "column_names", getattr(source, "columns", ())))
    rows = _rows(source)
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        kind = type(source).__name__
        raise SetupError(f"`source` must be a file, a DataFrame or a list of dicts, got a {kind}.")
    named = [{bare(name): value for name, value in row.items()} for row in rows[:limit]]
    return Table(IN_MEMORY, tuple(dict.fromkeys(name for row in named for name in row)), named)


def _rows(source: Any) -> list[Mapping[str, object]] | None:
    for method in ("to_dicts", "to_pylist"):  # of polars, of pyarrow
        if hasattr(source, method):
            return list(getattr(source, method)())
    if hasattr(source, "to_dict"):  # of pandas
        return list(source.to_dict("records"))
    return list(source) if isinstance(source, list | tuple) else None


def _input_name(column: str) -> str:
    """Return the name of an input: ``user_query`` of ``User Query``."""
    name = column if column.isidentifier() else identifier_of(column)
    try:
        check_input_name(name, column)
    except SetupError:
        return f"{name}_text" if name.isidentifier() else f"input_{name}"
    return name


def _check_found(columns: Columns, inputs: Group, scores: Mapping[str, object]) -> None:
    for what, names, option in (("texts", inputs, "inputs"), ("human scores", scores, "human")):
        if not names:
            others = [it for it in columns.cells if it not in inputs]
            raise SetupError(
                f"{columns.table.source}: no column looks like {what}: name it with --{option}. "
                "Its columns: "
                + "; ".join([*inputs, *(f"{it} ({columns.left_out(it, inputs)})" for it in others)])
                + f". {columns.table.hint}".rstrip()
            )


def _one_questionnaire(criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    """Give a criterion the next scale of the others, where only its outer levels are unused."""
    scales = [criterion.scale for criterion in criteria]

    def common(own: Criterion) -> Criterion:
        wider = [
            scale
            for scale in scales
            if scale.low == own.scale.low and scale.width == own.scale.width + 1
        ]
        if own.names or own.scale.width < 3 or not wider:
            return own
        return replace(own, scale=max(wider, key=scales.count))

    return tuple(map(common, criteria))


def _reasons(columns: Columns, draft: Draft) -> dict[str, str]:
    table = columns.table
    reasons = {"inputs": "the columns of texts that are no scores, names or comments"}
    for key, name in {"group": draft.group, "rater": draft.rater}.items():
        if name:
            reasons[key] = f"{name!r} has {_values(table, name)} values in {len(table.rows)} rows"
    for it in draft.criteria:
        of_raters = f"of {len(it.raters)} raters" if it.raters else f"in {it.human!r}"
        reasons[it.name] = f"Scores {of_raters} that fit the scale {it.scale}; check it"
        if it.scale.width == 1 and columns.lie_between(it.columns):
            ends = f"{it.scale.low} or {it.scale.high}"
            reasons[it.name] += f": some lie between, but the judge can only say {ends}"
    return reasons


def _values(table: Table, name: str) -> int:
    return len(set(map(str, table.column(name))))


def _roles(columns: Columns, draft: Draft, raters: Mapping[str, str]) -> dict[str, str]:
    """Say of each column what it is taken for, in the table's order."""
    taken = {name: f"input {_input_name(name)}" for name in draft.inputs}
    for key, name in {"group": draft.group, "rater": draft.rater}.items():
        if name:
            taken[name] = f"{key}: {_values(columns.table, name)} values"
    for it in draft.criteria:
        for column in it.columns:
            by = f" by {raters[column]}" if raters.get(column) else ""
            taken[column] = f"rating of {it.name}{by}"
        if it.comment:
            taken[it.comment] = f"comment on {it.name}"
    return {
        name: taken.get(name) or f"left out: {columns.left_out(name, draft.inputs)}"
        for name in columns.cells
    }
