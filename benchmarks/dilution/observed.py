"""The values that contrasts are made of, read from measured steps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import Any, TypeAlias

from benchmarks.dilution.arms import JOINED, LONG, ROUTED, Advice, advice_of
from benchmarks.dilution.calibration import Calibration, calibration_of
from benchmarks.dilution.measures import TextFocus, chance_corrected, measure
from benchmarks.dilution.planted import texts_in
from benchmarks.dilution.raters import (
    BENCHMARK,
    EDITS,
    MASKED,
    STEP,
    UNITS,
    UNITS_TEST,
    WHOLE,
    WHOLE_TEST,
    ratings_of,
)
from benchmarks.dilution.whole_texts import told_apart
from benchmarks.harness.cells import Cell
from benchmarks.worlds.controls import is_on
from benchmarks.worlds.ratings import Rating, rated
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

Entry: TypeAlias = Mapping[str, Any]
ByExample: TypeAlias = dict[str, float]
Source: TypeAlias = Callable[[Entry, str, str], ByExample]
"""Gives the values of a step's arm on a criterion, by example."""


@dataclass(frozen=True)
class Observed:
    """What cells hold, with what is derived from it.

    ``steps`` have ``texts``, an entry for each text and rater (`TextFocus`, with the arm, the
    example and the target), and the ratings from 1 to 10 of whole texts and of edits.
    ``knows`` names the criteria that each rater has figures for.
    """

    steps: Sequence[Entry]
    knows: Mapping[str, Group]
    calibrations: Mapping[str, Calibration]
    whole_texts: Entry | None

    @property
    def plain(self) -> tuple[str, ...]:
        """The raters that see the criteria's names."""
        return tuple(name for name in self.knows if not name.endswith(MASKED))


def observe(cells: Sequence[Cell]) -> Observed:
    """Derive from a setting's cells what is compared; of equal parts the last counts."""
    own = [cell for cell in cells if cell.benchmark == BENCHMARK]
    steps = [cell for cell in own if cell.key["part"] == STEP]
    criteria: Group = tuple(steps[0].result["criteria"]) if steps else ()
    tests = {cell.key["rater"]: cell.result for cell in own if cell.key["part"] == UNITS_TEST}
    raters = {cell.key["rater"]: None for cell in own if cell.key["part"] == UNITS}
    whole = [cell.result for cell in own if cell.key["part"] == WHOLE_TEST]
    return Observed(
        steps=[_step(cell, own, tuple(raters)) for cell in steps],
        knows={name: tuple(tests[name]["knows"]) if name in tests else criteria for name in raters},
        calibrations={
            name: calibration_of(
                *(name, criteria, texts_in(test["planted"]), ratings_of(test["ratings"]))
            )
            for name, test in tests.items()
        },
        whole_texts=told_apart(texts_in(whole[-1]["planted"]), whole[-1]["ratings"])
        if whole
        else None,
    )


def _step(cell: Cell, cells: Sequence[Cell], raters: Sequence[str]) -> Entry:
    """Measure all texts of a step, by the ratings that the other cells hold of it."""
    place = {name: value for name, value in cell.key.items() if name != "part"}
    parts = [other for other in cells if place.items() <= other.key.items()]
    ratings = {
        of.key["rater"]: ratings_of(of.result["ratings"]) for of in parts if of.key["part"] == UNITS
    }
    criteria: Group = tuple(cell.result["criteria"])
    advice = advice_of(cell.result["gradients"])
    texts = [
        _entry(text, name, measure(rated(text.text, ratings[name]), criteria))
        for name in raters
        if name in ratings
        for text in advice
    ]
    plain = {name: of for name, of in ratings.items() if not name.endswith(MASKED)}
    return {
        "key": cell.key,
        "criteria": criteria,
        "advice": advice,
        "texts": texts + _routed(advice, plain, criteria),
        "holistic": _ratings(parts, WHOLE),
        "adherence": _ratings(parts, EDITS),
    }


def _ratings(parts: Sequence[Cell], part: str) -> Sequence[Entry]:
    of = [cell.result["ratings"] for cell in parts if cell.key["part"] == part]
    return of[-1] if of else ()


def _routed(
    advice: Sequence[Advice],
    ratings: Mapping[str, Mapping[str, Rating | Unscored]],
    criteria: Group,
) -> list[Entry]:
    """Sort the units of C-long by what one rater says; another one rates, or it would agree."""
    entries = []
    for text in advice:
        for router, rater in permutations(ratings, 2) if text.arm == LONG else ():
            routed, by_other = rated(text.text, ratings[router]), rated(text.text, ratings[rater])
            for name in criteria:
                chosen = [b for a, b in zip(routed, by_other, strict=True) if is_on(a, name)]
                if chosen:
                    own = replace(text, arm=ROUTED, target=name)
                    entries.append(_entry(own, rater, measure(chosen, criteria)))
    return entries


def _entry(advice: Advice, rater: str, focus: TextFocus) -> Entry:
    place = {"arm": advice.arm, "example": advice.example, "target": advice.target}
    return {**place, "rater": rater, **asdict(focus)}


def entries_of(step: Entry, arm: str, rater: str, criterion: str | None = None) -> list[Entry]:
    """Find the texts of an arm; with a criterion, those that were asked about it."""
    return [
        entry
        for entry in step["texts"]
        if entry["arm"] == arm
        and entry["rater"] == rater
        and (criterion is None or entry["target"] in (None, criterion))
    ]


