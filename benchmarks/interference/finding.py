"""What sections that were optimized one by one do to each other in one prompt, in plain words."""

from __future__ import annotations

from benchmarks.harness.finding import Finding, with_interval
from benchmarks.harness.scored import BOUND, MEAN
from benchmarks.harness.tables import Table, difference, signed
from benchmarks.interference.arms import NAMES
from benchmarks.interference.contrasts import LAYOUT, OTHER_TEXTS, TRANSFER
from benchmarks.interference.decomposition import FIRST
from benchmarks.interference.paper import PAPER, REPORTED
from benchmarks.interference.summary import ENOUGH, Interference
from mogradjudge.agreement.claims import Claim
from mogradjudge.report.numbers import counted

_TOGETHER = "optimize in one prompt, where each section is tried beside the others"
_FEWEST = 3, 6  # sets of instructions and documents; of fewer nothing is said as a fact


def finding(summary: Interference) -> Finding:
    """Say whether crowding was shown, which is the primary claim, and what else a prompt loses."""
    sentence, action = _sentence(summary), _action(summary)
    judged = summary.crowding.verdict != "cannot be tested" and len(summary.runs) >= _FEWEST[0]
    return Finding(
        *("interference", summary.setting, sentence, action),
        claim=summary.crowding if judged else None,
        table=parts_table(summary),
        limits=_limits(summary),
        answers={"layout": sentence},
    )


def _sentence(summary: Interference) -> str:
    crowding, runs = summary.crowding, len(summary.runs)
    if crowding.estimate is None:
        return f"The layouts cannot be compared: {crowding.note}."
    if runs < ENOUGH:
        few = "One set of instructions" if runs == 1 else f"{runs} sets of instructions"
        value = with_interval(crowding, 2)
        which = "it" if runs == 1 else "these"
        return f"{few}: too few to speak of others. In {which}, crowding is {value}."
    if crowding.verdict == "established":
        verb, why = ("lose", "because of") if crowding.estimate < 0 else ("gain", "from")
        said = (
            f"In one prompt, sections that were optimized one by one {verb} "
            f"{_size(crowding, '95 % interval ')} of agreement {why} each other (crowding)"
        )
    elif crowding.verdict == "equivalent":
        said = (
            "In one prompt, sections that were optimized one by one do not matter to each other: "
            f"crowding is within ±{BOUND}, {with_interval(crowding, 2)}"
        )
    else:
        said = (
            "In one prompt, no harm that sections optimized one by one do to each other (crowding) "
            f"could be shown: agreement changes by {with_interval(crowding, 2)}"
        )
    return f"{said}. {_transfer(summary.effects[TRANSFER][MEAN])}."


def _action(summary: Interference) -> str:
    crowding, layout = summary.crowding, summary.effects[LAYOUT][MEAN]
    if crowding.estimate is None:
        if crowding.note.startswith(OTHER_TEXTS):
            return "Give the judge more room for its reply, or another model."
        return f"Rate more documents: {_FEWEST[1]} or more for the test texts."
    if len(summary.runs) < ENOUGH:
        return (
            f"Measure {ENOUGH} sets of instructions or more (--seeds) before you choose a layout."
        )
    crowded = crowding.verdict == "established" and crowding.estimate < 0
    if layout.verdict == "established" and (layout.estimate or 0) < 0:
        return f"Rate in separate calls{f', or {_TOGETHER}' * crowded}."
    if crowded:
        return f"{_TOGETHER[0].upper()}{_TOGETHER[1:]}."
    if layout.verdict in ("established", "equivalent"):
        return f"Rate in one call: separate ones are {len(summary.criteria)} times as many."
    return "Choose the layout by its price, or measure on more documents (`noise` says how many)."


def _transfer(claim: Claim) -> str:
    why = "because they were optimized for separate calls (transfer)"
    if claim.verdict == "established":
        return f"They {'lose' if (claim.estimate or 0) < 0 else 'gain'} {_size(claim)} {why}"
    if claim.verdict == "equivalent":
        return f"They change by less than {BOUND} {why}"
    bounds = f"{signed(claim.low, 2)} and {signed(claim.high, 2)}"
    return f"Whether they lose {why} could not be told: it is between {bounds} (95 %)"


def _size(claim: Claim, what: str = "") -> str:
    """Write a difference without its sign."""
    low, high = sorted(abs(bound or 0) for bound in (claim.low, claim.high))
    return f"{abs(claim.estimate or 0):.2f} ({what}{low:.2f} to {high:.2f})"


def _bounds(claim: Claim) -> str:
    return f"{signed(claim.low, 2)} to {signed(claim.high, 2)}"


def _limits(summary: Interference) -> tuple[str, ...]:
    crowding, runs, unedited = summary.crowding, len(summary.runs), ", ".join(summary.unedited)
    limits = {
        f"What other instructions do: {runs} of {ENOUGH} sets of instructions.": runs < ENOUGH,
        f"How much crowding there is: {summary.documents} documents leave {_bounds(crowding)}.": (
            runs >= ENOUGH and crowding.verdict == "not established"
        ),
        f"{counted(summary.documents, 'test document')}: too few to tell; it takes {_FEWEST[1]}.": (
            summary.documents < _FEWEST[1]
        ),
        f"Never edited, so equal to the start: {unedited}.": bool(unedited),
    }
    return tuple(limit for limit, holds in limits.items() if holds)


def parts_table(summary: Interference) -> Table:
    """Give what is lost from the best evaluations to the stitched prompt, part by part."""
    if not summary.decompositions:
        return Table((), ())
    ours, *papers = summary.decompositions
    enough = len(summary.runs) >= _FEWEST[0]
    best, joint = (f"{value:.3f}" for value in REPORTED)
    rows = [[FIRST, *(f"{of.best:.3f}" for of in summary.decompositions), best]]
    for name, part in ours.parts.items():
        claims = summary.effects.get(name)
        own = difference(claims[MEAN]) if claims and enough else signed(part)
        rows.append([name, own, *(signed(paper.parts.get(name)) for paper in papers), "-"])
    rows.append([NAMES["J1"], *(f"{of.joint:.3f}" for of in summary.decompositions), joint])
    columns = ("mean agreement", *(of.start for of in summary.decompositions), PAPER)
    return Table(columns, rows, "From separate calls to one call; in brackets 95 % intervals")
