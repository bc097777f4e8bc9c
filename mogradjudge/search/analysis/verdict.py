"""The result of a search in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence

from mogradjudge.agreement import Undefined
from mogradjudge.agreement.selection_bias import Corrected
from mogradjudge.display.terminal import number
from mogradjudge.search.analysis.result import SearchResult, TrialRecord, distinct

AT_WORK = ("waiting", "running")
"""The states of a trial that has not ended."""


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
    sentence = f"{who} did best: {number(best.mean)} on {result.texts} selection texts"
    match result.selected:
        case Corrected(corrected=value, low=low, high=high):
            corrected = f"{number(value)} {interval((low, high))}"
            sentence += f", {corrected} corrected for selection, at most in part"
        case Undefined(reason):
            sentence += f" (not corrected for selection: {reason})"
    if is_default:
        return f"{sentence}. No other trial beat it."
    had = "has no agreement" if default is None else f"had {number(default.mean)}"
    return f"{sentence}; the default {had}. {_difference(result)}"


def _difference(result: SearchResult) -> str:
    """Say whether the best trial is better than the default."""
    not_established = "The difference is not established"
    if result.default is None:
        return f"{not_established}: there is nothing to compare with."
    if result.fresh is None:
        return f"{not_established}: the two judges were not scored again."
    difference = result.fresh.difference
    if isinstance(difference, Undefined):
        return f"{not_established}: {difference.reason}."
    if isinstance(result.selected, Undefined):
        return f"{not_established}: the selection bias is unknown."
    # Scored again, but on the texts that the trial was chosen on.
    if difference.low - result.selected.optimism > 0:
        return "The difference is established, corrected for selection at most in part."
    return f"{not_established}."


def exhaustion(result: SearchResult) -> str | None:
    """Say that a search has tried each configuration of its space; None before that."""
    ended = [trial for trial in result.trials if trial.state not in AT_WORK and trial.config]
    tried, measured = distinct(ended), distinct([it for it in ended if it.mean is not None])
    if result.unfinished or result.configurations is None or len(tried) < result.configurations:
        return None
    if len(measured) == len(tried):
        return f"All {len(tried)} configurations of the space were measured."
    return f"All {len(tried)} configurations of the space were tried; {len(measured)} have a value."


def interval(ends: Sequence[float] | None) -> str:
    """Write an interval, or a dash where there is none."""
    return "-" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def _name(record: TrialRecord) -> str:
    return f"{record.number} ({record.mode}, {record.config.get('layout', '-')})"
