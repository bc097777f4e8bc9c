"""What dilution shows first: one sentence, one action, six rows."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.dilution.agreement import KAPPA_NEEDED
from benchmarks.dilution.arms import CRITIQUED, CRITIQUED_LONG, JOINED, JOINT, LONG, SEPARATE
from benchmarks.dilution.calibration import RHO_NEEDED, Calibration
from benchmarks.dilution.contrasts import PRIMARY, WHOLE_STEP, Loss
from benchmarks.dilution.lm_rater import warning_about
from benchmarks.dilution.raters import LM_RATER
from benchmarks.dilution.summary import Dilution, Figures
from benchmarks.harness.finding import Finding, Question, unconfirmed
from benchmarks.harness.tables import Table
from benchmarks.worlds.bank import labels
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group
from mogradjudge.display.terminal import number
from mogradjudge.report.numbers import counted

_ROWS = (SEPARATE, LONG, JOINT, CRITIQUED_LONG, CRITIQUED)
_APART = "Let the coach write about one criterion at a time (mode SSS or SSC)"
_JUDGE = "whether the judge that comes out is worse for it, only a comparison of modes tells"
_SILENCE = 0.1  # a difference that is worth a line
_NO_RATER = (
    "Give a stronger model as --rater-lm, and run it again: only ratings are paid once more."
)


def finding(dilution: Dilution) -> Finding:
    """Say what joint gradients lose, by the first rater that passed its test.

    The primary claim is what one call loses that writes as much as all separate ones.
    """
    trusted = [rater for rater, passed in dilution.passed.items() if passed]
    losses = [loss for rater in trusted if (loss := dilution.loss(rater, PRIMARY))]
    limits = tuple(_limits(dilution, losses))
    table = _table(dilution, losses[0].rater if losses else None)
    if not losses:
        nothing = "No rater passed its test, so nothing can be said about dilution."
        answers: dict[Question, str] = {"coach": f"Not known: {nothing[0].lower()}{nothing[1:]}"}
        action = _NO_RATER if dilution.calibrations else _untested()
        return Finding(
            *("dilution", dilution.setting, nothing, action, None, table, limits), answers
        )
    long, same = losses[0], dilution.loss(losses[0].rater, (SEPARATE, JOINT))
    action, answers = _action(long.share, same.share if same else None, dilution)
    said = _sentence(dilution, losses, same)
    return Finding("dilution", dilution.setting, said, action, long.share, table, limits, answers)


def _untested() -> str:
    return f"Measure criteria that raters can be tested on: {', '.join(labels())}."


def _sentence(dilution: Dilution, losses: list[Loss], same: Loss | None) -> str:
    long, *others = losses
    count = len(dilution.criteria)
    said = f"A joint gradient as long as all {count} separate ones together {_lost(long.share)}."
    if same:
        said += (
            f" One as long as a single separate one {_lost(same.share)}, where to share its words "
            f"among {count} criteria would by itself take {100 - 100 / count:.0f} %."
        )
    for other in others:
        if _way(other.share) != _way(long.share):
            said += f" The {other.rater} says otherwise of the first: there it "
            said += f"{_lost(other.share)}."
    return said


def _way(claim: Claim) -> int:
    """Give 1 where the interval holds losses alone, -1 where gains alone, else 0."""
    if claim.low is None or claim.high is None or claim.low <= 0 <= claim.high:
        return 0
    return 1 if claim.low > 0 else -1


def _direction(claim: Claim) -> int:
    """Give 1 for a loss that is established, -1 for a gain, 0 for neither."""
    return _way(claim) if claim.verdict == "established" else 0


def _lost(claim: Claim) -> str:
    """Say what is lost, with its interval.

    >>> _lost(Claim("a", 0.57, 0.53, 0.61, 0.01, n=12, verdict="established"))
    'says 57 % less about each criterion (95 % interval 53 to 61)'
    """
    if claim.estimate is None:
        return f"cannot be compared ({claim.note})"
    if claim.low is None or claim.high is None:
        lost = f"{100 * claim.estimate:+z.0f} %"
        return f"lost {lost} in {claim.n} steps, too few to tell: it takes {claim.fewest}"
    ends = sorted((abs(claim.low), abs(claim.high)))
    if (way := _way(claim)) and claim.verdict != "equivalent":
        share, word = abs(claim.estimate), "less" if way > 0 else "more"
        between = f"95 % interval {100 * ends[0]:.0f} to {100 * ends[1]:.0f}"
        said = f"says {100 * share:.0f} % {word} about each criterion ({between})"
        return said + unconfirmed(claim, "steps")
    words = "next to nothing" if claim.verdict == "equivalent" else "nothing that could be shown"
    low, high = (f"{100 * end:+z.0f}" for end in (claim.low, claim.high))
    return f"loses {words} ({100 * claim.estimate:+z.0f} %, 95 % interval {low} to {high})"


def _action(long: Claim, same: Claim | None, dilution: Dilution) -> tuple[str, dict[Question, str]]:
    """Say how the coach should write, and what that says to the reader's questions."""
    if _direction(long) > 0:
        return f"{_APART}, if `modes` shows that the results gain by it.", {
            "mode": f"A joint gradient says less about a criterion than separate ones; {_JUDGE}.",
            "coach": "About one criterion at a time: a joint gradient says less, even when it is "
            "as long as all separate ones together.",
        }
    if same is not None and _direction(same) > 0:
        times = f"{len(dilution.criteria)} times as much"
        return f"{_APART}, or let a joint coach (SCC or CCC) write {times}.", {
            "mode": "A joint gradient as short as a single separate one says less about each "
            f"criterion, and one as long as all of them could not be shown to; {_JUDGE}.",
            "coach": f"About one criterion at a time, or {times} about all at once.",
        }
    if long.verdict == "equivalent" or _direction(long) < 0:
        return "Take joint gradients (SCC or CCC): they say no less, and cost less.", {
            "mode": "A joint gradient says no less about each criterion than separate ones.",
            "coach": "About all criteria at once: it says no less, in fewer calls.",
        }
    open_ = f"Not known: {dilution.steps} steps do not tell whether a joint gradient says less."
    return f"Measure more --steps; until then: {_APART[0].lower()}{_APART[1:]}.", {"coach": open_}


