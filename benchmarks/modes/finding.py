"""Which mode to take, at what price."""

from __future__ import annotations

from benchmarks.harness.finding import MOST_ROWS, Finding, with_interval
from benchmarks.harness.scored import MEAN
from benchmarks.harness.tables import Table, interval
from benchmarks.modes.estimates import ENOUGH
from benchmarks.modes.measure import SEED
from benchmarks.modes.summary import InSetting, Mode
from mogradjudge.agreement.claims import Claim
from mogradjudge.display.terminal import number

_CHEAP, _DEAR = "CCC", "SSS"  # the fewest and the most calls of the four modes
_PRIMARY = f"{_CHEAP} minus {_DEAR}"


def finding(summary: InSetting) -> Finding:
    """Say whether separate stages pay: the primary claim is CCC minus SSS.

    Where one of the two was not run, or either less often than it takes, nothing is claimed.
    """
    claim = next((claim for claim in summary.pairs if claim.name == _PRIMARY), None)
    if claim is None or _runs(summary) < ENOUGH:
        claim = None
        sentence, action = _too_few(summary)
    else:
        sentence, action = _sentence(summary, claim), _action(claim)
    unknown = claim is None or claim.verdict in ("not established", "refused")
    return Finding(
        "modes",
        summary.setting,
        sentence,
        action,
        claim,
        _table(summary),
        limits=(f"Which mode is better: {sentence}",) if unknown else (),
        advice={"mode": sentence if unknown else f"{action} {sentence}"},
    )


def _too_few(summary: InSetting) -> tuple[str, str]:
    if {_CHEAP, _DEAR} - {mode.name for mode in summary.optimized}:
        lack = f"{_CHEAP} and {_DEAR} are compared, and not both were run."
    else:
        lack = f"{_runs(summary)} runs are too few to compare modes; it takes {ENOUGH}."
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
    return f"Over {_runs(summary)} runs {what}: {with_interval(claim)}, for {price}."


def _action(claim: Claim) -> str:
    if claim.verdict == "established" and (claim.estimate or 0) < 0:
        return f"Take {_DEAR}, or a mode between it and {_CHEAP} that you can pay."
    if claim.verdict in ("established", "equivalent"):
        return f"Take {_CHEAP}."
    return f"Take {_CHEAP}, the cheapest, or measure with more documents and --seeds."


def _runs(summary: InSetting) -> int:
    """Count the runs of the mode that has fewest."""
    return min(len(mode.seeds) for mode in summary.optimized)


def _table(summary: InSetting) -> Table:
    """Give the modes, and one seed prompt; intervals where there are runs enough."""
    start = [mode for mode in summary.modes if mode.name == SEED][:1]
    rows = [_row(mode) for mode in (*start, *summary.optimized)][:MOST_ROWS]
    title = f"Test agreement, mean of {len(summary.criteria)} criteria, on {summary.texts} texts"
    return Table(("mode", "agreement", "minus seed prompt", "calls of a run", "US$"), rows, title)


def _row(mode: Mode) -> list[str]:
    known = [mode.test[MEAN], mode.gain.get(MEAN)]
    enough = len(mode.seeds) >= ENOUGH
    texts = [
        "-"
        if estimate is None
        else interval(
            estimate.value, *((estimate.low, estimate.high) if enough else (None, None)), signs
        )
        for estimate, signs in zip(known, ("", "+"), strict=True)
    ]
    if mode.name == SEED:
        return [f"seed prompt, {mode.layout} calls", *texts, "0", "0"]
    return [
        f"{mode.name}, {mode.layout} calls",
        *texts,
        f"{mode.cost.total:,.0f}",
        number(mode.cost.dollars, 2),
    ]
