"""What a reader of a comparison meets first: our default beside the method named beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.harness.cells import Values
from benchmarks.harness.finding import MOST_ROWS, Finding, unconfirmed, with_interval
from benchmarks.harness.scored import BOUND
from benchmarks.harness.tables import Table, signed
from benchmarks.peers import cures, ours
from benchmarks.peers.figures import FEWEST, Mean, Row, times_of, written
from benchmarks.peers.method import GEPA, OURS
from benchmarks.worlds import spoken as world_name
from mogradjudge.agreement import cluster_test
from mogradjudge.agreement.claims import Claim, claim, untestable
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
    "HPSS, written anew": "HPSS (rewritten from its paper)",
    "TextGrad, as shipped": "TextGrad (losses of a batch summed)",
    "TextGrad, one by one": "TextGrad (loss by loss)",
    "GEPA, objectives": "GEPA (frontier over criteria)",
    cures.PROJECT: "resolve='project'",
    cures.PARTITION: "a partition found by measuring",
}
_SETTINGS = {
    "sampling": "texts drawn where it errs",
    "tolerance": "no critiques of small errors",
    "pool": "one advice for a batch",
    "race": "early end of weak proposals",
    "mix": "better sections kept alone",
    "confirm": "confirmation on other texts",
}


def spoken(method: str) -> str:
    """Name a row as people read it.

    >>> spoken("paper + race")
    "the paper's protocol + early end of weak proposals"
    """
    start, sign, setting = method.partition(" + " if " + " in method else " - ")
    return f"{_SPOKEN.get(start, start)}{sign}{_SETTINGS.get(setting, setting)}"


@dataclass(frozen=True)
class _Pair:
    """The two methods of the claim."""

    own: Row
    other: Row
    claim: Claim

    @property
    def names(self) -> tuple[str, str]:
        return spoken(self.own.method), spoken(self.other.method)


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
    said = _sentence(pair)
    known = pair.claim.low is not None
    return Finding(
        benchmark,
        setting,
        f"At {cap} calls in the {world_name(setting['world'])} (simulated) world, {said}",
        _action(pair, benchmark),
        pair.claim,
        _table(pair, benchmark, rows, timed),
        tuple(not_run),
        {"method": f"{'In simulation' if known else 'Not known yet'}: {said}"}
        if benchmark == "peers"
        else {},
    )


def _claim(own: Row, other: Row) -> Claim:
    name = f"{own.method} - {other.method}"
    if not (differences := own.minus(other)):
        return untestable(name, "not both were run")
    return claim(name, cluster_test(differences), bound=BOUND)


def _sentence(pair: _Pair) -> str:
    own, other = pair.names
    if pair.own.true is None or pair.other.true is None:
        return f"{own} and {other} were not both run."
    low, high = pair.claim.low, pair.claim.high
    if low is None:
        runs = counted(len(pair.own.minus(pair.other)), "run")
        few = f"{runs} of each is too few to tell {own} from {other}"
        return f"{few}: a test takes {pair.claim.fewest}.{_untouched(pair)}"
    ends = f"{own} ends at {pair.own.true.value:.3f} and {other} at {pair.other.true.value:.3f}"
    unsure = unconfirmed(pair.claim, "runs")
    if unsure or pair.claim.verdict == "established":
        return f"{ends}: a difference of {with_interval(pair.claim)}{unsure}.{_untouched(pair)}"
    shown = "that matters" if pair.claim.verdict == "equivalent" else "could be shown"
    within = f"between {signed(low)} and {signed(high)}"
    return f"{ends}: no difference {shown}: it is {within} (95 % interval).{_untouched(pair)}"


def _untouched(pair: _Pair) -> str:
    """Say who changed nothing: there its agreement is that of the initial instructions."""
    idle = [
        name
        for name, row in zip(pair.names, (pair.own, pair.other), strict=True)
        if row.runs == row.seed_kept > 0
    ]
    return f" The initial instructions were kept by {' and '.join(idle)}." if idle else ""


def _action(pair: _Pair, benchmark: str) -> str:
    own, other = pair.names
    if pair.own.true is None or pair.other.true is None:
        return "Run both: see below what stopped one, or leave out --method."
    if pair.claim.low is None:
        seeds = max(pair.claim.fewest, 10)
        calls = " and more --calls, for these changed nothing" if _untouched(pair) else ""
        return f"Run `python -m benchmarks {benchmark}` with --seeds {seeds}{calls}."
    if pair.claim.verdict != "established":
        return f"Choose between {own} and {other} by time and by what a run says of itself."
    return f"Use {own if (pair.claim.estimate or 0) > 0 else other}."


def _table(pair: _Pair, benchmark: str, rows: Sequence[Row], timed: Sequence[Row]) -> Table:
    """Set the two of the claim among the best others, which few runs do not tell.

    Of our own rows only where there are no peers.
    """
    both, own = [row for row in (pair.own, pair.other) if row.true], pair.own
    ours_too = {method.name for method in ours.METHODS} if benchmark == "peers" else set()
    apart = {row.method for row in both} | ours_too
    others = [row for row in rows if row.true and row.method not in apart]
    enough = all(row.runs >= FEWEST for row in both)
    best = sorted(others, key=_agreement)[len(both) - MOST_ROWS :] if enough else []
    times = times_of(timed)
    lines = [
        [
            *(spoken(row.method), written(row.true), written(_minus(row, own), "+")),
            f"{row.seed_kept} of {counted(row.runs, 'run')}",
            *(number(column.get(row.method), 1) for column in times.values()),
        ]
        for row in sorted([*best, *both], key=_agreement)[::-1]
    ]
    columns = ("method", "true agreement", f"minus {spoken(own.method)}", "changed nothing in")
    return Table((*columns, *times), lines, "What is compared, and the best others")


def _agreement(row: Row) -> float:
    return row.true.value if row.true else 0.0


def _minus(row: Row, own: Row) -> Mean | None:
    differences = row.minus(own) if row is not own else []
    return Mean.of(differences) if differences else None
