"""Rows of the comparison, made of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from benchmarks.harness.cells import Cell
from benchmarks.harness.tables import Table, interval, mean_of_known
from mogradjudge.agreement import Interval, TestOptions, Undefined, bootstrap_criteria
from mogradjudge.display.terminal import number


@dataclass(frozen=True)
class Row:
    """One method: means over its runs, one per seed.

    Where a seed was run with several numbers of threads, the run with the most counts, and the
    others tell ``seconds`` alone: they ask the same again.

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


def summarize(cells: Sequence[Cell]) -> list[Row]:
    """Make a row of each method, in the order of the cells."""
    by_method: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.benchmark == "peers":
            by_method.setdefault(cell.key["method"], []).append(cell)
    return [_row(name, own) for name, own in by_method.items()]


def _row(method: str, cells: Sequence[Cell]) -> Row:
    status = next((cell.result["status"] for cell in cells if "status" in cell.result), "")
    timed = [cell for cell in cells if "status" not in cell.result]
    if not timed:
        return Row(method, status)
    in_order = sorted(timed, key=lambda cell: cell.key["threads"])
    ran = list({cell.key["seed"]: cell for cell in in_order}.values())
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
            threads: fmean(c.result["seconds"] for c in timed if c.key["threads"] == threads)
            for threads in sorted({cell.key["threads"] for cell in timed})
        },
        validation=mean_of_known(cell.result["validation"] for cell in ran),
        test=fmean(cell.result["agreement"] for cell in ran),
        interval=mean_interval([cell.result["test"] for cell in ran]),
    )


def mean_interval(tests: Sequence[Mapping[str, Any]]) -> Interval | None:
    """Give a 95 % interval for the mean rho over scorings and criteria, by resampling documents.

    Args:
        tests: Scores of the same texts, each with ``documents`` (of every text), ``human`` (scores
            by criterion) and ``judge`` (a list of scorings, each with scores by criterion).
    """
    human, judge = {}, {}
    for run, test in enumerate(tests):
        for repeat, scoring in enumerate(test["judge"]):
            for criterion, scores in scoring.items():
                name = f"{run}/{repeat}/{criterion}"
                human[name], judge[name] = test["human"][criterion], scores
    interval = bootstrap_criteria(human, judge, tests[0]["documents"], TestOptions(level="pooled"))[
        "mean"
    ]
    return None if isinstance(interval, Undefined) else interval


def figures_table(rows: Sequence[Row]) -> Table:
    """Give what the methods came to, and what it took."""
    threads = sorted({count for row in rows for count in row.seconds})
    lines = [
        [
            *(row.method, _agreement(row), number(row.validation)),
            *(_count(sum(row.calls.values())), _count(row.tokens)),
            *(number(row.seconds.get(count), 1) for count in threads),
        ]
        for row in rows
    ]
    times = [f"s, {count} threads" for count in threads]
    columns = ("method", "test", "validation", "calls", "tokens", *times)
    return Table(columns, lines, "Spearman's rho, and the cost of one run")


def calls_table(rows: Sequence[Row]) -> Table:
    """Give the calls by role, and what else there is to say."""
    roles = list(dict.fromkeys(role for row in rows for role in row.calls))
    lines = [
        [
            *(row.method, *(_count(row.calls.get(role)) for role in roles)),
            *(f"{row.seed_kept} of {row.runs}", row.status or row.notes),
        ]
        for row in rows
    ]
    return Table(("method", *roles, "seed prompt kept", "notes"), lines, "Calls by role")


def _agreement(row: Row) -> str:
    bounds = (None, None) if row.interval is None else (row.interval.low, row.interval.high)
    return interval(row.test, *bounds)


def _count(value: float | None) -> str:
    return "-" if not value else f"{value:,.0f}"
