"""The result of a search in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mogradjudge.agreement import FEWEST_DOCUMENTS, Undefined
from mogradjudge.agreement.claims import Claim, claim, untestable
from mogradjudge.agreement.selection_bias import Corrected
from mogradjudge.display.terminal import number
from mogradjudge.search.analysis.result import SearchResult, TrialRecord, distinct

AT_WORK = ("waiting", "running")
"""The states of a trial that has not ended."""
UNCORRECTED = "its interval is not corrected for selection: optimistic"
"""The note beside a difference that is neither established nor without a reason of its own."""


def verdict(result: SearchResult) -> str:
    """Say which trial did best, and whether it is better than the default.

    >>> from mogradjudge.agreement import Undefined
    >>> from mogradjudge.lm.budget import Spent
    >>> none = Undefined("no trial")
    >>> verdict(SearchResult("s", (), (), None, None, none, None, (), None, {}, none, Spent(), 0))
    'No trial has an agreement: 0 ended without one, 0 are running, 0 are waiting.'
    """
    best, default = result.best, result.default
    if best is None:
        counts = [sum(trial.state == state for trial in result.trials) for state in AT_WORK]
        waiting, running = counts
        ended = len(result.trials) - waiting - running
        return (
            f"No trial has an agreement: {ended} ended without one, {running} are running, "
            f"{waiting} are waiting."
        )
    is_default = default is not None and best.number == default.number
    who = f"The default, trial {_name(best)}," if is_default else f"Trial {_name(best)}"
    if result.confirmation.seed is not None:
        return _confirmed(result, who)
    sentence = f"{who} did best: {number(best.mean)} on {result.texts} selection texts"
    match result.selected:
        case Corrected(corrected=value, low=low, high=high):
            corrected = f"{number(value)} {interval((low, high))}"
            sentence += f", {corrected} corrected for selection, at most in part"
        case Undefined(reason):
            sentence += f" (not corrected for selection: {reason})"
    why = "" if result.confirmation.verdict == "off" else f" {result.confirmed()}"
    if is_default:
        return f"{sentence}. No other trial beat it.{why}"
    had = "has no agreement" if default is None else f"had {number(default.mean)}"
    return f"{sentence}; the default {had}.{why or f' {_difference(result)}'}"


def _confirmed(result: SearchResult, who: str) -> str:
    """Say how the best trial's judge did on texts that chose nothing, and on those that did."""
    measured = result.confirmation
    initial, final = (None if it is None else it.mean for it in (measured.seed, measured.best))
    optimistic = None if result.best is None else result.best.mean
    return (
        f"{who} did best. Its judge has {number(final)} on texts that chose nothing, the initial "
        f"judge {number(initial)}. {result.confirmed()} On the {result.texts} selection texts it "
        f"had {number(optimistic)}: optimistic."
    )


def _difference(result: SearchResult) -> str:
    """Say whether the best trial is better than the default."""
    claim = best_minus_default(result)
    if claim.verdict == "established":
        return "The difference is established, corrected for selection at most in part."
    why = "" if claim.note == UNCORRECTED else f": {claim.note}"
    return f"The difference is not established{why}."


def best_minus_default(result: SearchResult) -> Claim:
    """Compare the best trial's judge with the default's, both scored again.

    They are scored on the texts that the trial was chosen on. So the difference is established only
    if its interval is above the optimism of that choice.
    """
    name, selected = "best minus default", result.selected
    if result.default is None:
        return untestable(name, "there is nothing to compare with")
    if result.fresh is None:
        return untestable(name, "the two judges were not scored again")
    plain = claim(name, difference := result.fresh.difference, note=UNCORRECTED)
    if isinstance(difference, Undefined):
        return plain
    if difference.groups < FEWEST_DOCUMENTS:
        why = f"{difference.groups} documents, and it needs {FEWEST_DOCUMENTS}"
        return replace(plain, low=None, high=None, verdict="not established", note=why)
    if isinstance(selected, Undefined):
        return replace(plain, verdict="not established", note="the selection bias is unknown")
    if difference.low - selected.optimism <= 0:
        return replace(plain, verdict="not established")
    return plain


def exhaustion(result: SearchResult) -> str | None:
    """Say that a search has tried each configuration of its space; None before that."""
    ended = [trial for trial in result.trials if trial.state not in AT_WORK and trial.config]
    tried, measured = distinct(ended), distinct([it for it in ended if it.mean is not None])
    if result.unfinished or result.configurations is None or len(tried) < result.configurations:
        return None
    one = len(tried) == 1
    whole = "The 1 configuration" if one else f"All {len(tried)} configurations"
    sentence = f"{whole} of the space {'was' if one else 'were'} tried"
    if len(measured) == len(tried):
        return f"{sentence}."
    have = "has" if len(measured) == 1 else "have"
    return f"{sentence}; {len(measured)} {have} a value."


def interval(ends: Sequence[float] | None) -> str:
    """Write an interval, or a dash where there is none."""
    return "-" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def _name(record: TrialRecord) -> str:
    return f"{record.number} ({record.mode}, {record.config.get('layout', '-')})"
