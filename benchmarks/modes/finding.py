"""Which mode to take, at what price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.harness.finding import Finding, with_interval
from benchmarks.harness.scored import MEAN
from benchmarks.harness.setting import CALLS
from benchmarks.harness.tables import Table, interval
from benchmarks.modes.estimates import ENOUGH, Estimate
from benchmarks.modes.measure import SEED
from benchmarks.modes.summary import PRIMARY, InSetting, Mode
from mogradjudge.agreement.claims import Claim
from mogradjudge.display.terminal import number
from mogradjudge.report.numbers import counted

_CHEAP, _DEAR = PRIMARY.split(" minus ")  # the fewest and the most calls of the four modes
_K_CALLS = ", and K calls to judge a text"  # what the single-criterion baseline takes afterwards


def finding(summary: InSetting) -> Finding:
    """Say whether separate stages pay: the primary claim is CCC minus SSS.

    Where one of the two was not run, or either less often than it takes, nothing is claimed.
    """
    claim = next((claim for claim in summary.pairs if claim.name == PRIMARY), None)
    if claim is None or _runs(summary) < ENOUGH:
        claim = None
        sentence, action = _too_few(summary)
    else:
        sentence = " ".join([_sentence(summary, claim), *_winners(summary)])
        action = _action(summary, claim)
    unknown = claim is None or claim.verdict in ("not established", "cannot be tested")
    unknown = unknown and len(summary.criteria) > 1
    return Finding(
        "modes",
        summary.setting,
        sentence,
        action,
        claim,
        _table(summary),
        limits=("Whether separate or joint stages give the better judge.",) if unknown else (),
        answers={"mode": sentence},
    )


def _too_few(summary: InSetting) -> tuple[str, str]:
    if len(summary.criteria) == 1:
        said = ["With one criterion all modes are the same."]
        said += _winners(summary) if _runs(summary) >= ENOUGH else []
        return " ".join(said), "Take any mode: there is none to choose."
    if {_CHEAP, _DEAR} - {mode.name for mode in summary.optimized}:
        lack = f"{_CHEAP} and {_DEAR} are compared, and not both were run."
    else:
        lack = f"{counted(_runs(summary), 'run')} of each: too few to compare modes; it takes "
        lack += f"{ENOUGH}."
    return lack, "Choose no mode by these figures; run all modes with --seeds 5."


def _sentence(summary: InSetting, claim: Claim) -> str:
    if claim.estimate is None:
        return f"{_CHEAP} and {_DEAR} cannot be compared: {claim.note}."
    calls = {mode.name: f"{mode.cost.total:,.0f}" for mode in summary.optimized}
    price = f"{calls[_CHEAP]} calls a run in the place of {calls[_DEAR]}"
    agrees = "less" if claim.estimate < 0 else "more"
    match claim.verdict:
        case "established":
            what = f"{_CHEAP} agrees {agrees} with people than {_DEAR}"
        case "equivalent":
            what = f"{_CHEAP} and {_DEAR} agree with people alike, within {claim.bound}"
        case _:
            what = f"no difference between {_CHEAP} and {_DEAR} could be shown"
    return f"In {_runs(summary)} runs of each {what}: {with_interval(claim, 2)}, for {price}."


def _established(claims: Sequence[Claim]) -> list[Claim]:
    return [claim for claim in claims if claim.verdict == "established" and claim.estimate]


def _winners(summary: InSetting) -> Iterable[str]:
    """Name the modes that differ from the initial instructions, or that beat another mode."""
    against = _established(summary.against_seed)
    for claim in against:
        verb = "agrees more" if (claim.estimate or 0) > 0 else "agrees less"
        told = f"{verb} than the initial instructions in the same layout: {with_interval(claim, 2)}"
        yield f"{_pair(claim)[0]} {told}."
    if summary.against_seed and not against:
        yield "No mode could be shown to agree more than the initial instructions."
    beaten: dict[str, list[str]] = {}
    for claim in _established(summary.pairs):
        winner, loser = _pair(claim)[:: 1 if (claim.estimate or 0) > 0 else -1]
        if claim.name != PRIMARY:
            low, high = sorted(abs(end or 0) for end in (claim.low, claim.high))
            beaten.setdefault(winner, []).append(f"{loser} (by {low:.2f} to {high:.2f})")
    for winner, losers in beaten.items():
        yield f"{winner} agrees more than {' and than '.join(losers)}."


def _pair(claim: Claim) -> list[str]:
    return claim.name.split(" minus ")


def _action(summary: InSetting, claim: Claim) -> str:
    if claim.verdict == "established" and (claim.estimate or 0) < 0:
        return f"Take {_DEAR}, or a mode between it and {_CHEAP} that you can pay."
    if claim.verdict in ("established", "equivalent"):
        return f"Take {_CHEAP}."
    gains = [of for of in _established(summary.against_seed) if (of.estimate or 0) > 0]
    if not gains:
        return f"Take {_CHEAP}, the cheapest, or measure with more documents and --seeds."
    best = _pair(max(gains, key=lambda of: of.estimate or 0))[0]
    if best == _CHEAP:
        return f"Take {_CHEAP}, the cheapest."
    calls = {mode.name: f"{mode.cost.total:,.0f}" for mode in summary.optimized}
    return (
        f"Take {best} if you can pay its {calls[best]} calls a run{_K_CALLS * (best == 'ST')}, "
        f"else {_CHEAP}, the cheapest."
    )


def _runs(summary: InSetting) -> int:
    """Count the runs of the mode that has fewest."""
    return min(len(mode.seeds) for mode in summary.optimized)


def _table(summary: InSetting) -> Table:
    """Give the modes beside the initial instructions; intervals where there are runs enough."""
    start = {mode.layout: mode for mode in summary.modes if mode.name == SEED}
    rows = [_row(mode, start.get(mode.layout)) for mode in summary.optimized]
    title = f"Test agreement, mean of {len(summary.criteria)} criteria, on {summary.texts} texts"
    columns = (
        "mode",
        "judge",
        "initial instructions",
        "optimized",
        "gain by run",
        "calls of a run",
    )
    if all(mode.cost.dollars is None for mode in summary.optimized):
        return Table(columns, [row[:-1] for row in rows], title)
    return Table((*columns, "US$"), rows, title)


def _row(mode: Mode, start: Mode | None) -> list[str]:
    enough = len(mode.seeds) >= ENOUGH
    return [
        *(mode.name, CALLS[mode.layout]),
        _written(start.test[MEAN] if start else None, enough=False),
        _written(mode.test[MEAN], enough=enough),
        _written(mode.gain.get(MEAN), "+", enough=enough),
        f"{mode.cost.total:,.0f}",
        number(mode.cost.dollars, 2),
    ]


def _written(estimate: Estimate | None, signs: str = "", *, enough: bool) -> str:
    if estimate is None:
        return "-"
    ends = (estimate.low, estimate.high) if enough else (None, None)
    return interval(estimate.value, *ends, signs)
