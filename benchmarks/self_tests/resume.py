"""Kill a run at random points, start it again, and compare with a run that was left alone.

Each run is `mogradjudge compile` in a process of its own, killed by SIGKILL once the server has
seen a given number of calls (and up to some milliseconds later, so that it is hit at any place).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.worlds.server import ToyServer, serving
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge.display.terminal import print_table

CRITERIA = ("coherence", "fluency", "relevance")
TEXTS = 30
THREADS = 4
LATENCY = 0.002  # seconds
LONGEST_DELAY = 0.03  # seconds between the server's call and the kill
PATIENCE = 120.0  # seconds that a run may take
FILES = ("judge.json", "rubric.toml")
PRELOADED = ("mogradjudge.cli", "datasets", "diskcache", "rich.console", "scipy.stats")


@dataclass(frozen=True)
class Outcome:
    """What became of one run that was killed.

    ``after`` counts the server's calls at the kill. ``same`` tells that the final files are those
    of the run that was left alone, and ``paid_twice`` the calls that it took more.
    """

    after: int
    same: bool
    paid_twice: int


def write_job(folder: Path) -> None:
    """Write a table of rated texts and its rubric."""
    rubric = toy_rubric(*CRITERIA)
    (folder / "rubric.toml").write_text(rubric.to_toml(), encoding="utf-8")
    rows = [json.dumps(example.toDict()) for example in toy_examples(rubric, TEXTS)]
    (folder / "ratings.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def compile_words(folder: Path, server: ToyServer, out: Path, steps: int) -> list[str]:
    """Give the arguments of the command that is killed."""
    words = ["compile", str(folder / "ratings.jsonl"), "--rubric", str(folder / "rubric.toml")]
    words += ["--lm", "openai/gpt-4o-mini", "--api-base", server.url, "--steps", str(steps)]
    return [*words, "--num-threads", str(THREADS), "--test-share", "0.2", "--out", str(out)]


def start(words: Sequence[str]) -> multiprocessing.process.BaseProcess:
    """Start a command in a process that has the imports behind it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    process = context.Process(target=_command, args=(list(words),), daemon=True)
    process.start()
    return process


def finish(words: Sequence[str]) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: If it fails.
    """
    process = start(words)
    process.join(PATIENCE)
    if process.exitcode != 0:
        process.kill()
        raise RuntimeError(f"The run ended with {process.exitcode}: {' '.join(words)}")


def kill_and_resume(
    folder: Path, server: ToyServer, points: int, steps: int, rng: random.Random
) -> tuple[int, list[Outcome]]:
    """Give the calls of a run that was left alone, and what became of those that were killed."""
    whole = folder / "whole"
    finish(compile_words(folder, server, whole, steps))
    calls = server.calls.total()
    outcomes = []
    for point in range(points):
        server.reset()
        out = folder / f"killed-{point}"
        words = compile_words(folder, server, out, steps)
        after = rng.randrange(calls)  # each call of the run is as likely as any other
        _kill(start(words), server, after, rng.uniform(0, LONGEST_DELAY))
        finish(words)
        same = all((out / name).read_bytes() == (whole / name).read_bytes() for name in FILES)
        same = same and _figures(out) == _figures(whole)
        outcomes.append(Outcome(after, same, server.calls.total() - calls))
    return calls, outcomes


def _figures(out: Path) -> dict[str, object]:
    """Give a result without what differs by right: which calls were paid, and which cached."""
    result: dict[str, object] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    steps = result.pop("steps")
    assert isinstance(steps, list)
    compared = {key: value for key, value in result.items() if key not in ("ledger", "calls")}
    return {**compared, "steps": [{**step, "calls": None} for step in steps]}


def _kill(
    process: multiprocessing.process.BaseProcess, server: ToyServer, after: int, delay: float
) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.is_alive() and server.calls.total() <= after and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(delay)
    process.kill()
    process.join()


def _command(words: list[str]) -> None:
    from mogradjudge.cli import main

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    main(words)


@click.command("resume")
@click.option("--points", default=20, show_default=True, help="Runs to kill.")
@click.option("--steps", default=3, show_default=True, help="Optimization steps of each run.")
@click.option("--seed", default=0, show_default=True, help="Seeds the points.")
def command(points: int, steps: int, seed: int) -> None:
    """Kill runs at random points and start them again: differences, calls paid twice."""
    with tempfile.TemporaryDirectory() as scratch, serving(latency=LATENCY) as server:
        write_job(Path(scratch))
        calls, outcomes = kill_and_resume(Path(scratch), server, points, steps, random.Random(seed))
    print_table(
        ("killed after call", "same result", "calls paid twice"),
        [
            [str(outcome.after), "yes" if outcome.same else "NO", str(outcome.paid_twice)]
            for outcome in sorted(outcomes, key=lambda outcome: outcome.after)
        ],
        f"{points} runs of {calls} calls, {THREADS} in flight, killed by SIGKILL",
    )
    print(
        f"points {points}, differences {sum(not outcome.same for outcome in outcomes)}, "
        f"calls paid twice {sum(outcome.paid_twice for outcome in outcomes)} "
        f"(at most {THREADS} were in flight)"
    )
    if not all(outcome.same and outcome.paid_twice <= THREADS for outcome in outcomes):
        raise click.exceptions.Exit(1)
