"""Rows of the comparison, made of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import Cell
from mogradjudge.agreement import Interval

_FEWEST = 3  # documents

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One method: means over its runs.

    ``status`` says why it could not run, where it could not. ``calls`` are those at the server
    while it ran, by role; ``seconds`` are by threads. ``test`` has a 95 % interval over documents.
    """

    method: str
    status: str = ""
    notes: str = ""
    runs: int = 0
    seed_kept: int = 0
    calls: Mapping[str, float] = field(default_factory=dict)
    tokens: float | None = None
    seconds: Mapping[int, float] = field(default_factory=dict)
    validation: float | None = None
    test: float | None = None
    interval: Interval | None = None


def summarize(cells: Sequence[Cell], resamples: int = 1000) -> list[Row]:
    """Make a row of each method, in the order of the cells."""
    by_method: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.benchmark == "peers":
            by_method.setdefault(cell.key["method"], []).append(cell)
    return [_row(name, own, resamples) for name, own in by_method.items()]


def _row(method: str, cells: Sequence[Cell], resamples: int) -> Row:
    status = next((cell.result["status"] for cell in cells if "status" in cell.result), "")
    ran = [cell for cell in cells if "status" not in cell.result]
    if not ran:
        return Row(method, status)
    roles = sorted({role for cell in ran for role in cell.result["calls"]})
    return Row(
        method=method,
        status=status,
        notes="; ".join(dict.fromkeys(cell.result["notes"] for cell in ran)),
        runs=len(ran),
        seed_kept=sum(cell.result["seed_kept"] for cell in ran),
        calls={role: fmean(cell.result["calls"].get(role, 0) for cell in ran) for role in roles},
        tokens=fmean(cell.result["tokens"] for cell in ran),
        seconds={
            threads: fmean(c.result["seconds"] for c in ran if c.key["threads"] == threads)
            for threads in sorted({cell.key["threads"] for cell in ran})
        },
        validation=_mean([cell.result["validation"] for cell in ran]),
        test=fmean(cell.result["agreement"] for cell in ran),
        interval=mean_interval([cell.result["test"] for cell in ran], resamples),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def mean_interval(
    tests: Sequence[Mapping[str, Any]], resamples: int = 1000, seed: int = 0
) -> Interval | None:
    """Give a 95 % percentile interval for the mean rho over tests, scorings and criteria.

    `mogradjudge.agreement.bootstrap` has one for each criterion; that of their mean needs the same
    documents drawn for all. A document drawn twice counts twice: each has a table of how often
    which human score met which judge's, and those of the drawn ones are added up.

    Args:
        tests: Each with ``documents`` (of every text), ``human`` (scores by criterion) and
            ``judge`` (a list of scorings, each with scores by criterion; None is unscored).
        resamples: How many resamples to draw.
        seed: Seeds the draws.
    """
    names = sorted({name for test in tests for name in test["documents"]})
    if len(names) < _FEWEST:
        return None
    share = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), share, size=resamples)
    values = [
        _rhos(drawn, _tables(test["human"][criterion], scores, test["documents"], names))
        for test in tests
        for scoring in test["judge"]
        for criterion, scores in scoring.items()
    ]
    means = np.nanmean(np.array(values), axis=0)
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return Interval(float(low), float(high))


def _tables(
    human: Sequence[float],
    judge: Sequence[float | None],
    documents: Sequence[str],
    names: Sequence[str],
) -> Floats:
    """Count, per document, how often each human score met each of the judge's."""
    places = {name: place for place, name in enumerate(names)}
    rows = [
        (places[document], said, score)
        for document, said, score in zip(documents, human, judge, strict=True)
        if said is not None and score is not None
    ]
    heights = sorted({said for _, said, _ in rows})
    widths = sorted({score for _, _, score in rows})
    tables = np.zeros((len(names), len(heights), len(widths)))
    for place, said, score in rows:
        tables[place, heights.index(said), widths.index(score)] += 1
    return tables


def _rhos(drawn: NDArray[np.int64], tables: Floats) -> Floats:
    """Give Spearman's rho of each draw, as `mogradjudge.correlate` defines it."""
    summed = np.tensordot(drawn, tables, axes=1)
    human, judge = summed.sum(axis=2), summed.sum(axis=1)
    x, y = _centred(human), _centred(judge)
    products = np.einsum("bi,bj,bij->b", x, y, summed)
    spread_x, spread_y = (human * x**2).sum(axis=1), (judge * y**2).sum(axis=1)
    spreads = np.sqrt(spread_x * spread_y)
    rhos = np.divide(products, spreads, out=np.zeros_like(products), where=spreads > 0)
    defined: Floats = np.where(spread_x > 0, rhos, np.nan)
    return defined


def _centred(counts: Floats) -> Floats:
    """Give the mid-rank of each value, less the mean rank."""
    ranks = counts.cumsum(axis=1) - (counts - 1) / 2
    centred: Floats = ranks - (counts.sum(axis=1, keepdims=True) + 1) / 2
    return centred
