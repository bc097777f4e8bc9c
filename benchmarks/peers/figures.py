"""Rows of the comparison, made of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Self

from scipy.stats import t as student

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.tables import Table, interval, mean_of_known, percent, signed
from mogradjudge.agreement.claims import ALPHA
from mogradjudge.display.terminal import number

_FEWEST = 3  # runs behind an interval


@dataclass(frozen=True)
class Mean:
    """A mean over runs, with its 95 % interval over them (Student's t) if there are three."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Average values, one per run.

        >>> Mean.of([0.25, 0.5])
        Mean(value=0.375, low=None, high=None)
        """
        mean = fmean(values)
        if len(values) < _FEWEST:
            return cls(mean)
        error = stdev(values) / len(values) ** 0.5
        half = float(student.ppf(1 - ALPHA / 2, len(values) - 1)) * error
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Row:
    """One method: means over its runs, one per seed.

    Where a seed was run with several numbers of threads, the run with the most counts, and the
    others tell ``seconds`` alone: they ask the same again.

    ``status`` says why it could not run, where it could not. ``calls`` are those at the server
    while it ran, by role; ``seconds`` are by threads. ``true`` is the agreement of what it returns,
    ``against`` the difference to its reference, seed by seed. ``optimism`` is the gain that it
    prints minus the true one of what that is printed of. ``wrong`` is the share of runs that return
    a rewrite that is no better than the seed prompt, ``wrongly_confirmed`` of those that call one
    confirmed.
    """

    method: str
    status: str = ""
    notes: str = ""
    runs: int = 0
    seed_kept: int = 0
    calls: Mapping[str, float] = field(default_factory=dict)
    tokens: float | None = None
    seconds: Mapping[int, float] = field(default_factory=dict)
    true: Mean | None = None
    against: Mean | None = None
    reference: str = ""
    optimism: float | None = None
    wrong: float | None = None
    wrongly_confirmed: float | None = None


def summarize(cells: Sequence[Cell]) -> list[Row]:
    """Make a row of each method of one comparison, in the order of the cells."""
    by_method: dict[str, list[Cell]] = {}
    for cell in cells:
        by_method.setdefault(cell.key["method"], []).append(cell)
    counted = {name: _counted(own) for name, own in by_method.items()}
    return [_compared(_row(name, own), own[0], counted) for name, own in by_method.items()]


def _counted(cells: Sequence[Cell]) -> dict[int, Cell]:
    """Give the run of each seed that counts."""
    ran = [cell for cell in cells if "status" not in cell.result]
    in_order = sorted(ran, key=lambda cell: cell.key["threads"])
    return {cell.key["seed"]: cell for cell in in_order}


def _compared(row: Row, cell: Cell, counted: Mapping[str, Mapping[int, Cell]]) -> Row:
    reference = cell.key.get("reference", "")
    own, others = counted[row.method], counted.get(reference, {})
    both = sorted(own.keys() & others.keys())
    if not both or reference == row.method:
        return row
    differences = [own[s].result["agreement"] - others[s].result["agreement"] for s in both]
    return replace(row, against=Mean.of(differences), reference=reference)


def _row(method: str, cells: Sequence[Cell]) -> Row:
    status = next((cell.result["status"] for cell in cells if "status" in cell.result), "")
    timed = [cell for cell in cells if "status" not in cell.result]
    if not timed:
        return Row(method, status)
    ran = [cell.result for cell in _counted(cells).values()]
    roles = sorted({role for result in ran for role in result["calls"]})
    return Row(
        method=method,
        status=status,
        notes="; ".join(dict.fromkeys(result["notes"] for result in ran)),
        runs=len(ran),
        seed_kept=sum(result["seed_kept"] for result in ran),
        calls={role: fmean(result["calls"].get(role, 0) for result in ran) for role in roles},
        tokens=fmean(result["tokens"] for result in ran),
        seconds={
            threads: fmean(c.result["seconds"] for c in timed if c.key["threads"] == threads)
            for threads in sorted({cell.key["threads"] for cell in timed})
        },
        true=Mean.of([result["agreement"] for result in ran]),
        optimism=mean_of_known(map(_optimism, ran)),
        wrong=fmean(not result["seed_kept"] and _gain(result) <= 0 for result in ran),
        wrongly_confirmed=fmean(
            bool(result["confirmed"]) and result["printed_truth"] <= 0 for result in ran
        ),
    )


def _gain(result: Values) -> float:
    return float(result["agreement"] - result["seed_agreement"])


def _optimism(result: Values) -> float | None:
    """Give the printed gain minus the true one; a method that prints none has its validation's."""
    if result["printed"] is not None:
        return float(result["printed"] - result["printed_truth"])
    if result["validation"] is None or result["seed_validation"] is None:
        return None
    return float(result["validation"] - result["seed_validation"]) - _gain(result)


def figures_table(rows: Sequence[Row]) -> Table:
    """Give what the methods came to, and what it took."""
    threads = sorted({count for row in rows for count in row.seconds})
    lines = [
        [
            *(row.method, _written(row.true), _written(row.against, "+")),
            *(signed(row.optimism), percent(row.wrong), percent(row.wrongly_confirmed)),
            *(_count(sum(row.calls.values())), _count(row.tokens)),
            *(number(row.seconds.get(count), 1) for count in threads),
        ]
        for row in rows
    ]
    times = [f"s, {count} threads" for count in threads]
    columns = (
        *("method", "true", "minus reference", "printed - true", "wrong", "confirmed wrongly"),
        *("calls", "tokens", *times),
    )
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


def _written(mean: Mean | None, signs: str = "") -> str:
    return "-" if mean is None else interval(mean.value, mean.low, mean.high, signs)


def _count(value: float | None) -> str:
    return "-" if not value else f"{value:,.0f}"
