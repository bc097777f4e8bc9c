"""What a search found, as words and tables."""

from __future__ import annotations

from mogradjudge.agreement import Comparison, Interval, Undefined
from mogradjudge.display.terminal import number, one_line, print_table, say
from mogradjudge.search.analysis.effects import Effects, Estimate
from mogradjudge.search.analysis.result import SearchResult, TrialRecord
from mogradjudge.search.analysis.selection_bias import Corrected
from mogradjudge.search.analysis.verdict import AT_WORK, interval, verdict
from mogradjudge.secrets import redact
from mogradjudge.settings import PARAMETERS

_CONFIGURATIONS = 5  # that are written out
_MOST_ROWS = 200  # of the table of trials: rich takes seconds for thousands
_LONGEST = 100  # characters of a reason


def print_found(found: SearchResult) -> None:
    """Print what a search found: the verdict first, then all that it rests on."""
    say(verdict(found))
    say("")
    _print_trials(found)
    _print_surety(found)
    _print_effects(found.effects)
    _print_importances(found)
    _print_front(found)
    spent = found.spent
    cost = f", US$ {spent.cost:.4f}" if spent.cost else ""
    say(f"Spent in all trials: {spent.calls} calls, {spent.tokens} tokens{cost}.")


def _print_trials(found: SearchResult) -> None:
    complete = sorted(
        (each for each in found.trials if each.state == "complete" and each.mean is not None),
        key=lambda each: (each != found.best, -(each.mean or 0), each.number),
    )
    finished = {each.task for each in complete}
    others = [each for each in found.trials if each.task not in finished]
    ended = [each for each in others if each.state not in AT_WORK]
    running = [each for each in others if each.state == "running"]
    rows = (*complete, *running, *ended)
    columns = ("trial", "state", "mode", "layout", "agreement", "95 % interval", "unscored")
    print_table(
        (*columns, "calls", "cached", "tokens", "US$", "calls per text"),
        [_row(record) for record in rows[:_MOST_ROWS]],
        f"Trials of the study {found.study!r}, the best first",
    )
    if len(rows) > _MOST_ROWS:
        say(f"and {len(rows) - _MOST_ROWS} more: --json and search.json hold all of them")
    for each in ended:
        if each.why is not None:
            say(f"trial {each.number} {each.state}: {_short(each.why)}")
    if found.unfinished:
        say(f"not finished, here or elsewhere: {found.unfinished}")
    for each in complete[:_CONFIGURATIONS]:
        say(f"trial {each.number}: {_configuration(each)}")
    say("")


def _row(record: TrialRecord) -> list[str]:
    unscored = sum(record.unscored.values())
    return [
        str(record.number),
        record.state,
        str(record.mode or "-"),
        str(record.config.get("layout", "-")),
        number(record.mean),
        interval(record.intervals.get("mean")),
        str(unscored) if record.agreement else "-",
        *("-" if each is None else str(each) for each in (record.calls, record.cached)),
        "-" if record.tokens is None else str(record.tokens),
        number(record.cost, 4),
        "-" if record.calls_per_text is None else f"{record.calls_per_text:g}",
    ]


def _configuration(record: TrialRecord) -> str:
    """Name what was searched, in the order of the parameters."""
    return ", ".join(
        f"{name} {_value(record.params[name])}" for name in PARAMETERS if name in record.params
    )


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _print_surety(found: SearchResult) -> None:
    if found.best is None:
        return
    match found.selected:
        case Corrected() as each:
            say(
                f"Trial {found.best.number} on the {found.texts} selection texts of "
                f"{found.documents} documents: {number(each.value)}; the luck of the choice "
                f"{number(each.optimism)}; without it {number(each.corrected)} "
                f"{interval((each.low, each.high))}."
            )
        case Undefined(reason):
            say(f"How much of the best agreement is luck cannot be told: {reason}.")
    if found.fresh is None:
        say("The best judge and the default's were not scored anew.")
        return
    fresh, difference = found.fresh, found.fresh.difference
    said = f"Scored anew on these texts: best {number(fresh.best)}, default {number(fresh.default)}"
    match difference:
        case Comparison():
            say(
                f"{said}; difference {difference.difference:+.3f} "
                f"{interval((difference.low, difference.high))}, p = {difference.p_value:.3g}, "
                "with the luck of the choice."
            )
        case Undefined(reason):
            say(f"{said}; no difference: {reason}.")


def _print_effects(effects: Effects | Undefined) -> None:
    say("")
    if isinstance(effects, Undefined):
        say(f"Effects of the modes: none, since {effects.reason}.")
        return
    reference = f"less {effects.reference}" if effects.reference is not None else "difference"
    print_table(
        (effects.factor, "trials", "effect", "95 % interval", reference, "95 % interval"),
        [
            [str(each.level), str(each.n), *_estimate(each.effect), *_estimate(each.difference)]
            for each in effects.levels
        ],
        f"What the {effects.factor} adds to the mean agreement of all of them",
    )
    adjusted = ", ".join(effects.adjusted_for)
    say(f"adjusted for: {adjusted or 'nothing'}")
    if effects.unadjusted is not None:
        say(f"for no more, since {effects.unadjusted.reason}")
    for name, reason in effects.dropped.items():
        say(f"not for {name}: {reason}")
    reasons = {
        each.interval.reason
        for level in effects.levels
        for each in (level.effect, level.difference)
        if each is not None and isinstance(each.interval, Undefined)
    }
    for reason in sorted(reasons):
        say(f"no interval: {reason}")


def _estimate(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return ["-", "-"]
    found = estimate.interval
    ends = interval((found.low, found.high)) if isinstance(found, Interval) else "-"
    return [f"{estimate.value:+.3f}", ends]


def _print_importances(found: SearchResult) -> None:
    say("")
    if not found.importances:
        say("Importance of the parameters: unknown, fewer than 8 configurations or nothing varies.")
        return
    ranked = sorted(found.importances.items(), key=lambda each: (-each[1], each[0]))
    rows = [[name, f"{share:.2f}"] for name, share in ranked]
    title = "Shares of the variance of agreement, of the parameters that every trial has"
    print_table(("parameter", "share"), rows, title)


def _print_front(found: SearchResult) -> None:
    say("")
    several = len(found.value_names) > 1
    what = ", ".join(found.value_names) if several else "agreement, calls per text"
    if not found.front:
        say(f"No trial to compare by {what}.")
        return
    by_number = {each.number: each for each in found.trials}
    columns = found.value_names if several else ("agreement", "calls per text")
    print_table(
        ("trial", "mode", *columns),
        [_of_front(by_number[each], several=several) for each in found.front],
        f"Trials that no other one beats in {what}",
    )
    if found.hypervolume is not None:
        box = "the box of agreements from 0 to 1 and of costs up to twice the default's"
        say(f"They dominate {found.hypervolume:.3f} of {box}.")


def _of_front(record: TrialRecord, *, several: bool) -> list[str]:
    head = [str(record.number), str(record.mode or "-")]
    if several:
        return [*head, *(f"{value:.4g}" for value in record.values or ())]
    cost = record.calls_per_text
    return [*head, number(record.mean), "-" if cost is None else f"{cost:g}"]


def _short(why: str) -> str:
    text = one_line(redact(why))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
