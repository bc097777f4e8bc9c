"""What a search costs beside its runs, and what sharing saves.

All of it runs on the steady server, on which a prompt has one reply, so that the same trials send
the same calls however they are run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dspy

from benchmarks.self_tests.search_setup import (
    BASE,
    Texts,
    http_lm,
    make_texts,
    searched,
    seed_judge,
)
from benchmarks.self_tests.turns import in_turns
from benchmarks.worlds.server import RemoteServer, serving_apart
from mogradjudge import Budget, MOGrad
from mogradjudge.judge.scores import settings_with
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.optimize.config import config_with
from mogradjudge.scoring.evaluate import judge_table
from mogradjudge.search import SearchResult
from mogradjudge.search.judge_variant import judge_with
from mogradjudge.settings import CONFIG_PARAMETERS, JUDGE_PARAMETERS

LATENCY = 0.2  # seconds
TRIALS = 8
# Drawn by their number alone, so that all arms run the same trials; a cap that is never reached
# has each call taken from the purse in the database before it is sent.
OPTIONS: Mapping[str, Any] = {"sampler": "random", "budget": Budget(max_calls=1_000_000)}

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Timed:
    """One arm: ``seconds`` of the clock, ``cpu`` seconds of this process, calls at the server."""

    seconds: float
    cpu: float
    calls: int


@dataclass(frozen=True)
class Sharing:
    """The calls of the same trials with shared replies and without, counted at the server.

    ``cached`` and ``cached_alone`` are the trials' own counts of what was answered without a call.
    ``afresh`` are the calls that scored the best trial and the default once more; no trial's.
    """

    shared: int
    afresh: int
    alone: int
    cached: int
    cached_alone: int

    @property
    def saved(self) -> int:
        """The calls that sharing saved."""
        return self.alone - (self.shared - self.afresh)

    @property
    def counted(self) -> int:
        """The same, as the trials counted it."""
        return self.cached - self.cached_alone


def speed_texts() -> Texts:
    """Make few texts, so that what a trial costs beside its calls is a large part."""
    return make_texts(training=8, validation=5, selection=10)


def bare(
    lm: dspy.BaseLM, texts: Texts, configs: Sequence[Config], *, shared: bool
) -> tuple[list[dspy.Module], list[LedgerRow]]:
    """Run configurations one after another, as by hand, and score the selection texts with each.

    Replies are kept in memory: by all runs together with ``shared``, else by each run for itself.
    """
    programs, rows = [], []
    with ExitStack() as stack:
        stack.enter_context(dspy.context(lm=lm))
        if shared:
            stack.enter_context(replies_kept_in(None))
        for values in configs:
            with ExitStack() as own:
                if not shared:
                    own.enter_context(replies_kept_in(None))
                program, spent = _one(texts, values)
            programs.append(program)
            rows += spent
    return programs, rows


def _one(texts: Texts, values: Config) -> tuple[dspy.Module, list[LedgerRow]]:
    judge = seed_judge()
    config = config_with({name: values[name] for name in CONFIG_PARAMETERS}, BASE)
    settings = settings_with({name: values[name] for name in JUDGE_PARAMETERS}, judge.settings)
    optimizer = MOGrad.from_config(config, display_progress=False)
    result = optimizer.optimize(
        judge_with(judge, settings), trainset=texts.training, valset=texts.validation
    )
    return result.program, [*result.ledger, *_scored(result.program, texts)]


def _scored(program: Any, texts: Texts) -> Sequence[LedgerRow]:
    ledger = Ledger(max_in_flight=BASE.num_threads)
    judge_table(program, texts.selection, ledger, BASE.num_threads)
    return ledger.rows


def sharing(
    lm: dspy.BaseLM, texts: Texts, folder: Path, answered: Callable[[], int], **options: Any
) -> tuple[Sharing, SearchResult]:
    """Count the calls of the same trials with shared replies and without.

    Args:
        lm: One that has the same reply to a prompt whoever asks.
        texts: What is searched on.
        folder: The search's.
        answered: Gives how many calls the LM has answered so far.
        options: Of the search.
    """
    before = answered()
    result = searched(lm, texts, folder, **options)
    between = answered()
    _, rows = bare(lm, texts, _configs(result), shared=False)
    cached = [trial.cached or 0 for trial in result.trials]
    return Sharing(
        shared=between - before,
        afresh=result.spent.calls - sum(trial.calls or 0 for trial in result.trials),
        alone=answered() - between,
        cached=sum(cached),
        cached_alone=sum(row.cached for row in rows),
    ), result


def overheads(
    texts: Texts, result: SearchResult, turns: int, folder: Path
) -> list[dict[str, Timed]]:
    """Time the trials of a search as a search with one worker, and as bare runs."""
    configs = _configs(result)
    again = [trial.task for trial in (result.best, result.default) if trial is not None]
    with serving_apart(LATENCY, world="steady") as server:
        lm = http_lm(server.url)

        def by_hand(turn: int) -> None:
            programs, _ = bare(lm, texts, configs, shared=True)
            with dspy.context(lm=lm), replies_kept_in(None):
                for task in again:
                    _scored(programs[int(task)], texts)

        def by_search(turn: int) -> None:
            searched(lm, texts, folder / str(turn), trials=len(configs), **OPTIONS)

        arms = {"search": by_search, "bare": by_hand}
        return in_turns(turns, {name: partial(_timed, arm, server) for name, arm in arms.items()})


def _timed(arm: Callable[[int], None], server: RemoteServer, turn: int) -> Timed:
    server.reset()
    start, cpu = time.perf_counter(), time.process_time()
    arm(turn)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Timed(seconds, cpu, answered(server))


def _configs(result: SearchResult) -> list[Config]:
    return [trial.config for trial in sorted(result.trials, key=lambda trial: int(trial.task))]


def answered(server: RemoteServer) -> int:
    """Give how many calls a server has answered since its last reset."""
    return sum(server.counts()["calls"].values())


def print_sharing(saved: Sharing) -> None:
    """Print what sharing saved."""
    of_trials = saved.shared - saved.afresh
    print(
        f"Sharing: {TRIALS} trials sent {of_trials} calls with shared replies and {saved.alone} "
        f"without: {saved.saved} saved ({saved.saved / saved.alone:.0%}), and the trials' own "
        f"counts say {saved.counted} "
        f"({'equal' if saved.saved == saved.counted else 'NOT EQUAL'})."
    )
