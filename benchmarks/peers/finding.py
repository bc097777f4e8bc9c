"""What a reader of a comparison meets first: our default beside the method named beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.harness.cells import Values
from benchmarks.harness.finding import MOST_ROWS, Finding, with_interval
from benchmarks.harness.scored import BOUND
from benchmarks.harness.tables import Table, signed
from benchmarks.peers import cures, ours
from benchmarks.peers.figures import Mean, Row, times_of, written
from benchmarks.peers.method import GEPA, OURS
from mogradjudge.agreement import cluster_test
from mogradjudge.agreement.claims import Claim, claim, refused
from mogradjudge.display.terminal import number
from mogradjudge.report.numbers import counted

_PRIMARY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"peers": (OURS, GEPA), "methods": (ours.DEFAULT, ours.PAPER)}
)
"""Whose difference is claimed. To claim that to the best peer would count its luck as its own."""
_CURED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"conflicts": (cures.PROJECT, ours.DEFAULT), "families": (cures.PARTITION, ours.DEFAULT)}
)
"""The same of our settings, in the worlds that are about one of them."""
_SPOKEN = {
    OURS: f"our default ({OURS})",
    ours.DEFAULT: "our default",
    ours.PAPER: "the paper's protocol",
    cures.PROJECT: "resolve='project'",
    cures.PARTITION: "a partition found by measuring",
}
_LIMIT = "This world is simulated: the order holds for its rules, and says nothing of your model."


@dataclass(frozen=True)
class _Pair:
    """The two methods of the claim."""

    own: Row
    other: Row
    claim: Claim

    @property
    def names(self) -> tuple[str, str]:
        return _spoken(self.own), _spoken(self.other)


def finding(
    benchmark: str, setting: Values, cap: int, rows: Sequence[Row], timed: Sequence[Row] = ()
) -> Finding:
    """Say what a comparison came to.

    Args:
        benchmark: "peers" or "methods".
        setting: Of its cells; it names the world.
        cap: Calls that each method had.
        rows: What was measured.
        timed: The same methods, run for their times.
    """
    by_name = {row.method: row for row in rows}
    cured = _CURED if benchmark == "methods" else {}
    names = cured.get(setting["world"], _PRIMARY[benchmark])
    own, other = (by_name.get(name, Row(name, "not run")) for name in names)
    pair = _Pair(own, other, _claim(own, other))
    not_run = [f"{row.method} cannot run: {row.status}." for row in rows if row.status]
    action = _action(pair)
    return Finding(
        benchmark,
        setting,
        f"At {cap} calls in the {setting['world']} world, {_sentence(pair)}",
        action,
        pair.claim,
        _table(benchmark, own, rows, timed),
        (_LIMIT, *not_run),
        {"method": action} if benchmark == "peers" else {},
    )


def _claim(own: Row, other: Row) -> Claim:
    name = f"{own.method} - {other.method}"
    if not (differences := own.minus(other)):
        return refused(name, "not both were run")
    return claim(name, cluster_test(differences), bound=BOUND)


def _spoken(row: Row) -> str:
    return _SPOKEN.get(row.method, row.method)


def _sentence(pair: _Pair) -> str:
    own, other = pair.names
    if pair.own.true is None or pair.other.true is None:
        return f"{own} and {other} were not both run."
    ends = f"{own} ends at {pair.own.true.value:.3f} and {other} at {pair.other.true.value:.3f}"
    if (low := pair.claim.low) is None:
        runs = len(pair.own.minus(pair.other))
        return f"{ends} in {counted(runs, 'run')} of each, too few to tell which is better."
    if pair.claim.verdict == "established":
        return f"{ends}: a difference of {with_interval(pair.claim)}."
    shown = "that matters" if pair.claim.verdict == "equivalent" else "could be shown"
    within = f"between {signed(low)} and {signed(pair.claim.high)}"
    return f"{ends}: no difference {shown}: it is {within} (95 % interval)."


def _action(pair: _Pair) -> str:
    own, other = pair.names
    if pair.own.true is None or pair.other.true is None:
        return "Run both: see below what stopped one, or leave out --method."
    if pair.claim.low is None:
        return f"Give --seeds {max(pair.claim.fewest, 10)}: it takes {pair.claim.fewest} to tell."
    if pair.claim.verdict != "established":
        return f"Choose between {own} and {other} by time and by what a run says of itself."
    return f"Use {own if (pair.claim.estimate or 0) > 0 else other}."


def _table(benchmark: str, own: Row, rows: Sequence[Row], timed: Sequence[Row]) -> Table:
    """Set our default among the best others; of our own rows only where there are no peers."""
    apart = {method.name for method in ours.METHODS} if benchmark == "peers" else {own.method}
    others = [row for row in rows if row.true and row.method not in apart]
    best = sorted(others, key=_agreement)[1 - MOST_ROWS :]
    times = times_of(timed)
    lines = [
        [
            *(row.method, written(row.true), written(_minus(row, own), "+")),
            *(number(column.get(row.method), 1) for column in times.values()),
        ]
        for row in sorted([*best, *([own] if own.true else [])], key=_agreement)[::-1]
    ]
    columns = ("method", "true agreement", f"minus {own.method}", *times)
    return Table(columns, lines, f"The best others, and {_spoken(own)}")


def _agreement(row: Row) -> float:
    return row.true.value if row.true else 0.0


def _minus(row: Row, own: Row) -> Mean | None:
    differences = row.minus(own) if row is not own else []
    return Mean.of(differences) if differences else None
