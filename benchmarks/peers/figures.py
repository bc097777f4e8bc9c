"""Rows of the comparison, made of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Self

from scipy.stats import t as student

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.tables import Table, interval, mean_of_known, percent, signed
from benchmarks.peers.method import OURS
from mogradjudge.agreement.claims import ALPHA
from mogradjudge.display.terminal import number

TIMED = "times"
"""The benchmark of the cells that are measured for the times of peers alone."""

FEWEST = 3  # runs behind an interval


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
        if len(values) < FEWEST:
            return cls(mean)
        error = stdev(values) / len(values) ** 0.5
        half = float(student.ppf(1 - ALPHA / 2, len(values) - 1)) * error
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Row:
    """One method: means over its runs, one per seed.

    Where a seed was run with several numbers of threads, the run with the most counts, and the
    others tell ``seconds`` and ``paces`` alone: they ask the same again.

    ``status`` says why it could not run, where it could not. ``agreements`` are the true ones of
    what it returns, by seed. ``calls`` are those at the server while it ran, by role; ``seconds``
    are by threads, and so are ``paces``, the seconds of a call. ``differences`` are those to its
    reference, seed by seed. ``optimism`` is the gain that it prints minus the true one of what that
    is printed of. ``wrong`` is the share of runs that return a rewrite that is no better than the
    seed prompt, ``wrongly_confirmed`` of those that call one confirmed. ``reached`` is how many
    rules a step's advice brought to the sections that they help, and ``steps`` how many it took.
    """

    method: str
    status: str = ""
    notes: str = ""
    agreements: Mapping[int, float] = field(default_factory=dict)
    seed_kept: int = 0
    calls: Mapping[str, float] = field(default_factory=dict)
    tokens: float | None = None
    seconds: Mapping[int, float] = field(default_factory=dict)
    paces: Mapping[int, float] = field(default_factory=dict)
    differences: Sequence[float] = ()
    reference: str = ""
    optimism: float | None = None
    wrong: float | None = None
    wrongly_confirmed: float | None = None
    reached: float | None = None
    steps: float | None = None

    @property
    def runs(self) -> int:
        """How many runs count."""
        return len(self.agreements)

    @property
    def true(self) -> Mean | None:
        """The mean true agreement; None if it never ran."""
        return Mean.of([*self.agreements.values()]) if self.agreements else None

    @property
    def against(self) -> Mean | None:
        """The mean difference to its reference; None if it has none, or is it."""
        return Mean.of(self.differences) if self.differences else None

    @property
    def calls_of_a_step(self) -> float | None:
        """Calls of critic, coach and editor in a step; None where it has no steps."""
        written = sum(calls for role, calls in self.calls.items() if role != "judge")
        return written / self.steps if self.steps else None

    def minus(self, other: Row) -> list[float]:
        """Give the differences in agreement, for each seed that both have."""
        both = sorted(self.agreements.keys() & other.agreements.keys())
        return [self.agreements[seed] - other.agreements[seed] for seed in both]


def summarize(cells: Sequence[Cell]) -> list[Row]:
    """Make a row of each method of one comparison, in the order of the cells."""
    by_method: dict[str, list[Cell]] = {}
    for cell in cells:
        by_method.setdefault(cell.key["method"], []).append(cell)
    rows = {name: _row(name, own) for name, own in by_method.items()}
    return [_compared(row, rows.get(row.reference, row)) for row in rows.values()]


def _compared(row: Row, reference: Row) -> Row:
    differences = row.minus(reference) if reference is not row else []
    return replace(row, differences=differences, reference=row.reference if differences else "")


def _row(method: str, cells: Sequence[Cell]) -> Row:
    status = next((cell.result["status"] for cell in cells if "status" in cell.result), "")
    timed = [cell for cell in cells if "status" not in cell.result]
    if not timed:
        return Row(method, status)
    in_order = sorted(timed, key=lambda cell: cell.key["threads"])
    counted = {cell.key["seed"]: cell.result for cell in in_order}
    ran = list(counted.values())
    roles = sorted({role for result in ran for role in result["calls"]})
    seconds, paces = _times(timed)
    return Row(
        method=method,
        status=status,
        notes="; ".join(dict.fromkeys(result["notes"] for result in ran)),
        agreements={seed: result["agreement"] for seed, result in counted.items()},
        seed_kept=sum(result["seed_kept"] for result in ran),
        calls={role: fmean(result["calls"].get(role, 0) for result in ran) for role in roles},
        tokens=fmean(result["tokens"] for result in ran),
        seconds=seconds,
        paces=paces,
        reference=cells[0].key.get("reference", ""),
        optimism=mean_of_known(map(_optimism, ran)),
        wrong=fmean(not result["seed_kept"] and _gain(result) <= 0 for result in ran),
        wrongly_confirmed=fmean(
            bool(result["confirmed"]) and result["printed_truth"] <= 0 for result in ran
        ),
        reached=mean_of_known(result.get("reached") for result in ran),
        steps=mean_of_known(result.get("steps") for result in ran),
    )


def _times(cells: Sequence[Cell]) -> tuple[dict[int, float], dict[int, float]]:
    """Give the seconds of a run, and of a call, by threads."""
    seconds, paces = {}, {}
    for threads in sorted({cell.key["threads"] for cell in cells}):
        results = [cell.result for cell in cells if cell.key["threads"] == threads]
        seconds[threads] = fmean(result["seconds"] for result in results)
        if calls := fmean(sum(result["calls"].values()) for result in results):
            paces[threads] = seconds[threads] / calls
    return seconds, paces


def _gain(result: Values) -> float:
    return float(result["agreement"] - result["seed_agreement"])


def _optimism(result: Values) -> float | None:
    """Give the printed gain minus the true one; a method that prints none has its validation's."""
    if result["printed"] is not None:
        return float(result["printed"] - result["printed_truth"])
    if result["validation"] is None or result["seed_validation"] is None:
        return None
    return float(result["validation"] - result["seed_validation"]) - _gain(result)


