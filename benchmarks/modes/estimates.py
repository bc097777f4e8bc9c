"""Test agreement of one way to prompt, over its runs: values by run and document, and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np

from benchmarks.harness.scored import BOUND, MEAN, Judged, unequal_coverage
from benchmarks.harness.tables import mean_of_known
from benchmarks.modes.two_way import Table, two_way
from mogradjudge.agreement import Undefined, cluster_test, holm
from mogradjudge.agreement.claims import ALPHA, Claim, Verdict, refused

ENOUGH = 3  # runs; fewer tell next to nothing of how runs vary
Runs: TypeAlias = Mapping[int, Judged]
"""The test scores of runs, by the seed of each."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over runs and documents; over documents if there is 1 run."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float | None, table: Table) -> Self:
        """Put the interval of a table's mean beside a value."""
        test = _tested(table)
        return cls(value) if isinstance(test, str) else cls(value, *test.outer)


def agreements(runs: Runs) -> dict[str, Estimate]:
    """Give the agreement by criterion, and under "mean" their mean, averaged over the runs."""
    estimates = {}
    for name in (*_criteria(runs), MEAN):
        value = mean_of_known(agreement(run, name) for run in runs.values())
        estimates[name] = Estimate.of(value, _table(runs, name))
    return estimates


def agreement(judged: Judged, name: str) -> float | None:
    """Give one run's agreement on a criterion, or the mean of those that are defined."""
    if name == MEAN:
        return mean_of_known(agreement(judged, criterion) for criterion in judged.scores)
    return judged.agreement(name)


def spread(runs: Runs) -> float | None:
    """Give the standard deviation of the mean agreement from run to run."""
    values = [value for run in runs.values() if (value := agreement(run, MEAN)) is not None]
    return statistics.stdev(values) if len(values) > 1 else None


def differences(arms: Mapping[str, Runs], pairs: Mapping[str, tuple[str, str]]) -> list[Claim]:
    """Judge differences of mean agreement, the first arm less the second, as one family.

    Runs are paired by seed and documents by name. Interval and p-value are of one t (`TwoWay`), and
    hold for new runs on new documents; the p-value is adjusted by Holm for the family. Below 3 runs
    nothing is established, nor equivalent. One run's interval is Student's over documents, its
    p-value that of the sign-flip test: they hold for that run's instructions alone.

    Args:
        arms: The runs of each arm.
        pairs: Two arms' names for each claim's.
    """
    judged = {name: _difference(arms[a], arms[b]) for name, (a, b) in pairs.items()}
    adjusted = holm(
        {name: test.p_value for name, test in judged.items() if not isinstance(test, str)}
    )
    return [
        refused(name, test) if isinstance(test, str) else _claim(name, test, adjusted[name])
        for name, test in judged.items()
    ]


def gains(arm: Runs, seed: Runs) -> dict[str, Estimate]:
    """Give the difference to the seed prompt by criterion, and of the mean."""
    estimates = {}
    for name in (*_criteria(arm), MEAN):
        table = _paired(arm, seed, name)
        estimates[name] = Estimate.of(_mean(table), table)
    return estimates


@dataclass(frozen=True)
class _Tested:
    """A table's mean with its p-value, its 95 % and 90 % intervals, and whether values differ."""

    mean: float
    p_value: float
    outer: tuple[float, float]
    inner: tuple[float, float]
    has_spread: bool
    runs: int
    documents: int


def _difference(first: Runs, second: Runs) -> _Tested | str:
    """Test the table of differences, or say why there is none."""
    if not (shared := sorted(first.keys() & second.keys())):
        return "no run of one has the seed of a run of the other"
    runs = [arm[seed] for seed in shared for arm in (first, second)]
    lost = [why for name in _criteria(first) if (why := unequal_coverage(runs, name))]
    return "; ".join(lost) if lost else _tested(_paired(first, second, MEAN))


def _claim(name: str, test: _Tested, p_value: float) -> Claim:
    low, high = test.outer
    verdict: Verdict = "not established"
    note = f"{test.runs} runs"
    if test.runs < ENOUGH:
        note = note if test.runs > 1 else "one run: holds for this run alone"
        note += f"; {ENOUGH} are needed"
    elif low * high > 0 and p_value < ALPHA:
        verdict = "established"
    elif test.has_spread and test.inner[0] > -BOUND and test.inner[1] < BOUND:
        verdict = "equivalent"
    return Claim(
        *(name, test.mean, low, high, p_value, test.documents, verdict, BOUND, note),
        student=test.runs == 1,
    )


def _tested(table: Table) -> _Tested | str:
    """Test the mean of a table's documents that have a value in every run."""
    table = table[:, np.isfinite(table).all(axis=0)]
    runs, documents = table.shape
    if runs > 1 and documents > 1:
        means_test = two_way(table)
        (low, high), (inner_low, inner_high) = means_test.bounds(0.95), means_test.bounds(0.9)
        return _Tested(
            *(float(means_test.mean), float(means_test.p_value)),
            outer=(float(low), float(high)),
            inner=(float(inner_low), float(inner_high)),
            has_spread=bool(means_test.error > 0),
            runs=runs,
            documents=documents,
        )
    means = table.mean(axis=0) if documents else np.array([])
    outer, inner = cluster_test(means), cluster_test(means, flips=1, confidence=0.9)
    if isinstance(outer, Undefined) or isinstance(inner, Undefined):
        return outer.reason if isinstance(outer, Undefined) else "it has no interval"
    return _Tested(
        *(outer.difference, outer.p_value),
        outer=(outer.low, outer.high),
        inner=(inner.low, inner.high),
        has_spread=outer.standard_error > 0,
        runs=runs,
        documents=documents,
    )


def _paired(first: Runs, second: Runs, name: str) -> Table:
    shared = sorted(first.keys() & second.keys())
    pick = [{seed: arm[seed] for seed in shared} for arm in (first, second)]
    documents = sorted({group for arm in pick for run in arm.values() for group in run.groups})
    return _table(pick[0], name, documents) - _table(pick[1], name, documents)


def _table(runs: Runs, name: str, documents: Sequence[str] | None = None) -> Table:
    names = documents or sorted({group for run in runs.values() for group in run.groups})
    if name == MEAN:
        tables = [_table(runs, criterion, names) for criterion in _criteria(runs)]
        known = np.ma.masked_invalid(np.stack(tables))
        return np.asarray(known.mean(axis=0).filled(np.nan))
    rows = [run.values(name) for _, run in sorted(runs.items())]
    return np.array(
        [[row.get(document, math.nan) for document in names] for row in rows], dtype=np.float64
    )


def _criteria(runs: Runs) -> list[str]:
    return list(next(iter(runs.values())).scores)


def _mean(table: Table) -> float | None:
    return float(table[np.isfinite(table)].mean()) if np.isfinite(table).any() else None
