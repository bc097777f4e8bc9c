"""Several ratings of one text: each is kept, and their mean is the human score."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.criteria.criterion import SINGLE_RATINGS
from mogradjudge.data.batches import BadRow, Row
from mogradjudge.data.tables import Table

logger = logging.getLogger(__name__)

RATER = "rater"
"""The column of raters in ratings by hand, where the rubric names none."""

Columns: TypeAlias = dict[str, Sequence[Any]]


class Rating(NamedTuple):
    """A rater's score of a text on a criterion.

    A rater without a name is called by the rating's place among those of the text, from "1" on.

    Example:
        >>> Rating("ann", "clarity", 4.0).score
        4.0
    """

    rater: str
    criterion: str
    score: float


def rubric_for(rubric: Rubric, columns: Collection[str]) -> Rubric:
    """Return the rubric by which a table with these columns is read.

    Where it has no column of a rater, but a row for each rating, as `label` writes it, the scores
    stand in `Criterion.human` and the raters in `RATER`.

    Example:
        >>> from mogradjudge.criteria import Criterion
        >>> rubric = Rubric(["text"], [Criterion("tone", "Is it kind?", raters=["ann", "bob"])])
        >>> rubric_for(rubric, ("text", "rater", "human_tone")).rater
        'rater'
        >>> rubric_for(rubric, ("text", "rater", "ann", "bob")).rater
    """
    wide = [it for it in rubric.criteria if it.raters]
    others = {column for it in wide for column in it.raters if column != it.human}
    needed = {RATER, *(it.human for it in wide)}
    if not wide or RATER in rubric.columns or others & {*columns} or not needed <= {*columns}:
        return rubric
    criteria = tuple(replace(it, raters=()) for it in rubric.criteria)
    return replace(rubric, criteria=criteria, rater=RATER)


def raters_in_one_list(table: Table, rubric: Rubric) -> Table:
    """Put the scores of a criterion with a column for each rater into one list.

    Beside it stands the list of their columns (`source_of`).

    Example:
        >>> from mogradjudge.criteria import Criterion
        >>> tone = Criterion("tone", "Is it kind?", raters=["ann", "bob"])
        >>> table = Table("a.csv", ("text", "ann", "bob"), [{"text": "a", "ann": "4", "bob": ""}])
        >>> raters_in_one_list(table, Rubric(["text"], [tone])).rows[0]["human_tone"]
        ['4', '']
    """
    several = [
        criterion
        for criterion in rubric.criteria
        if criterion.raters and set(criterion.raters) <= set(table.columns)
    ]

    def parts(_: str, row: Row) -> list[Row]:
        lists = {it.human: [row.get(column) for column in it.raters] for it in several}
        lists |= {source_of(it.human): list(it.raters) for it in several}
        return [row if isinstance(row, BadRow) else {**row, **lists}]

    return table.split(parts) if several else table


def source_of(human: str) -> str:
    """Return the key of a row under which the column stands that its score was read from."""
    return f"column of {human}"


def one_rating_a_row(table: Table, scores: Group, rater: str | None) -> Table:
    """Split a row with a list of scores into one row per score; inputs are copied to each.

    A list may be JSON in a text. Where criteria have lists of different lengths, a score is None
    after the end of its list, and so is a single score beside a list, after the first row. A list
    of raters names one for each score; else the row is bad.

    Example:
        >>> table = Table("a.csv", ("text", "score"), [{"text": "a", "score": "[4, 5]"}])
        >>> one_rating_a_row(table, ("score",), None).rows
        [{'text': 'a', 'score': 4}, {'text': 'a', 'score': 5}]
    """
    return table.split(lambda where, row: _single_rows(where, row, scores, rater))


def _single_rows(where: str, row: Row, scores: Group, rater: str | None) -> Iterator[Row]:
    lists = {name: values for name in scores if (values := _as_list(row.get(name))) is not None}
    names = None if rater is None else _as_list(row.get(rater))
    if not lists and names is None:
        yield row
        return
    longest = max(map(len, lists.values()), default=1)
    if rater is not None and names is not None:
        if len(names) != longest:
            yield BadRow(
                f"{rater!r} must name a rater for each score, but in {where} it names "
                f"{len(names)} for {longest}"
            )
            return
        lists[rater] = names
    for place in range(max(1, longest)):
        single = {name: row.get(name) if place == 0 else None for name in scores}
        of_lists = {name: next(islice(values, place, None), None) for name, values in lists.items()}
        yield {**row, **single, **of_lists}


def _as_list(value: object) -> list[object] | None:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, list) else None


def merged(
    source: str,
    columns: Columns,
    rubric: Rubric,
    raters: Sequence[str] | None,
    apart: str | None = None,
) -> Columns:
    """Merge rows with equal inputs into one text, and say how many ratings the texts have.

    Where a column names the group, rows of different groups are different texts.

    A human score becomes the mean over its raters, or ``"n/a"`` if most say so; a rater who rated
    a text twice counts once, with the mean of both. If a text has several ratings, all are kept in
    a column of `Rating` per text, and its comments are joined. The text takes the place of its
    first row.

    Args:
        source: The table's name, for the line.
        columns: Inputs, human scores (None where there is none) and ``group``, by row; and of what
            column a score is (`source_of`), where raters have columns.
        rubric: Names the inputs and the human scores.
        raters: Who gave each row's scores; None if the table does not say.
        apart: A column whose values tell texts with equal inputs apart.

    Example:
        >>> from mogradjudge.criteria import Criterion
        >>> rubric = Rubric(["text"], [Criterion("clarity", "Is easy to read.")])
        >>> columns = {"text": ["a", "a"], "human_clarity": [4.0, 5.0], "group": ["1", "2"]}
        >>> merged("a.csv", columns, rubric, None)["human_clarity"]
        [4.5]
    """
    # The same words in two conversations are two texts; each was rated in its own.
    names = (*rubric.inputs, *(("group",) if rubric.group else ()), *((apart,) if apart else ()))
    texts = list(_equal_rows([columns[name] for name in names]))
    order = {name: place for place, name in enumerate(dict.fromkeys(raters or ()))}
    scores = [_scores(rows, columns, rubric, raters) for rows in texts]
    ratings = [_ratings(of_text, order) for of_text in scores]
    counts = [_counts(of_text, rubric) for of_text in ratings]
    sources = [source_of(it.human) for it in rubric.criteria]
    merged: Columns = {
        name: [values[rows[0]] for rows in texts]
        for name, values in columns.items()
        if name not in sources
    }
    for criterion in rubric.criteria:
        humans = ([columns[criterion.human][row] for row in rows] for rows in texts)
        merged[criterion.human] = [
            _score(*of_text, criterion.name) for of_text in zip(humans, ratings, strict=True)
        ]
        if comments := columns.get(criterion.comment or ""):
            merged[str(criterion.comment)] = [_joined(comments, rows) for rows in texts]
    if repeated := sum(map(_repeats, scores)):
        logger.warning("%s: %s.", source, _repeated(repeated))
    if max(map(max, counts), default=0) < 2:
        return merged
    logger.warning("%s: %s; their means are the human scores.", source, _described(counts))
    return {**merged, SINGLE_RATINGS: list(map(tuple, ratings))}


def _joined(comments: Sequence[Any], rows: Sequence[int]) -> str | None:
    return "\n".join(dict.fromkeys(comments[row] for row in rows if comments[row])) or None


def _repeats(scores: Mapping[Any, Sequence[float]]) -> bool:
    return any(len(several) > 1 for several in scores.values())


def _equal_rows(inputs: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*inputs, strict=True)):
        rows.setdefault(values, []).append(row)
    yield from rows.values()


def _scores(
    rows: Sequence[int], columns: Columns, rubric: Rubric, raters: Sequence[str] | None
) -> dict[tuple[str, str], list[float]]:
    """Return the scores of the text in these rows, by rater and criterion."""
    scores: dict[tuple[str, str], list[float]] = {}
    for place, row in enumerate(rows, 1):
        for criterion in rubric.criteria:
            if (score := columns[criterion.human][row]) not in (None, NOT_APPLICABLE):
                rater = raters[row] if raters else _unnamed(criterion, columns, row) or str(place)
                scores.setdefault((rater, criterion.name), []).append(score)
    return scores


def _unnamed(criterion: Criterion, columns: Columns, row: int) -> str | None:
    """Return the place of the score's column among those of the criterion's raters."""
    sources = columns.get(source_of(criterion.human))
    return str(criterion.raters.index(sources[row]) + 1) if sources and sources[row] else None


def _ratings(
    scores: Mapping[tuple[str, str], Sequence[float]], order: Mapping[str, int]
) -> list[Rating]:
    ratings = [Rating(*names, fmean(several)) for names, several in scores.items()]
    return sorted(ratings, key=lambda rating: order.get(rating.rater, 0))


def _repeated(texts: int) -> str:
    many = "1 text was" if texts == 1 else f"{texts} texts were"
    return f"{many} rated more than once by one rater, whose mean counts"


def _score(
    cells: Sequence[object], ratings: Sequence[Rating], criterion: str
) -> float | str | None:
    """Return the mean over a text's raters, unless most say that the criterion does not apply."""
    scores = [rating.score for rating in ratings if rating.criterion == criterion]
    if cells.count(NOT_APPLICABLE) > len(scores):
        return NOT_APPLICABLE
    return fmean(scores) if scores else None


def _counts(ratings: Sequence[Rating], rubric: Rubric) -> list[int]:
    names = Counter(rating.criterion for rating in ratings)
    return [names[name] for name in rubric.names]


def _described(counts: Sequence[Sequence[int]]) -> str:
    """Say how many ratings a text has on a criterion, where it has several on one."""
    several = [of_text for of_text in counts if max(of_text) > 1]
    low, high = min(map(min, several)), max(map(max, several))
    of_all = "" if len(several) == len(counts) else f" of {len(counts)}"
    is_single = len(several) == 1
    texts = f"{len(several)}{of_all} text{'s' if of_all or not is_single else ''}"
    ratings = f"{low} to {high} ratings on a criterion"
    if low == high:
        ratings = f"{low} ratings{'' if is_single else ' each'}"
    return f"{texts} {'has' if is_single else 'have'} {ratings}"
