"""What cells hold, and what is derived from it: measures of texts, tests of raters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, TypeAlias

from benchmarks.dilution.agreement import Agreement, agreement_of
from benchmarks.dilution.arms import LONG, ROUTED, Advice, advice_of, silence_in
from benchmarks.dilution.calibration import Calibration, Curve, calibration_of, ratings_curve
from benchmarks.dilution.measures import TextFocus, measure
from benchmarks.dilution.planted import texts_in
from benchmarks.dilution.raters import (
    BENCHMARK,
    EDITS,
    MASKED,
    REAL_TEST,
    STEP,
    UNITS,
    UNITS_TEST,
    WHOLE,
    WHOLE_TEST,
    ratings_of,
)
from benchmarks.harness.cells import Cell
from benchmarks.worlds.bank.real_units import RealUnit
from benchmarks.worlds.controls import is_on
from benchmarks.worlds.ratings import Rating, rated
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

Entry: TypeAlias = Mapping[str, Any]
ByExample: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A text as one rater sees it."""

    advice: Advice
    rater: str
    focus: TextFocus


@dataclass(frozen=True)
class Step:
    """A measured step; ``whole`` and ``edits`` hold ratings from 1 to 10, as in the cells.

    ``silence`` is the share of examples and criteria without advice, by arm.
    """

    key: Entry
    advice: Sequence[Advice]
    texts: Sequence[Measured]
    whole: Sequence[Entry]
    edits: Sequence[Entry]
    silence: Mapping[str, float]

    def of(self, arm: str, rater: str, criterion: str | None = None) -> list[Measured]:
        """Find the texts of an arm; with a criterion, those that were asked about it."""
        return [
            text
            for text in self.texts
            if (text.advice.arm, text.rater) == (arm, rater)
            and (criterion is None or text.advice.target in (None, criterion))
        ]


Source: TypeAlias = Callable[[Step, str, str], ByExample]
"""Gives the values of a step's arm on a criterion, by example."""


@dataclass(frozen=True)
class Observed:
    """All steps, and how the raters did on their tests.

    ``knows`` names the criteria that each rater has figures for. ``calibrations`` are by rater,
    ``whole_texts`` is that of the LM's ratings of whole texts; None if they were not tested.
    """

    steps: Sequence[Step]
    knows: Mapping[str, Group]
    calibrations: Mapping[str, Calibration]
    whole_texts: Curve | None

    @property
    def plain(self) -> tuple[str, ...]:
        """The raters that see the criteria's names."""
        return tuple(name for name in self.knows if not name.endswith(MASKED))

    def passed(self, rater: str, *, yields: bool = False) -> Group:
        """Give the criteria on which a rater passed its test; none without a test."""
        calibration = self.calibrations.get(rater)
        return () if calibration is None else calibration.passed(self.knows[rater], yields=yields)

    def line(self, rater: str, *, yields: bool = False) -> Calibration | None:
        """Give what corrects a rater's figures; a test that it failed corrects nothing."""
        return self.calibrations.get(rater) if self.passed(rater, yields=yields) else None

    def passed_whole(self, criteria: Group) -> Group:
        """Give the criteria on which the LM passed its test with whole texts."""
        return tuple(filter(self.whole_texts.passes, criteria)) if self.whole_texts else ()


def observe(cells: Sequence[Cell]) -> Observed:
    """Derive what is compared from a setting's cells; of equal parts the last counts."""
    own = [cell for cell in cells if cell.benchmark == BENCHMARK]
    steps = [cell for cell in own if cell.key["part"] == STEP]
    criteria: Group = tuple(steps[0].result["criteria"]) if steps else ()
    tests, real = (_by_rater(own, part) for part in (UNITS_TEST, REAL_TEST))
    raters = tuple(_by_rater(own, UNITS))
    whole = [cell.result for cell in own if cell.key["part"] == WHOLE_TEST][-1:]
    return Observed(
        steps=[_step(cell, own, raters) for cell in steps],
        knows={name: tuple(tests[name]["knows"]) if name in tests else criteria for name in raters},
        calibrations={
            name: calibration_of(
                *(texts_in(test["planted"]), ratings_of(test["ratings"]), criteria),
                _agreement(real[name], test["knows"]) if name in real else None,
            )
            for name, test in tests.items()
        },
        whole_texts=ratings_curve(texts_in(whole[0]["planted"]), whole[0]["ratings"])
        if whole
        else None,
    )


def _by_rater(cells: Sequence[Cell], part: str) -> dict[str, Entry]:
    return {cell.key["rater"]: cell.result for cell in cells if cell.key["part"] == part}


def _agreement(test: Entry, knows: Sequence[str]) -> Agreement:
    units = [RealUnit(**unit) for unit in test["units"]]
    return agreement_of(units, ratings_of(test["ratings"]), tuple(knows))


def _step(cell: Cell, cells: Sequence[Cell], raters: Sequence[str]) -> Step:
    """Measure all texts of a step, by the ratings that the other cells hold of it."""
    place = {name: value for name, value in cell.key.items() if name != "part"}
    parts = [other for other in cells if place.items() <= other.key.items()]
    by_rater = _by_rater(parts, UNITS)
    ratings = {name: ratings_of(by_rater[name]["ratings"]) for name in raters if name in by_rater}
    criteria: Group = tuple(cell.result["criteria"])
    advice = advice_of(cell.result["gradients"])
    texts = [
        Measured(text, name, measure(rated(text.text, of), criteria))
        for name, of in ratings.items()
        for text in advice
    ]
    plain = {name: of for name, of in ratings.items() if not name.endswith(MASKED)}
    return Step(
        *(cell.key, advice, [*texts, *_routed(advice, plain, criteria)]),
        *(_ratings(parts, WHOLE), _ratings(parts, EDITS)),
        silence_in(cell.result["gradients"], criteria),
    )


