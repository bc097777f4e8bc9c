"""Test agreement of one way to prompt, over its runs: values by run and document, and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np

from benchmarks.harness.over_runs import Tested, family, tested
from benchmarks.harness.scored import MEAN, Judged, unequal_coverage
from benchmarks.harness.tables import mean_of_known
from benchmarks.harness.two_way import Table
from mogradjudge.agreement.claims import Claim

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
        test = tested(table)
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
    tests = {name: _difference(arms[a], arms[b]) for name, (a, b) in pairs.items()}
    return [*family(tests, ENOUGH).values()]


def gains(arm: Runs, seed: Runs) -> dict[str, Estimate]:
    """Give the difference to the seed prompt by criterion, and of the mean."""
    estimates = {}
    for name in (*_criteria(arm), MEAN):
        table = _paired(arm, seed, name)
        estimates[name] = Estimate.of(_mean(table), table)
    return estimates


def _difference(first: Runs, second: Runs) -> Tested | str:
    """Test the table of differences, or say why there is none."""
    if not (shared := sorted(first.keys() & second.keys())):
        return "no run of one has the seed of a run of the other"
    runs = [arm[seed] for seed in shared for arm in (first, second)]
    lost = [why for name in _criteria(first) if (why := unequal_coverage(runs, name))]
    return "; ".join(lost) if lost else tested(_paired(first, second, MEAN))


def _paired(first: Runs, second: Runs, name: str) -> Table:
    """Give the differences on the documents that all runs have a value on.

    Each row's mean is the difference of the runs' agreements, which stand beside it.
    """
    shared = sorted(first.keys() & second.keys())
    pick = [{seed: arm[seed] for seed in shared} for arm in (first, second)]
    documents = sorted({group for arm in pick for run in arm.values() for group in run.groups})
    table = _table(pick[0], name, documents) - _table(pick[1], name, documents)
    table = table[:, np.isfinite(table).all(axis=0)]
    ends = [[agreement(arm[seed], name) for arm in pick] for seed in shared]
    gaps = [math.nan if one is None or other is None else one - other for one, other in ends]
    shifts = np.array(gaps)[:, None] - table.mean(axis=1, keepdims=True) if table.size else 0.0
    return np.asarray(table + shifts)


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
