"""Test agreement of one way to prompt, over its runs: values by run and document, and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.claims import ALPHA, Claim, Verdict, refused
from benchmarks.judged import Judged, unequal_coverage
from mogradjudge.agreement import (
    Undefined,
    cluster_test,
    hierarchical,
    holm,
)

MEAN = "mean"
"""Stands for the mean over the criteria."""
BOUND = 0.03  # a smaller difference of agreements is none
_ENOUGH = 5  # runs; with fewer the interval over runs is too narrow
Runs: TypeAlias = Mapping[int, Judged]
"""The test scores of runs, by the seed of each."""
Table: TypeAlias = npt.NDArray[np.float64]
"""Values of shape (runs, documents), nan where a document has none."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over runs and documents; over documents if there is 1 run."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float | None, table: Table) -> Self:
        """Put the interval of a table's mean beside a value."""
        return cls(value, *(_bounds(table, 0.95) or ()))


def agreements(runs: Runs) -> dict[str, Estimate]:
    """Give the agreement by criterion, and under "mean" their mean, averaged over the runs."""
    found = {}
    for name in (*_criteria(runs), MEAN):
        value = _average([agreement(run, name) for run in runs.values()])
        found[name] = Estimate.of(value, _table(runs, name))
    return found


def agreement(judged: Judged, name: str) -> float | None:
    """Give one run's agreement on a criterion, or the mean of those that are defined."""
    if name == MEAN:
        return _average([agreement(judged, each) for each in judged.scores])
    return judged.agreement(name)


def spread(runs: Runs) -> float | None:
    """Give the standard deviation of the mean agreement from run to run."""
    values = [value for run in runs.values() if (value := agreement(run, MEAN)) is not None]
    return statistics.stdev(values) if len(values) > 1 else None


def differences(arms: Mapping[str, Runs], pairs: Mapping[str, tuple[str, str]]) -> list[Claim]:
    """Judge differences of mean agreement, the first arm less the second, as one family.

    Runs are paired by seed and documents by name. The interval resamples both, so that it holds for
    new runs on new documents; the p-value is that of the sign-flip test on the documents' means
    over runs, adjusted by Holm for the family.

    Args:
        arms: The runs of each arm.
        pairs: Two arms' names for each claim's.
    """
    judged = {name: _difference(arms[a], arms[b]) for name, (a, b) in pairs.items()}
    adjusted = holm(
        {name: found.p_value for name, found in judged.items() if not isinstance(found, str)}
    )
    return [
        refused(name, found) if isinstance(found, str) else _claim(name, found, adjusted[name])
        for name, found in judged.items()
    ]


def gains(arm: Runs, seed: Runs) -> dict[str, Estimate]:
    """Give the difference to the seed prompt by criterion, and of the mean."""
    found = {}
    for name in (*_criteria(arm), MEAN):
        table = _paired(arm, seed, name)
        found[name] = Estimate.of(_mean(table), table)
    return found


@dataclass(frozen=True)
class _Difference:
    table: Table
    p_value: float


def _difference(first: Runs, second: Runs) -> _Difference | str:
    """Give the table of differences and its test, or why there is none."""
    if not (shared := sorted(first.keys() & second.keys())):
        return "no run of one has the seed of a run of the other"
    runs = [arm[seed] for seed in shared for arm in (first, second)]
    lost = [each for name in _criteria(first) if (each := unequal_coverage(runs, name))]
    if lost:
        return "; ".join(lost)
    table = _paired(first, second, MEAN)
    tested = cluster_test(_by_document(table))
    if isinstance(tested, Undefined):
        return tested.reason
    return _Difference(table, tested.p_value)


def _claim(name: str, found: _Difference, p_value: float) -> Claim:
    outer, inner = _bounds(found.table, 0.95), _bounds(found.table, 0.9)
    estimate, runs = _mean(found.table), len(found.table)
    if estimate is None or outer is None or inner is None:
        return refused(name, "it has no interval")
    low, high = outer
    verdict: Verdict = "not established"
    if low * high > 0 and p_value < ALPHA:
        verdict = "established"
    elif inner[0] > -BOUND and inner[1] < BOUND:
        verdict = "equivalent"
    documents = int(np.isfinite(found.table).any(axis=0).sum())
    note = f"{runs} runs" if runs >= _ENOUGH else f"{runs} runs, too few to speak of others"
    note = note if runs > 1 else "1 run: nothing is known of others"
    return Claim(name, estimate, low, high, p_value, documents, verdict, BOUND, note)


def _bounds(table: Table, confidence: float) -> tuple[float, float] | None:
    found = (
        hierarchical(table, confidence=confidence)
        if len(table) > 1
        else cluster_test(_by_document(table), flips=1, confidence=confidence)
    )
    return None if isinstance(found, Undefined) else (found.low, found.high)


def _paired(first: Runs, second: Runs, name: str) -> Table:
    shared = sorted(first.keys() & second.keys())
    pick = [{seed: arm[seed] for seed in shared} for arm in (first, second)]
    documents = sorted({group for arm in pick for run in arm.values() for group in run.groups})
    return _table(pick[0], name, documents) - _table(pick[1], name, documents)


def _table(runs: Runs, name: str, documents: Sequence[str] | None = None) -> Table:
    names = documents or sorted({group for run in runs.values() for group in run.groups})
    if name == MEAN:
        tables = [_table(runs, each, names) for each in _criteria(runs)]
        return _nanmean(np.stack(tables), 0)
    rows = [run.values(name) for _, run in sorted(runs.items())]
    return np.array([[row.get(each, math.nan) for each in names] for row in rows], dtype=np.float64)


def _criteria(runs: Runs) -> list[str]:
    return list(next(iter(runs.values())).scores)


def _by_document(table: Table) -> Table:
    means = _nanmean(table, 0)
    return means[np.isfinite(means)]


def _nanmean(table: Table, axis: int) -> Table:
    defined = np.isfinite(table)
    counts = defined.sum(axis=axis)
    sums = np.where(defined, table, 0.0).sum(axis=axis)
    means: Table = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return means


def _mean(table: Table) -> float | None:
    return float(table[np.isfinite(table)].mean()) if np.isfinite(table).any() else None


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
