"""A search of the planted world that favours one mode: is it found, and how sure is that?"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import dspy

from benchmarks.harness.setting import errors_in_one_line, passing_folder
from benchmarks.self_tests.search_setup import (
    BEST_MODE,
    Texts,
    http_lm,
    judge_of,
    make_texts,
    searched,
    seed_judge,
    true_agreement,
)
from benchmarks.self_tests.search_speed import (
    LATENCY,
    OPTIONS,
    TRIALS,
    answered,
    overheads,
    print_sharing,
    sharing,
    speed_texts,
)
from benchmarks.self_tests.search_workers import ONE, TWO, workers
from benchmarks.self_tests.search_workers import TRIALS as WORKERS_TRIALS
from benchmarks.self_tests.turns import print_turns
from benchmarks.worlds.server import serving_apart
from mogradjudge.agreement import Interval, Undefined
from mogradjudge.display.terminal import number, print_table
from mogradjudge.files import to_json, write_text
from mogradjudge.search import SearchResult, TrialRecord
from mogradjudge.search.analysis.effects import Effects, LevelEffect, mode_effects
from mogradjudge.search.analysis.figures import draw
from mogradjudge.search.analysis.result import plain
from mogradjudge.settings import SAMPLERS


@dataclass(frozen=True)
class Found:
    """What a search found in a world whose best mode is known.

    ``true_effects`` are estimated as ``result.effects`` are, from the same trials, but with each
    trial's true agreement. ``best`` and ``seed`` are the true agreement of the chosen trial's judge
    and of the seed judge, and ``best_of_all`` that of the trial that is truly best.
    """

    result: SearchResult
    true_effects: Effects | Undefined
    best: float
    best_of_all: float
    seed: float

    @property
    def right_choice(self) -> bool:
        """Whether the chosen trial has the planted best mode."""
        return self.result.best is not None and self.result.best.mode == BEST_MODE

    @property
    def right_effect(self) -> bool:
        """Whether the planted best mode has the largest effect, and its interval is above 0."""
        if isinstance(self.result.effects, Undefined):
            return False
        first = max(self.result.effects.levels, key=lambda each: each.effect.value)
        interval = first.effect.interval
        return first.level == BEST_MODE and isinstance(interval, Interval) and interval.low > 0


def find(lm: dspy.BaseLM, texts: Texts, out: Path, **options: object) -> Found:
    """Search, and set what was found beside what is true."""
    result = searched(lm, texts, out, **options)
    complete = complete_of(result)
    true = [true_agreement(judge_of(trial)) for trial in complete]
    assert result.best is not None
    return Found(
        result=result,
        true_effects=mode_effects([trial.params for trial in complete], true),
        best=true_agreement(judge_of(result.best)),
        best_of_all=max(true),
        seed=true_agreement(seed_judge()),
    )


def complete_of(result: SearchResult) -> list[TrialRecord]:
    """Give the trials that came to their end with a value."""
    return [
        trial for trial in result.trials if trial.state == "complete" and trial.mean is not None
    ]


def print_found(search: Found, selection: int) -> None:
    """Print what was found."""
    result, effects = search.result, search.result.effects
    if isinstance(effects, Undefined):
        print(f"No effects: {effects.reason}.")
    else:
        _print_effects(effects, search.true_effects)
    print(
        f"The planted best mode is {BEST_MODE}. Chosen: {_yes(search.right_choice)}; "
        f"largest effect, with its interval above 0: {_yes(search.right_effect)}."
    )
    assert result.best is not None
    selected, fresh = result.selected, result.fresh
    print_table(
        ("the chosen judge's mean agreement", "", "95 % interval"),
        [
            *_selected_rows(result),
            ["scored again on the same texts", number(None if fresh is None else fresh.best), ""],
            ["true, on 100 000 fresh texts", number(search.best), ""],
            ["true: the best of all trials", number(search.best_of_all), ""],
            ["true: the seed judge", number(search.seed), ""],
        ],
        f"Trial {result.best.number}: {result.best.mode}, {selection} selection texts",
    )
    if not isinstance(selected, Undefined):
        held = selected.low <= search.best <= selected.high
        print(f"The corrected value's interval holds the true one: {_yes(held)}.")


def _print_effects(effects: Effects, true: Effects | Undefined) -> None:
    truth: dict[object, LevelEffect] = (
        {} if isinstance(true, Undefined) else {level.level: level for level in true.levels}
    )
    print_table(
        ("mode", "trials", "effect", "95 % interval", "true"),
        [
            [
                *(str(level.level), str(level.n), f"{level.effect.value:+z.3f}"),
                _interval(level.effect.interval),
                f"{truth[level.level].effect.value:+z.3f}" if level.level in truth else "-",
            ]
            for level in effects.levels
        ],
        f"Effect on mean agreement, less the mean of all modes; adjusted for "
        f"{', '.join(effects.adjusted_for) or 'nothing'}; {effects.freedom} degrees of freedom",
    )


def _selected_rows(result: SearchResult) -> list[list[str]]:
    selected = result.selected
    if isinstance(selected, Undefined):
        return [["on the selection texts", number(result.best.mean if result.best else None), ""]]
    ends = f"[{selected.low:.3f}, {selected.high:.3f}]"
    return [
        ["on the selection texts", number(selected.value), ""],
        ["corrected for selection, in part", number(selected.corrected), ends],
    ]


@click.command("search")
@click.option("--trials", type=int, default=24, show_default=True)
@click.option("--latency", type=float, default=0.02, show_default=True, help="Seconds per call.")
@click.option("--documents", type=int, default=30, show_default=True, help="To select by.")
@click.option("--sampler", type=click.Choice(SAMPLERS[:3]), default="tpe", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the sampler.")
@click.option("--out", type=click.Path(path_type=Path), help="Keeps the search and its figures.")
@click.option("--speed", is_flag=True, help="Times searches at 200 ms a call, and judges nothing.")
@click.option("--turns", default=3, show_default=True, help="Of each arm, with --speed.")
@click.option("--storage", help="URL of a PostgreSQL server, with --speed; one of our own if none.")
def command(
    *, speed: bool, turns: int, storage: str | None, out: Path | None, **options: Any
) -> None:
    """A search of a planted world: whether it finds the mode that is best there, at what price.

    With --speed: what a search costs beside its runs, what a second worker brings, and how many
    calls shared replies save. It takes some minutes a turn.
    """
    with errors_in_one_line():
        if speed:
            report_speed(turns, out, storage)
        else:
            _search_once(out, **options)


def report_speed(turns: int, out: Path | None, storage: str | None) -> None:
    """Measure sharing, overhead and workers, and keep the figures in a folder if there is one."""
    with tempfile.TemporaryDirectory(prefix="mogradjudge-speed-") as name:
        folder, texts = Path(name), speed_texts()
        with serving_apart(world="steady") as server:
            lm, counted = http_lm(server.url), partial(answered, server)
            options = {"trials": TRIALS, **OPTIONS}
            saved, result = sharing(lm, texts, folder / "sharing", counted, **options)
        print_sharing(saved)
        held = f"{LATENCY * 1000:.0f} ms latency"
        overhead = overheads(texts, result, turns, folder / "overhead")
        print_turns(overhead, "search", "bare", f"{TRIALS} trials, one worker, {held}")
        more = workers(WORKERS_TRIALS, turns, folder / "workers", storage)
        print_turns(more, TWO, ONE, f"{WORKERS_TRIALS} trials, one PostgreSQL server, {held}")
    if out is not None:
        figures = {"sharing": saved, "overhead": overhead, "workers": more}
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "speed.json", to_json(plain(figures)) + "\n")


def _search_once(
    out: Path | None, *, trials: int, latency: float, documents: int, sampler: str, seed: int
) -> None:
    texts = make_texts(selection=documents)
    with ExitStack() as stack:
        folder = out or stack.enter_context(passing_folder())
        server = stack.enter_context(serving_apart(latency, world="favoured"))
        options = {"trials": trials, "sampler": sampler, "seed": seed}
        outcome = find(http_lm(server.url), texts, folder, **options)
        print_found(outcome, outcome.result.texts)
        _print_calls(outcome.result, answered(server))
        if out is not None:
            print(f"Figures: {', '.join(map(str, draw(outcome.result, out)))}")


def _print_calls(result: SearchResult, calls: int) -> None:
    cached = sum(trial.cached or 0 for trial in result.trials)
    purse = f"the purse has {result.spent.calls}"
    print(
        f"{len(complete_of(result))} trials: the server answered {calls} calls, {purse} "
        f"({'equal' if calls == result.spent.calls else 'NOT EQUAL'}); {cached} more were "
        "answered by what was paid before."
    )


def _interval(interval: Interval | Undefined) -> str:
    if isinstance(interval, Undefined):
        return "-"
    return f"[{interval.low:+z.3f}, {interval.high:+z.3f}]"


def _yes(value: bool) -> str:  # noqa: FBT001 - it is all that there is
    return "yes" if value else "NO"
