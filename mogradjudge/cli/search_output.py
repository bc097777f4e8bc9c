"""A search's result as text, tables and figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from mogradjudge.agreement import Interval, Undefined
from mogradjudge.agreement.selection_bias import Corrected
from mogradjudge.cli.output import note
from mogradjudge.display.plotting import INSTALL, can_draw
from mogradjudge.display.terminal import number, one_line, print_table, say
from mogradjudge.errors import SetupError
from mogradjudge.search.analysis.effects import Effects, Estimate
from mogradjudge.search.analysis.records import ranked_of
from mogradjudge.search.analysis.result import ESTIMATED, Fresh, SearchResult, TrialRecord
from mogradjudge.search.analysis.verdict import (
    AT_WORK,
    best_minus_default,
    exhaustion,
    interval,
    verdict,
)
from mogradjudge.secrets import redact
from mogradjudge.settings import PARAMETERS

_CONFIGURATIONS = 5  # that are written out
_MOST_ROWS = 200  # of the table of trials: rich takes seconds for thousands
_LONGEST = 100  # characters of a reason
_TRIAL_COLUMNS = (
    *("trial", "state", "mode", "layout", "agreement", "95 % interval", "unscored"),
    *("calls", "cached", "tokens", "US$", "calls per text"),
)


def check_figures(out: str | None) -> None:
    """Check that figures can be drawn, before any call is paid.

    Raises:
        SetupError: If matplotlib is missing.
    """
    if out is None:
        raise click.UsageError("Missing option '--out': --figures draws in its folder.")
    if not can_draw():
        raise SetupError(f"--figures needs matplotlib, which is missing. {INSTALL}")


def draw_figures(result: SearchResult, out: Path) -> list[Path]:
    """Draw the figures if possible, and return their files."""
    from mogradjudge.search.analysis.figures import draw

    if not can_draw():
        note(f"No figures are drawn: matplotlib is missing. {INSTALL}")
        return []
    files = draw(result, out / "figures")
    if not files:
        note("No figures are drawn: no trial has a value.")
    return files


def print_result(result: SearchResult) -> None:
    """Print the verdict of a search, and the tables behind it."""
    say(verdict(result))
    if sentence := exhaustion(result):
        say(sentence)
    say("")
    _print_trials(result)
    _print_best(result)
    _print_effects(result.effects)
    _print_importances(result)
    _print_front(result)
    spent, cost = result.spent, result.cost
    dollars = f", US$ {cost:.4f}" if cost else ""
    say(f"Spent in all: {spent.calls} calls, {spent.tokens} tokens{dollars}.")


def _print_trials(result: SearchResult) -> None:
    complete = ranked_of(result.trials, result.best)
    done = {record.task for record in complete}
    others = [record for record in result.trials if record.task not in done]
    running = [record for record in others if record.state == "running"]
    ended = [record for record in others if record.state not in AT_WORK]
    _print_table_of([*complete, *running, *ended], f"Trials of study {result.study!r}, best first")
    if estimated := sorted({record.texts for record in ended if record.texts is not None}):
        read = ", ".join(map(str, estimated))
        say(f"{ESTIMATED}: estimated on {read} of {result.texts} texts")
    _print_reasons(ended)
    if result.unfinished:
        say(f"unfinished trials of all workers: {result.unfinished}")
    for record in complete[:_CONFIGURATIONS]:
        say(f"trial {record.number}: {_configuration(record)}")
    say("")


def _print_reasons(ended: Sequence[TrialRecord]) -> None:
    for record in ended:
        if record.why is not None:
            say(f"trial {record.number} {record.state}: {_short(record.why)}")


def _print_table_of(records: Sequence[TrialRecord], title: str) -> None:
    print_table(_TRIAL_COLUMNS, [_row(record) for record in records[:_MOST_ROWS]], title)
    if len(records) > _MOST_ROWS:
        say(f"and {len(records) - _MOST_ROWS} more: --json and search.json have all of them")


def _row(record: TrialRecord) -> list[str]:
    return [
        str(record.number),
        record.state,
        str(record.mode or "-"),
        str(record.config.get("layout", "-")),
        record.mark + number(record.mean),
        interval(record.intervals.get("mean")),
        str(sum(record.unscored.values())) if record.agreement else "-",
        *map(_count, (record.calls, record.cached, record.tokens)),
        number(record.cost, 4),
        _general(record.calls_per_text),
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _general(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _configuration(record: TrialRecord) -> str:
    """Write the searched parameters, in their usual order."""
    return ", ".join(
        f"{name} {_value(record.params[name])}" for name in PARAMETERS if name in record.params
    )


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _print_best(result: SearchResult) -> None:
    """Print how certain the best trial's agreement is."""
    if result.best is None:
        return
    _print_confirmation(result, result.best)
    match result.selected:
        case Corrected() as selected:
            say(
                f"Trial {result.best.number} on the {result.texts} selection texts of "
                f"{result.documents} documents: {number(selected.value)}; "
                f"{number(selected.corrected)} {interval((selected.low, selected.high))} corrected "
                f"for selection, at most in part (by {number(selected.optimism)})."
            )
        case Undefined(reason):
            say(f"The selection bias of the best agreement is unknown: {reason}.")
    if result.fresh is not None:
        _print_fresh(result, result.fresh)
    elif result.confirmation.verdict in ("off", "too few documents"):
        say("The best and the default judge were not scored again.")


