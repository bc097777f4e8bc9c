"""What a search found, in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence

from mogradjudge.agreement import Undefined
from mogradjudge.search.analysis.result import SearchResult, TrialRecord
from mogradjudge.search.analysis.selection_bias import Corrected

AT_WORK = ("waiting", "running")
"""The states of a trial that has not ended."""


def verdict(found: SearchResult) -> str:
    """Say what came out, in a sentence or two."""
    best, default = found.best, found.default
    if best is None:
        counts = [sum(each.state == state for each in found.trials) for state in AT_WORK]
        waiting, running = counts
        over = len(found.trials) - waiting - running
        return (
            f"No trial has an agreement: {over} ended without one, {running} are at work, "
            f"{waiting} wait."
        )
    is_default = default is not None and best.number == default.number
    who = f"The default, trial {_name(best)}," if is_default else f"Trial {_name(best)}"
    said = f"{who} did best: {number(best.mean)} on {found.texts} selection texts"
    match found.selected:
        case Corrected() as luckless:
            ends = interval((luckless.low, luckless.high))
            said += f", {number(luckless.corrected)} {ends} with the luck of the choice taken off"
        case Undefined(reason):
            said += f" (the luck of the choice is still in it: {reason})"
    if is_default:
        return f"{said}. Nothing that was tried beat it."
    had = "has no agreement" if default is None else f"had {number(default.mean)}"
    return f"{said}; the default {had}. {_difference(found)}"


def _difference(found: SearchResult) -> str:
    """Say whether the best trial is better than the default."""
    not_established = "The difference is not established"
    if found.default is None:
        return f"{not_established}: there is nothing to compare with."
    if found.fresh is None:
        return f"{not_established}: the two judges were not scored anew."
    difference = found.fresh.difference
    if isinstance(difference, Undefined):
        return f"{not_established}: {difference.reason}."
    if isinstance(found.selected, Undefined):
        return f"{not_established}: how much of it is luck is not known."
    # Scored anew, but on the texts that the trial was chosen on.
    if difference.low - found.selected.optimism > 0:
        return "The difference is established, also without the luck of the choice."
    return f"{not_established}."


def interval(ends: Sequence[float] | None) -> str:
    """Write an interval, or a dash where there is none."""
    return "-" if ends is None else f"[{ends[0]:.3f}, {ends[1]:.3f}]"


def number(value: float | None) -> str:
    """Write an agreement, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _name(record: TrialRecord) -> str:
    return f"{record.number} ({record.mode}, {record.config.get('layout', '-')})"
