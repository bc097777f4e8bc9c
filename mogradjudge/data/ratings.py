"""Several ratings of one text: each is kept, and their mean is the human score."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

from mogradjudge.criteria import Group, Rubric
from mogradjudge.criteria.criterion import SINGLE_RATINGS
from mogradjudge.data.batches import Row
from mogradjudge.data.tables import Table

logger = logging.getLogger(__name__)

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


def one_rating_a_row(table: Table, scores: Group, rater: str | None) -> Table:
    """Split a row with a list of scores into one row per score; inputs are copied to each.

    A list may be JSON in a text. Where criteria have lists of different lengths, a score is None
    after the end of its list, and so is a single score beside a list, after the first row.

    Example:
        >>> table = Table("a.csv", ("text", "score"), [{"text": "a", "score": "[4, 5]"}])
        >>> one_rating_a_row(table, ("score",), None).rows
        [{'text': 'a', 'score': 4}, {'text': 'a', 'score': 5}]
    """
    rows, numbers = [], []
    for number, row in zip(table.numbers or count(1), table.rows, strict=False):
        ratings = list(_single_rows(row, scores, rater))
        rows += ratings
        numbers += [number] * len(ratings)
    return replace(table, rows=rows, numbers=numbers)


def _single_rows(row: Row, scores: Group, rater: str | None) -> Iterator[Row]:
    lists = {name: values for name in scores if (values := _as_list(row.get(name))) is not None}
    if not lists:
        yield row
        return
    names = row.get(rater) if rater is not None else None
    for place in range(max(1, *map(len, lists.values()))):
        single = {name: row.get(name) if place == 0 else None for name in scores}
        for name, values in lists.items():
            single[name] = values[place] if place < len(values) else None
        if isinstance(names, list) and rater is not None:
            single[rater] = names[place] if place < len(names) else None
        yield {**row, **single}


def _as_list(value: object) -> list[object] | None:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, list) else None


def merged(source: str, columns: Columns, rubric: Rubric, raters: Sequence[str] | None) -> Columns:
    """Merge rows with equal inputs into one text, and say how many ratings the texts have.

    Where a column names the group, rows of different groups are different texts.

    A human score becomes the mean over its raters; a rater who rated a text twice counts once, with
    the mean of both. If a text has several ratings, all are kept in a column of `Rating` per text,
    and its comments are joined.
    The text takes the place of its first row.

    Args:
        source: The table's name, for the line.
        columns: Inputs, human scores (None where there is none) and ``group``, by row.
        rubric: Names the inputs and the human scores.
        raters: Who gave each row's scores; None if the table does not say.

    Example:
        >>> from mogradjudge.criteria import Criterion
        >>> rubric = Rubric(["text"], [Criterion("clarity", "Is easy to read.")])
        >>> columns = {"text": ["a", "a"], "human_clarity": [4.0, 5.0], "group": ["1", "2"]}
        >>> merged("a.csv", columns, rubric, None)["human_clarity"]
        [4.5]
    """
    # The same words in two conversations are two texts; each was rated in its own.
    names = (*rubric.inputs, *(("group",) if rubric.group else ()))
    texts = list(_equal_rows([columns[name] for name in names]))
    order = {name: place for place, name in enumerate(dict.fromkeys(raters or ()))}
    ratings = [
        sorted(_ratings(rows, columns, rubric, raters), key=lambda one: order.get(one.rater, 0))
        for rows in texts
    ]
    counts = [len({rating.rater for rating in of_text}) for of_text in ratings]
    merged: Columns = {
        name: [values[rows[0]] for rows in texts] for name, values in columns.items()
    }
    for criterion in rubric.criteria:
        merged[criterion.human] = [_mean(of_text, criterion.name) for of_text in ratings]
        if comments := columns.get(criterion.comment or ""):
            merged[str(criterion.comment)] = [
                "\n".join(dict.fromkeys(comments[row] for row in rows if comments[row])) or None
                for rows in texts
            ]
    if max(counts, default=0) < 2:
        return merged
    logger.warning("%s: %s; their means are the human scores.", source, _described(counts))
    return {**merged, SINGLE_RATINGS: [tuple(of_text) for of_text in ratings]}


def _equal_rows(inputs: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*inputs, strict=True)):
        rows.setdefault(values, []).append(row)
    yield from rows.values()


def _ratings(
    rows: Sequence[int], columns: Columns, rubric: Rubric, raters: Sequence[str] | None
) -> list[Rating]:
    """Return the ratings of the text in these rows, one per rater and criterion."""
    scores: dict[tuple[str, str], list[float]] = {}
    for place, row in enumerate(rows, 1):
        rater = str(place) if raters is None else raters[row]
        for criterion in rubric.criteria:
            if (score := columns[criterion.human][row]) is not None:
                scores.setdefault((rater, criterion.name), []).append(score)
    return [Rating(*names, fmean(several)) for names, several in scores.items()]


def _mean(ratings: Sequence[Rating], criterion: str) -> float | None:
    scores = [rating.score for rating in ratings if rating.criterion == criterion]
    return fmean(scores) if scores else None


def _described(counts: Sequence[int]) -> str:
    several = [count for count in counts if count > 1]
    texts = len(several) if len(several) == len(counts) else f"{len(several)} of {len(counts)}"
    low, high = min(several), max(several)
    ratings = f"{low} ratings" if low == high else f"{low} to {high} ratings"
    return f"{texts} texts have {ratings} each" if counts != [low] else f"1 text has {ratings}"