def _ratings(parts: Sequence[Cell], part: str) -> Sequence[Entry]:
    of = [cell.result["ratings"] for cell in parts if cell.key["part"] == part]
    return of[-1] if of else ()


def _routed(
    advice: Sequence[Advice],
    ratings: Mapping[str, Mapping[str, Rating | Unscored]],
    criteria: Group,
) -> list[Measured]:
    """Sort a long text's units by what one rater says; another one rates, or it would agree."""
    texts = []
    for text in advice:
        for router, rater in permutations(ratings, 2) if text.arm == LONG else ():
            units = [rated(text.text, ratings[name]) for name in (router, rater)]
            for name in criteria:
                chosen = [b for a, b in zip(*units, strict=True) if is_on(a, name)]
                own = replace(text, arm=ROUTED, target=name)
                texts.append(Measured(own, rater, measure(chosen, criteria)))
    return texts


def share_of(rater: str, calibration: Calibration | None) -> Source:
    """Give ten times the share of units, corrected by the rater's line: 10 is a pure text."""

    def read(step: Step, arm: str, criterion: str) -> ByExample:
        values = {}
        for text in step.of(arm, rater, criterion):
            seen = text.focus.by_criterion[criterion].share
            if seen is not None:
                right = calibration.corrected(seen, criterion) if calibration else seen
                values[text.advice.example] = 10 * right
        return values

    return read


def yield_of(rater: str, calibration: Calibration | None = None) -> Source:
    """Give the units that can be acted on; with a calibration, corrected by its line of yields."""

    def read(step: Step, arm: str, criterion: str) -> ByExample:
        values = {}
        for text in step.of(arm, rater, criterion):
            seen, units = text.focus.by_criterion[criterion].actionable, text.focus.actionable_units
            values[text.advice.example] = (
                calibration.corrected_yield(seen, units, criterion) if calibration else seen
            )
        return values

    return read


def size_of(rater: str, field: str) -> Source:
    """Read a size of whole texts: ``words``, or ``actionable_units`` on whatever label."""

    def read(step: Step, arm: str, criterion: str) -> ByExample:
        texts = step.of(arm, rater, criterion)
        return {text.advice.example: float(getattr(text.focus, field)) for text in texts}

    return read


def difference_of(one: Source, other: Source) -> Source:
    """Give what the first source says beyond the second, where both say something."""

    def read(step: Step, arm: str, criterion: str) -> ByExample:
        first, second = one(step, arm, criterion), other(step, arm, criterion)
        return {key: first[key] - second[key] for key in first if key in second}

    return read


def rated_text(step: Step, arm: str, criterion: str) -> ByExample:
    """Give the LM's ratings of single texts, from 1 to 10; what advises nothing has none."""
    silent = {(it.arm, it.example, it.target or criterion) for it in step.advice if not it.text}
    ratings = _rated(step, arm, criterion, joined=False)
    return {key: of for key, of in ratings.items() if (arm, key, criterion) not in silent}


def rated_step(step: Step, arm: str, criterion: str) -> ByExample:
    """Give the LM's rating of all texts of a step as one, as in the paper."""
    return _rated(step, arm, criterion, joined=True)


def _rated(step: Step, arm: str, criterion: str, *, joined: bool) -> ByExample:
    return {
        entry["example"] or "": entry["rating"]
        for entry in step.whole
        if (entry["arm"], entry["criterion"]) == (arm, criterion)
        and (entry["example"] is None) is joined
        and entry["rating"] is not None
    }


def rated_edit(step: Step, arm: str, criterion: str) -> ByExample:
    """Give the rating of an arm's new section, one for the whole step."""
    ratings = [
        entry["rating"]
        for entry in step.edits
        if (entry["arm"], entry["criterion"]) == (arm, criterion) and entry["rating"] is not None
    ]
    return {"": statistics.fmean(ratings)} if ratings else {}


Means: TypeAlias = list[dict[str, float]]
"""By cluster, the mean of each arm."""


def means_of(
    steps: Sequence[Step], source: Source, arms: Sequence[str], criteria: Sequence[str]
) -> Means:
    """Average each step over criteria, and over the examples that have a value in all arms."""
    means = []
    for step in steps:
        rows = []
        for name in criteria:
            values = [source(step, arm, name) for arm in arms]
            examples = [key for key in values[0] if all(key in of for of in values)]
            if examples:
                rows.append([statistics.fmean(of[key] for key in examples) for of in values])
        if rows:
            columns = zip(*rows, strict=True)
            means.append(dict(zip(arms, map(statistics.fmean, columns), strict=True)))
    return means


def length_ratio(steps: Sequence[Step], rater: str, arms: tuple[str, str]) -> float | None:
    """Give the words of the first arm by those of the second, over the steps that have both."""
    means = means_of(steps, size_of(rater, "words"), arms, ("",))
    first, second = (math.fsum(step[arm] for step in means) for arm in arms)
    return first / second if second else None
