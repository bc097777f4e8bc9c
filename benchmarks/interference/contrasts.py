"""Weighted sums of arms' agreements, by run and document, and what they establish."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from benchmarks.harness.over_runs import Tested, tested
from benchmarks.harness.scored import MEAN, Judged, level_of, unequal_coverage
from benchmarks.harness.two_way import Table
from benchmarks.interference.arms import ONE
from benchmarks.interference.scorings import SEED, Scorings

_NEARLY_ONE = 1 - 1e-12  # keeps Fisher's z of a perfect correlation finite


OTHER_TEXTS = "the arms score other texts"
"""Why arms are not compared where one of them left texts out."""

CROWDING = "crowding"
"""The primary claim's effect: on the mean over the criteria."""

TRANSFER, FORMAT, LAYOUT = "transfer", "one call for all", "layout"

EFFECTS: Mapping[str, tuple[str, Mapping[str, int]]] = MappingProxyType(
    {
        CROWDING: (
            "what the other optimized sections do to a criterion in one call",
            {"J1": 1, ONE: -1},
        ),
        TRANSFER: (
            "what a section's optimizing gains in one call minus what it gains in separate ones",
            {ONE: 1, "J0": -1, "S1": -1, "S0": 1},
        ),
        "interference": ("crowding and transfer", {"J1": 1, "J0": -1, "S1": -1, "S0": 1}),
        FORMAT: (
            "one call minus separate ones, with the initial instructions",
            {"J0": 1, "S0": -1},
        ),
        LAYOUT: (
            "one call minus separate ones, with the optimized instructions",
            {"J1": 1, "S1": -1},
        ),
        "gain": ("what optimizing brings in separate calls", {"S1": 1, "S0": -1}),
        "length": ("idle prose after the initial instructions", {"P": 1, "J0": -1}),
        "competition": ("rules of another task in the place of idle prose", {"C": 1, "P": -1}),
        "order": ("the sections in another order", {"O": 1, "J1": -1}),
        "headings": ("the sections run together, without headings", {"N": 1, "J1": -1}),
    }
)
"""What each effect is, and the weights of its arms."""


@dataclass(frozen=True)
class _Averaged:
    """Agreement of one prompt on one criterion, nan if undefined, and its documents' values."""

    agreement: float
    values: Mapping[str, float]


class Contrasts:
    """What arms' agreements come to, of scorings that are whole.

    In weights the arm ``"J+"`` is, on each criterion, the one with that criterion's section alone.
    """

    def __init__(self, scorings: Scorings) -> None:
        self._scorings = scorings
        self._documents = sorted(set(scorings.first.groups))
        self._averaged = {
            (arm, run, name): _averaged(repeats, name)
            for arm, by_run in scorings.by_arm.items()
            for run, repeats in by_run.items()
            for name in scorings.criteria
        }

    def table(self, weights: Mapping[str, int], name: str = MEAN) -> Table:
        """Give the sum by run and document, nan where an arm has no value.

        Each row's mean is the sum of the run's agreements, so that sums of effects are effects. The
        seed's arms have no runs: sums of them alone have one row.

        Args:
            weights: The weight of each arm.
            name: A criterion, or ``"mean"`` for the mean of those on which agreement is defined.
        """
        runs = ("",) if weights.keys() <= SEED else self._scorings.runs
        names = self._scorings.criteria if name == MEAN else (name,)
        return np.array([self._row(weights, run, names) for run in runs])

    def test(self, weights: Mapping[str, int], name: str) -> Tested | str:
        """Test the sum's mean, or say why there is none."""
        names = self._scorings.criteria if name == MEAN else (name,)
        lost = [why for criterion in names if (why := self._lost(weights, criterion))]
        if lost:
            return f"{OTHER_TEXTS}: {'; '.join(lost)}"
        test = tested(self.table(weights, name))
        return (
            replace(test, runs=0) if isinstance(test, Tested) and weights.keys() <= SEED else test
        )

    def agreement(self, weights: Mapping[str, int], name: str = MEAN) -> float | None:
        """Give the sum of agreements, averaged over the runs; None where it is undefined."""
        value = _mean(self.table(weights, name).ravel().tolist())
        return value if math.isfinite(value) else None

    def coverage(self, arm: str) -> float:
        """Give the least share of the rated texts that a scoring of an arm has scores for."""
        names = self._scorings.criteria
        return min(judged.coverage(name) for name in names for judged in self._every(arm, name))

    def _row(self, weights: Mapping[str, int], run: str, names: Sequence[str]) -> list[float]:
        sums = [self._sum(weights, run, name) for name in names]
        known = [of_one for of_one in sums if math.isfinite(of_one.agreement)]
        row = [_mean([s.values[d] for s in known if d in s.values]) for d in self._documents]
        shift = _mean([of_one.agreement for of_one in known]) - _mean(row)
        return [value + shift for value in row]

    def _sum(self, weights: Mapping[str, int], run: str, name: str) -> _Averaged:
        parts = [(weight, self._of(arm, run, name)) for arm, weight in weights.items()]
        shared = set.intersection(*(set(part.values) for _, part in parts))
        return _Averaged(
            sum(weight * part.agreement for weight, part in parts),
            {d: sum(weight * part.values[d] for weight, part in parts) for d in shared},
        )

    def _of(self, arm: str, run: str, name: str) -> _Averaged:
        return self._averaged[_in_full(arm, name), "" if arm in SEED else run, name]

    def _lost(self, weights: Mapping[str, int], name: str) -> str:
        return unequal_coverage([j for arm in weights for j in self._every(arm, name)], name)

    def _every(self, arm: str, name: str) -> list[Judged]:
        by_run = self._scorings.by_arm[_in_full(arm, name)]
        return [judged for repeats in by_run.values() for judged in repeats]


def _averaged(repeats: Sequence[Judged], name: str) -> _Averaged:
    """Average several scorings of one prompt.

    A correlation over all texts is averaged on the scale of Fisher's z. Those within documents are
    averaged as they are: of a handful of texts many are 1 or -1, whose z is infinite.
    """
    by_document = [judged.values(name) for judged in repeats]
    known = [value for judged in repeats if (value := judged.agreement(name)) is not None]
    if level_of(repeats[0]) == "pooled" and known:
        bounded = [min(_NEARLY_ONE, max(-_NEARLY_ONE, value)) for value in known]
        agreement = math.tanh(statistics.fmean(map(math.atanh, bounded)))
    else:
        agreement = _mean(known)
    shared = set.intersection(*map(set, by_document))
    return _Averaged(agreement, {d: _mean([values[d] for values in by_document]) for d in shared})


def _in_full(arm: str, name: str) -> str:
    return f"{ONE}{name}" if arm == ONE else arm


def _mean(values: Sequence[float]) -> float:
    """Average the values that are known; nan if there are none."""
    known = [value for value in values if math.isfinite(value)]
    return statistics.fmean(known) if known else math.nan