def field_of(rater: str, field: str) -> Source:
    """Read a field of `CriterionFocus`."""

    def read(step: Entry, arm: str, criterion: str) -> ByExample:
        return {
            entry["example"]: value
            for entry in entries_of(step, arm, rater, criterion)
            if (value := entry["by_criterion"][criterion][field]) is not None
        }

    return read


def focus_of(rater: str, calibration: Calibration | None, criteria: int) -> Source:
    """Give the chance-corrected focus, from shares of units that the rater's line has corrected."""
    share = field_of(rater, "share_by_units")

    def read(step: Entry, arm: str, criterion: str) -> ByExample:
        values = {}
        for example, value in share(step, arm, criterion).items():
            focus = chance_corrected(corrected(value, criterion, calibration), criteria)
            if focus is not None:
                values[example] = focus
        return values

    return read


def yield_of(rater: str, calibration: Calibration | None) -> Source:
    """Give the expected yield, corrected by the rater's line of yields."""

    def read(step: Entry, arm: str, criterion: str) -> ByExample:
        values = {}
        for entry in entries_of(step, arm, rater, criterion):
            seen, units = (
                entry["by_criterion"][criterion]["expected_yield"],
                entry["actionable_units"],
            )
            right = (
                None if calibration is None else calibration.corrected_yield(seen, units, criterion)
            )
            values[entry["example"]] = float(seen) if right is None else right
        return values

    return read


def words_of(rater: str) -> Source:
    """Give the number of words, the same for every rater."""
    return _whole(rater, "words")


def units_of(rater: str) -> Source:
    """Give the number of units that can be acted on, on whatever label."""
    return _whole(rater, "actionable_units")


def _whole(rater: str, field: str) -> Source:
    """Read a field of `TextFocus`."""

    def read(step: Entry, arm: str, criterion: str) -> ByExample:
        return {
            entry["example"]: float(entry[field])
            for entry in entries_of(step, arm, rater, criterion)
        }

    return read


def corrected(share: float, criterion: str, calibration: Calibration | None) -> float:
    """Undo a rater's compression; a line that does not rise undoes nothing."""
    right = None if calibration is None else calibration.corrected(share, criterion)
    return share if right is None else right


def holistic(step: Entry, arm: str, criterion: str) -> ByExample:
    """Give the LM's ratings of texts that were asked about the criterion."""
    return {
        entry["example"]: entry["rating"]
        for entry in step["holistic"]
        if entry["arm"] == arm
        and entry["example"] is not None
        and entry["criterion"] == criterion
        and entry["rating"] is not None
    }


def adherence(step: Entry, arm: str, criterion: str) -> ByExample:
    """Give the rating of an arm's new section, one for the whole step."""
    ratings = [
        entry["rating"]
        for entry in step["adherence"]
        if entry["arm"] == arm and entry["criterion"] == criterion and entry["rating"] is not None
    ]
    return {"step": statistics.fmean(ratings)} if ratings else {}


def length_ratio(steps: Sequence[Entry], rater: str) -> float | None:
    """Give the words of C-long by those of S joined, over the examples that have both."""
    read, pairs = words_of(rater), []
    for step in steps:
        long, joined = (read(step, arm, "") for arm in (LONG, JOINED))
        pairs += [(long[example], joined[example]) for example in long if example in joined]
    total = math.fsum(joined for _, joined in pairs)
    return math.fsum(long for long, _ in pairs) / total if total else None


@dataclass(frozen=True)
class Pairs:
    """Two arms' means by criterion and step, the steps by their number."""

    by_criterion: Mapping[str, Mapping[int, tuple[float, float]]]

    def mean(self, criteria: Group) -> list[tuple[float, float]]:
        """Average each step over those of these criteria that have a value in it."""
        by_step: dict[int, list[tuple[float, float]]] = {}
        for name in criteria:
            for step, pair in self.by_criterion.get(name, {}).items():
                by_step.setdefault(step, []).append(pair)
        return [_mean_pair(by_step[step]) for step in sorted(by_step)]

    def totals(self) -> dict[str, tuple[float, float]]:
        """Give both arms' means over all steps, by criterion."""
        return {
            name: _mean_pair(list(both.values()))
            for name, both in self.by_criterion.items()
            if both
        }


def paired(steps: Sequence[Entry], source: Source, arms: tuple[str, str], criteria: Group) -> Pairs:
    """Average each step over the examples that have a value in both arms."""
    return _paired(
        steps,
        lambda step, name: (source(step, arms[0], name), source(step, arms[1], name)),
        criteria,
    )


def paired_differences(
    steps: Sequence[Entry], sources: tuple[Source, Source], arms: tuple[str, str], criteria: Group
) -> Pairs:
    """Pair what two sources say of the difference of the arms, on the examples that have all."""

    def differences(step: Entry, name: str) -> tuple[ByExample, ByExample]:
        sides = []
        for source in sources:
            one, other = (source(step, arm, name) for arm in arms)
            sides.append({key: one[key] - other[key] for key in one if key in other})
        return sides[0], sides[1]

    return _paired(steps, differences, criteria)


def _paired(
    steps: Sequence[Entry],
    read: Callable[[Entry, str], tuple[ByExample, ByExample]],
    criteria: Group,
) -> Pairs:
    by_criterion: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in criteria}
    for number, step in enumerate(steps):
        for name in criteria:
            first, second = read(step, name)
            if both := [(first[key], second[key]) for key in first if key in second]:
                by_criterion[name][number] = _mean_pair(both)
    return Pairs(by_criterion)


def _mean_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.fmean(a for a, _ in pairs), statistics.fmean(b for _, b in pairs)
