"""The values that contrasts are made of, read from measured steps."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.focus.calibration import Calibration
from benchmarks.focus.measures import chance_corrected
from mogradjudge.criteria import Group

Entry: TypeAlias = Mapping[str, Any]
ByExample: TypeAlias = dict[str, float]
Source: TypeAlias = Callable[[Entry, str, str], ByExample]
"""Gives the values of a step's arm on a criterion, by example."""


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
        found = {}
        for example, value in share(step, arm, criterion).items():
            focus = chance_corrected(corrected(value, criterion, calibration), criteria)
            if focus is not None:
                found[example] = focus
        return found

    return read


def yield_of(rater: str, calibration: Calibration | None) -> Source:
    """Give the expected yield, corrected by the rater's line of yields."""

    def read(step: Entry, arm: str, criterion: str) -> ByExample:
        found = {}
        for entry in entries_of(step, arm, rater, criterion):
            seen, units = (
                entry["by_criterion"][criterion]["expected_yield"],
                entry["actionable_units"],
            )
            right = (
                None if calibration is None else calibration.corrected_yield(seen, units, criterion)
            )
            found[entry["example"]] = float(seen) if right is None else right
        return found

    return read


def units_of(rater: str) -> Source:
    """Give the number of units that can be acted on, on whatever label."""

    def read(step: Entry, arm: str, criterion: str) -> ByExample:
        return {
            each["example"]: float(each["actionable_units"])
            for each in entries_of(step, arm, rater, criterion)
        }

    return read


def corrected(share: float, criterion: str, calibration: Calibration | None) -> float:
    """Undo a rater's compression; a line that does not rise undoes nothing."""
    found = None if calibration is None else calibration.corrected(share, criterion)
    return share if found is None else found


def holistic(step: Entry, arm: str, criterion: str) -> ByExample:
    """Give the LM's ratings of texts that were asked about the criterion."""
    return {
        entry["example"]: entry["rating"]
        for entry in step["holistic"]
        if entry["arm"] == arm
        and entry["criterion"] == criterion
        and entry["target"] in (None, criterion)
        and entry["rating"] is not None
    }


def adherence(step: Entry, arm: str, criterion: str) -> ByExample:
    """Give the rating of an arm's new section, one for the whole step."""
    found = [
        entry["rating"]
        for entry in step["adherence"]
        if entry["arm"] == arm and entry["criterion"] == criterion and entry["rating"] is not None
    ]
    return {"step": statistics.fmean(found)} if found else {}


@dataclass(frozen=True)
class Pairs:
    """Two arms' means by cluster: per criterion, and over the criteria."""

    by_criterion: Mapping[str, list[tuple[float, float]]]
    mean: list[tuple[float, float]]

    def gaps(self) -> dict[str, float]:
        """Give the first less the second, by criterion, over all clusters."""
        return {
            name: statistics.fmean(a - b for a, b in both)
            for name, both in self.by_criterion.items()
            if both
        }

    def differences(self) -> tuple[float, ...]:
        """Give the first less the second, over the criteria, by cluster."""
        return tuple(a - b for a, b in self.mean)


def paired(steps: Sequence[Entry], source: Source, arms: tuple[str, str], criteria: Group) -> Pairs:
    """Average each step over the examples that have a value in both arms.

    A step's mean over criteria is over those that have a value in it.
    """
    by_criterion: dict[str, list[tuple[float, float]]] = {name: [] for name in criteria}
    means = []
    for step in steps:
        found = []
        for name in criteria:
            first, second = (source(step, arm, name) for arm in arms)
            if both := [example for example in first if example in second]:
                pair = tuple(statistics.fmean(arm[key] for key in both) for arm in (first, second))
                by_criterion[name].append((pair[0], pair[1]))
                found.append(pair)
        if found:
            means.append(
                (statistics.fmean(a for a, _ in found), statistics.fmean(b for _, b in found))
            )
    return Pairs(by_criterion, means)
