"""Judge against human, score by score: what the judge gave to the texts of each human score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mogradjudge.optimize.events import JudgedText
from mogradjudge.report.run_data import Run
from mogradjudge.report.scores import human_of, judge_of

_WIDEST = 11  # scores of a scale that a table can show one by one
HEAT = 9
"""The darkest of the shades that a count can have."""


@dataclass(frozen=True)
class Confusion:
    """How often each judge score was given to the texts of each human score, on one criterion.

    ``bins`` names the scores, low to high; ``counts[human][judge]`` counts texts. ``rounded`` says
    that some scores lay between two of them, ``unscored`` counts human-rated texts without a judge
    score. ``shades`` are those of the counts, from 0 to `HEAT`.
    """

    criterion: str
    bins: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    rounded: bool
    unscored: int

    @property
    def shades(self) -> tuple[tuple[int, ...], ...]:
        """The shade of each count."""
        most = max((count for row in self.counts for count in row), default=0) or 1
        return tuple(tuple(math.ceil(HEAT * count / most) for count in row) for row in self.counts)

    @property
    def human(self) -> tuple[int, ...]:
        """How many texts have each human score."""
        return tuple(sum(row) for row in self.counts)

    @property
    def judge(self) -> tuple[int, ...]:
        """How many texts the judge gave each score."""
        return tuple(sum(column) for column in zip(*self.counts, strict=True))


def confusions(run: Run, texts: Sequence[JudgedText]) -> tuple[Confusion, ...]:
    """Count, criterion by criterion; none without texts, or where nothing is rated on a scale."""
    if run.rubric is None or not texts:
        return ()
    return tuple(
        _confusion(
            *(criterion.name, criterion.scale.low, criterion.scale.high),
            *(human_of(texts, criterion.name), judge_of(texts, criterion.name)),
        )
        for criterion in run.rubric.criteria
    )


def _confusion(
    name: str,
    low: int,
    high: int,
    human: Sequence[float | None],
    judge: Sequence[float | None],
) -> Confusion:
    width = math.ceil((high - low + 1) / _WIDEST)
    starts = range(low, high + 1, width)

    def place(score: float) -> int:
        return min(max(math.floor(score + 0.5) - low, 0) // width, len(starts) - 1)

    pairs = [(x, y) for x, y in zip(human, judge, strict=True) if x is not None and y is not None]
    found = Counter((place(x), place(y)) for x, y in pairs)
    places = range(len(starts))
    return Confusion(
        criterion=name,
        bins=tuple(
            str(start) if width == 1 else f"{start}\N{EN DASH}{min(start + width - 1, high)}"
            for start in starts
        ),
        counts=tuple(tuple(found[row, column] for column in places) for row in places),
        rounded=any(score != math.floor(score) for pair in pairs for score in pair),
        unscored=sum(x is not None and y is None for x, y in zip(human, judge, strict=True)),
    )
