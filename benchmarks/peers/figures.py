"""Rows of the comparison, made of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from benchmarks.harness.cells import Cell
from mogradjudge.agreement import Interval, Undefined, bootstrap_criteria


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
        validation=_mean([cell.result["validation"] for cell in ran]),
        test=fmean(cell.result["agreement"] for cell in ran),
        interval=mean_interval([cell.result["test"] for cell in ran]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def mean_interval(tests: Sequence[Mapping[str, Any]]) -> Interval | None:
    """Give a 95 % interval for the mean rho over scorings and criteria, by resampling documents.

    Args:
        tests: Scores of the same texts, each with ``documents`` (of every text), ``human`` (scores
            by criterion) and ``judge`` (a list of scorings, each with scores by criterion).
    """
    human, judge = {}, {}
    for number, test in enumerate(tests):
        for repeat, scoring in enumerate(test["judge"]):
            for criterion, scores in scoring.items():
                name = f"{number}/{repeat}/{criterion}"
                human[name], judge[name] = test["human"][criterion], scores
    interval = bootstrap_criteria(human, judge, tests[0]["documents"])["mean"]
    return None if isinstance(interval, Undefined) else interval