def _limits(dilution: Dilution, losses: list[Loss]) -> Iterable[str]:
    if warning := warning_about(dilution.setting):
        yield warning
    for rater, knows in dilution.raters.items():
        if unknown := [name for name in dilution.criteria if name not in knows]:
            yield f"The {rater} does not know {', '.join(unknown)}: it says nothing about them."
        passed = dilution.passed[rater]
        if not passed:
            yield _failed(rater, dilution.calibrations.get(rater), knows)
        elif failed := [name for name in knows if name not in passed]:
            yield f"The {rater} failed its test on {', '.join(failed)}: left out of its figures."
    if losses:
        yield from _limits_of(dilution, losses[0].share)


def _limits_of(dilution: Dilution, claim: Claim) -> Iterable[str]:
    apart, joint = (dilution.silence.get(arm, 0.0) for arm in PRIMARY)
    if abs(apart - joint) > _SILENCE:
        yield (
            f"The coach kept silent on a criterion in {apart:.0%} of the separate calls and "
            f"{joint:.0%} of the joint ones: part of the difference is when it speaks at all."
        )
    if "lengths differ" in claim.note:
        yield f"Of one call, K times the length: {claim.note}."
    if claim.verdict == "not established":
        more = "four times as many halve the interval"
        if claim.low is None:
            more = f"it takes {claim.fewest}"
        yield (
            f"Whether a joint gradient as long as all separate ones says less: {claim.n} steps "
            f"leave it open, and {more}."
        )


def _failed(rater: str, tested: Calibration | None, criteria: Group) -> str:
    other = "another --rater-lm" if rater == LM_RATER else "an --embedding-lm"
    if tested is None:
        return f"The {rater} could not be tested: no sentences are about these criteria."
    shares = [tested.shares.overall.rho, *(tested.shares.line(name).rho for name in criteria)]
    yields = [tested.yield_rho, *(tested.yields.line(name).rho for name in criteria)]
    worst = {
        "shares": min(rho or 0.0 for rho in shares),
        "yields": min(rho or 0.0 for rho in yields),
    }
    low = [f"{number(rho)} with planted {name}" for name, rho in worst.items() if rho < RHO_NEEDED]
    why = "what it says does not rise with what was planted"
    if low:
        why = f"rho {' and '.join(low)}, where {RHO_NEEDED} is needed"
    elif tested.real is not None:
        why += f", or its kappa on real units is below {KAPPA_NEEDED}"
    return f"The {rater} failed its test ({why}), so it gives no figure here: try {other}."


def _table(dilution: Dilution, rater: str | None) -> Table:
    figures = {it.arm: it for it in dilution.figures if it.rater == rater}
    focus = dilution.ratings.get(WHOLE_STEP, {}) if _is_rated(dilution) else {}
    rows = [
        [
            arm,
            _words(figures.get(JOINED if arm == SEPARATE else arm)),
            *_units(
                arm, dilution.loss(rater or "", PRIMARY if arm == SEPARATE else (SEPARATE, arm))
            ),
            number(focus.get(arm), 1),
        ]
        for arm in _ROWS
    ]
    columns = ("gradients", "words on a text", "units per criterion", "lost (95 % interval)")
    return Table((*columns, "focus, 1 to 10"), rows, _title(dilution, rater))


def _is_rated(dilution: Dilution) -> bool:
    """Say whether the LM may be believed on whole texts, and on units as well."""
    return any(of.measure == WHOLE_STEP for of in dilution.trusted)


def _title(dilution: Dilution, rater: str | None) -> str:
    loss = dilution.loss(rater or "", PRIMARY)
    steps = len(loss.values) if loss else dilution.steps
    of_all = f" of {dilution.steps}" if steps < dilution.steps else ""
    title = f"Gradients of {steps}{of_all} steps of {counted(dilution.batch_size, 'text')}"
    return f"{title}, by the {rater}" if rater else title


def _words(figures: Figures | None) -> str:
    """Give the words on one text in all; those of separate gradients are put together."""
    return number(None if figures is None else figures.words, 0)


def _units(arm: str, loss: Loss | None) -> list[str]:
    """Give what an arm yields on the examples that it shares with separate calls, and what it lost.

    Separate calls write nothing where a criterion needs no advice; there other arms do not count.
    """
    if loss is None:
        return ["-", "-"]
    separate, other = loss.means
    if arm == SEPARATE:
        return [number(separate, 2), "-"]
    claim, lost = loss.share, "-"
    if claim.estimate is not None:
        lost = f"{100 * claim.estimate:z.0f} %"
        if claim.low is not None and claim.high is not None:
            lost += f" ({100 * claim.low:z.0f} to {100 * claim.high:z.0f})"
    return [f"{other:.2f} of {separate:.2f}", lost]
