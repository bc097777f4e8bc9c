"""The section "Judge against human": judge scores by human score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mogradjudge.criteria import Criterion
from mogradjudge.display.plotting import COLOURS, panels
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.report.pictures import Picture, short
from mogradjudge.report.run_data import RunData
from mogradjudge.report.scores import human_of, judge_of
from mogradjudge.report.section import Findings, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDEST = 11  # scores of a scale that a table can show one by one
_FEWEST = 3  # texts that make an error worth a sentence
_ROOM = 24  # characters of all levels' names that stand side by side
HEAT = 9
"""The darkest of the shades that a count can have."""


@dataclass(frozen=True)
class Confusion:
    """How often each judge score was given to the texts of each human score, on one criterion.

    ``bins`` names the scores, low to high; ``counts[human][judge]`` counts texts. ``rounded`` says
    that some scores lay between two of them, ``unscored`` counts human-rated texts without a judge
    score. ``shades`` are those of the counts, from 0 to `HEAT`. ``low`` is the lowest score.
    ``errors`` counts as ``counts`` does, but only texts that judge and people score a point apart.
    """

    criterion: str
    bins: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    rounded: bool
    unscored: int
    low: int
    errors: tuple[tuple[int, ...], ...]

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


def section(findings: Findings) -> Section:
    """Count the scores of the best instructions, on the held-out texts if there are any."""
    run = findings.run
    counted = confusions(run, findings.texts)
    rows = tuple((confusion, _picture(findings, confusion)) for confusion in counted)
    of_judge = run.rubric is not None
    return Section(
        anchor="spread",
        title="Judge against human" if of_judge else "Score by score",
        heading="Judge against human, score by score" if of_judge else "Score by score",
        template="run_confusion.html.j2",
        values={"confusions": rows, "split": findings.split},
        pictures=tuple(picture for _, picture in rows if picture is not None),
    )


def confusions(run: RunData, texts: Sequence[JudgedText]) -> tuple[Confusion, ...]:
    """Count the scores of each criterion; empty without texts or without a rubric."""
    if run.rubric is None or not texts:
        return ()
    return tuple(
        _confusion(criterion, human_of(texts, criterion.name), judge_of(texts, criterion.name))
        for criterion in run.rubric.criteria
    )


def main_error(confusion: Confusion) -> str:
    """Say in a sentence what the judge gets wrong most; empty if that is little.

    It is the level, of those that the judge never recognizes, that people gave most often; else
    the one confusion that makes up more than half of the errors.
    """
    never = [
        row
        for row, (errors, people) in enumerate(zip(confusion.errors, confusion.human, strict=True))
        if people == sum(errors) >= _FEWEST
    ]
    if never:
        return _never(confusion, max(never, key=confusion.human.__getitem__))
    total = sum(map(sum, confusion.errors))
    most, row, column = max(
        (count, row, column)
        for row, counts in enumerate(confusion.errors)
        for column, count in enumerate(counts)
    )
    if most < _FEWEST or 2 * most <= total:
        return ""
    human, judge = (_named(confusion, place) for place in (row, column))
    errors = f"{most} of {total} errors of a point or more"
    return f"{errors} are texts that people rate {human} and the judge {judge}."


def _never(confusion: Confusion, row: int) -> str:
    """Say what texts of a level get that the judge never recognizes."""
    given = [(count, place) for place, count in enumerate(confusion.errors[row]) if count]
    given.sort(reverse=True)
    how = [f"{count} get {_named(confusion, place)}" for count, place in given]
    get = ", ".join(how) if len(how) > 1 else f"they get {_named(confusion, given[0][1])}"
    texts, level = confusion.human[row], _named(confusion, row)
    return f"Of {texts} texts that people rate {level} none gets it; {get}."


def _named(confusion: Confusion, place: int) -> str:
    """Name a level, with its score if it has a name of its own."""
    name = confusion.bins[place]
    return name if name[:1].isdigit() or name[:1] == "-" else f"{name} ({confusion.low + place})"


def _confusion(
    criterion: Criterion, human: Sequence[float | None], judge: Sequence[float | None]
) -> Confusion:
    low, high = criterion.scale.low, criterion.scale.high
    width = math.ceil((high - low + 1) / _WIDEST)
    starts = range(low, high + 1, width)

    def place(score: float) -> int:
        return min(max(math.floor(score + 0.5) - low, 0) // width, len(starts) - 1)

    rated = [(x, y) for x, y in zip(human, judge, strict=True) if x is not None]
    pairs = [(x, y) for x, y in rated if y is not None]
    places = range(len(starts))

    def counted(pairs: Sequence[tuple[float, float]]) -> tuple[tuple[int, ...], ...]:
        texts = Counter((place(x), place(y)) for x, y in pairs)
        return tuple(tuple(texts[row, column] for column in places) for row in places)

    apart = [(x, y) for x, y in pairs if abs(x - y) >= 1 and place(x) != place(y)]
    return Confusion(
        criterion=criterion.name,
        bins=_bins(starts, criterion),
        counts=counted(pairs),
        rounded=any(score != math.floor(score) for pair in pairs for score in pair),
        unscored=len(rated) - len(pairs),
        low=low,
        errors=counted(apart),
    )


def _bins(starts: range, criterion: Criterion) -> tuple[str, ...]:
    """Name the levels, or the ranges of scores, that begin at these."""
    if starts.step == 1:
        return criterion.names or tuple(map(str, starts))
    ends = (min(start + starts.step - 1, criterion.scale.high) for start in starts)
    return tuple(f"{start}\N{EN DASH}{end}" for start, end in zip(starts, ends, strict=True))


def _picture(findings: Findings, confusion: Confusion) -> Picture | None:
    rows = [
        f"score {name}: human {human}, judge {judge}"
        for name, human, judge in zip(confusion.bins, confusion.human, confusion.judge, strict=True)
    ]
    return findings.picture(
        f"scores-{confusion.criterion}",
        f"How often human and judge gave each score on {confusion.criterion}.",
        f"Texts by score on {confusion.criterion}. {'; '.join(rows)}.",
        partial(_figure, confusion),
    )


def _figure(confusion: Confusion) -> Figure:
    """Draw how often human and judge gave each score."""
    figure, (axes,) = panels(3.6, 2.2, (1,))
    places = range(len(confusion.bins))
    sides = (
        ("human", confusion.human, -0.2, COLOURS[2], ""),
        ("judge", confusion.judge, 0.2, COLOURS[0], "///"),
    )
    for label, counts, shift, colour, hatch in sides:
        axes.bar(
            [place + shift for place in places],
            counts,
            width=0.38,
            color=colour if not hatch else "none",
            edgecolor=colour,
            hatch=hatch,
            label=label,
        )
    names = [short(name) for name in confusion.bins]
    axes.set_xticks(places, names)
    if sum(map(len, names)) > _ROOM:
        for tick in axes.get_xticklabels():
            tick.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.locator_params(axis="y", integer=True)
    axes.set_xlabel("score")
    axes.set_ylabel("texts")
    axes.set_title(short(confusion.criterion), loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
