"""A run that is killed at any instant loses nothing but the calls that were in flight."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.self_tests.resume import (
    THREADS,
    compile_words,
    finish,
    kill_and_resume,
    start,
    write_job,
)
from benchmarks.worlds.server import ToyServer, serving
from tests import processes
from tests.processes import PATIENCE

pytestmark = pytest.mark.slow

POINTS = 20


@pytest.fixture
def server() -> Iterator[ToyServer]:
    with serving(latency=0.002) as server:
        yield server


@pytest.fixture
def job(tmp_path: Path) -> Path:
    processes.prepare()
    write_job(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_left_alone(job, server):
    calls, outcomes = kill_and_resume(job, server, POINTS, 2, random.Random(0))
    assert len(outcomes) == POINTS
    assert [each for each in outcomes if not each.same] == []
    assert max(each.paid_twice for each in outcomes) <= THREADS
    assert min(each.paid_twice for each in outcomes) >= 0
    assert calls > POINTS


def test_a_run_that_is_killed_again_and_again_still_comes_to_its_end(job, server):
    whole, out = job / "whole", job / "out"
    finish(compile_words(job, server, whole, 1))
    calls = server.calls.total()
    server.reset()
    words = compile_words(job, server, out, 1)
    for _ in range(3):
        before = server.calls.total()
        process = start(words)
        while process.is_alive() and server.calls.total() < before + 12:
            time.sleep(0.001)
        process.kill()
        process.join()
    finish(words)
    assert (out / "judge.json").read_bytes() == (whole / "judge.json").read_bytes()
    assert server.calls.total() <= calls + 3 * THREADS


def wait_for(server: ToyServer, calls: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.calls.total() < calls:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def result_of(out: Path) -> dict[str, object]:
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


def goes_on_to_the_end(job: Path, server: ToyServer, out: Path) -> bool:
    server.latency = 0.0
    finish(compile_words(job, server, out, 2))
    return result_of(out)["stop_reason"] == "steps"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: signal.Signals(number).name
)
def test_the_first_signal_lets_the_calls_in_flight_end_and_saves_the_best_so_far(
    number, job, server
):
    server.latency = 1.0  # a busy machine sees the signal before the next calls are sent
    out = job / "out"
    process = start(compile_words(job, server, out, 2))
    wait_for(server, THREADS)
    os.kill(process.pid, number)
    process.join(PATIENCE)
    seen = server.calls.total()
    assert process.exitcode == 130
    result = result_of(out)
    assert (result["stop_reason"], result["seed_kept"]) == ("interrupted", True)
    assert sum(row["failed"] for row in result["ledger"]) == 0  # each call got its answer
    assert result["calls"] == seen <= 2 * THREADS
    assert goes_on_to_the_end(job, server, out)


def test_the_second_signal_ends_the_run_now_and_its_folder_stays_usable(job, server):
    out = job / "out"
    process = start(compile_words(job, server, out, 2))
    wait_for(server, 40)
    server.latency = 30.0
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(1)
    assert process.is_alive()  # it waits for what is in flight
    os.kill(process.pid, signal.SIGINT)
    process.join(25)  # and not for the 30 seconds that the server takes
    assert process.exitcode == 130
    assert goes_on_to_the_end(job, server, out)


def test_a_stop_file_ends_the_run_in_order_and_is_used_up(job, server):
    server.latency = 0.05
    out = job / "out"
    process = start(compile_words(job, server, out, 2))
    wait_for(server, 1)
    (out / "stop").touch()
    process.join(PATIENCE)
    assert process.exitcode in (0, 3)  # 3 if it came before a rewrite was scored
    assert result_of(out)["stop_reason"] == "stop_file"
    assert goes_on_to_the_end(job, server, out)


def test_a_second_process_is_kept_out_of_the_folder(job, server):
    server.latency = 1.0  # a busy machine sees the signal before the next calls are sent
    out = job / "out"
    first = start(compile_words(job, server, out, 1))
    wait_for(server, 1)
    second = start(compile_words(job, server, out, 1))
    second.join(PATIENCE)
    assert second.exitcode == 2
    server.latency = 0.0
    first.join(PATIENCE)
    assert first.exitcode == 0