def _print_confirmation(result: SearchResult, best: TrialRecord) -> None:
    """Print what the initial and the best judge have on the texts that chose nothing."""
    confirmation = result.confirmation
    if confirmation.seed is None or confirmation.best is None:
        return
    initial, final = confirmation.seed.as_dict(), confirmation.best.as_dict()
    print_table(
        ("criterion", "initial", "best", "selection: optimistic"),
        [
            [name, *map(number, (initial[name], final[name], best.agreement.get(name)))]
            for name in initial
        ],
        f"Agreement on {confirmation.texts} texts that chose nothing, and on those that chose",
    )


def _print_fresh(result: SearchResult, fresh: Fresh) -> None:
    scores = f"best {number(fresh.best)}, default {number(fresh.default)}"
    claim = best_minus_default(result)
    if claim.estimate is None:
        say(f"Scored again on these texts: {scores}; no comparison: {claim.note}.")
        return
    ends = (
        "" if claim.low is None or claim.high is None else f" {interval((claim.low, claim.high))}"
    )
    say(
        f"Scored again on these texts: {scores}; difference {claim.estimate:+z.3f}{ends}, not "
        "corrected for selection."
    )


def _print_effects(effects: Effects | Undefined) -> None:
    say("")
    if isinstance(effects, Undefined):
        say(f"The effects of the modes are unknown: {effects.reason}.")
        return
    reference = "difference" if effects.reference is None else f"minus {effects.reference}"
    print_table(
        (effects.factor, "trials", "effect", "95 % interval", reference, "95 % interval"),
        [
            [str(level.level), str(level.n), *_cells(level.effect), *_cells(level.difference)]
            for level in effects.levels
        ],
        f"Effect of the {effects.factor} on mean agreement at the settings tried, relative to the "
        "mean of all levels",
    )
    say(f"adjusted for: {', '.join(effects.adjusted_for) or 'nothing'}")
    if effects.unadjusted is not None:
        say(f"not adjusted for other parameters: {effects.unadjusted.reason}")
    for name, reason in effects.dropped.items():
        say(f"not adjusted for {name}: {reason}")
    for reason in _missing_intervals(effects):
        say(f"no interval: {reason}")


def _missing_intervals(effects: Effects) -> list[str]:
    """Return why estimates have no interval, each reason once."""
    estimates = [part for level in effects.levels for part in (level.effect, level.difference)]
    intervals = [estimate.interval for estimate in estimates if estimate is not None]
    return sorted({it.reason for it in intervals if isinstance(it, Undefined)})


def _cells(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return ["-", "-"]
    ends = estimate.interval
    shown = interval((ends.low, ends.high)) if isinstance(ends, Interval) else "-"
    return [f"{estimate.value:+z.3f}", shown]


def _print_importances(result: SearchResult) -> None:
    say("")
    if not result.importances:
        say(
            "The importances of the parameters are unknown: fewer than 8 configurations, or no "
            "parameter varies."
        )
        return
    ranked = sorted(result.importances.items(), key=lambda item: (-item[1], item[0]))
    rows = [[name, f"{share:.2f}"] for name, share in ranked]
    title = "Importance: share of the variance of agreement; parameters that every trial has"
    print_table(("parameter", "share"), rows, title)


def _print_front(result: SearchResult) -> None:
    say("")
    several = len(result.value_names) > 1
    columns = result.value_names if several else ("agreement", "calls per text")
    if not result.front:
        say(f"No trial to compare by {', '.join(columns)}.")
        return
    by_number = {record.number: record for record in result.trials}
    print_table(
        ("trial", "mode", *columns),
        _front_rows((by_number[trial] for trial in result.front), several=several),
        f"Pareto front: trials that no other one beats in {', '.join(columns)}",
    )
    if result.hypervolume is not None:
        box = "the box of agreements from 0 to 1 and costs up to twice the default's"
        say(f"Hypervolume: the front dominates {result.hypervolume:.3f} of {box}.")


def _front_rows(records: Iterable[TrialRecord], *, several: bool) -> Sequence[list[str]]:
    return [
        [str(record.number), str(record.mode or "-"), *_front_values(record, several=several)]
        for record in records
    ]


def _front_values(record: TrialRecord, *, several: bool) -> list[str]:
    if several:
        return [f"{value:z.4g}" for value in record.values or ()]
    return [number(record.mean), _general(record.calls_per_text)]


def _short(why: str) -> str:
    text = one_line(redact(why))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