def figures_table(rows: Sequence[Row], timed: Sequence[Row] = ()) -> Table:
    """Give what the methods came to, and what it took; ``timed`` are those whose times count."""
    times = times_of(timed) if timed else _seconds(rows)
    lines = [
        [
            *(row.method, written(row.true), written(row.against, "+")),
            *(signed(row.optimism), percent(row.wrong), percent(row.wrongly_confirmed)),
            *(_count(sum(row.calls.values())), _count(row.tokens)),
            *(number(column.get(row.method), 1) for column in times.values()),
        ]
        for row in rows
    ]
    columns = (
        *("method", "true", "minus reference", "printed - true", "wrong", "confirmed wrongly"),
        *("calls", "tokens", *times),
    )
    return Table(columns, lines, "Spearman's rho, and the cost of one run")


def _seconds(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    return {
        f"s, {threads} threads": {
            row.method: row.seconds[threads] for row in rows if threads in row.seconds
        }
        for threads in _threads(rows)
    }


def times_of(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Give each method's time of a call by that of our default, by the name of a column."""
    ours = next((row.paces for row in rows if row.method == OURS), {})
    return {
        f"time by {OURS}'s, {threads} thread{'s' * (threads > 1)}": {
            row.method: row.paces[threads] / ours[threads] for row in rows if threads in row.paces
        }
        for threads in _threads(rows)
        if threads in ours
    }


def _threads(rows: Sequence[Row]) -> list[int]:
    return sorted({threads for row in rows for threads in row.seconds})


def calls_table(rows: Sequence[Row]) -> Table:
    """Give the calls by role, and what else there is to say."""
    roles = list(dict.fromkeys(role for row in rows for role in row.calls))
    lines = [
        [
            *(row.method, *(_count(row.calls.get(role)) for role in roles)),
            number(row.calls_of_a_step, 1),
            number(row.reached, 1),
            *(f"{row.seed_kept} of {row.runs}", row.status or row.notes),
        ]
        for row in rows
    ]
    return Table(
        ("method", *roles, "calls a step", "rules reached a step", "seed prompt kept", "notes"),
        lines,
        "Calls by role",
    )


def written(mean: Mean | None, signs: str = "") -> str:
    """Write a mean with its interval; with ``"+"`` for ``signs`` as a difference."""
    return "-" if mean is None else interval(mean.value, mean.low, mean.high, signs)


def _count(value: float | None) -> str:
    return "-" if not value else f"{value:,.0f}"
