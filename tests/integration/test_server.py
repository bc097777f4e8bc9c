"""Rounds as a server sees them: all calls of one are in flight together, and never too many."""

import json
import os
import resource
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

import dspy
import pytest

from benchmarks.worlds.server import ToyServer, serving, serving_apart
from benchmarks.worlds.world import ToyEngine, toy_examples, toy_lm, toy_rubric
from mogradjudge import (
    MODES,
    AlwaysAccept,
    MOGrad,
    MultiCriteriaJudge,
    OptimizationResult,
    SetupError,
)
from mogradjudge.cli import main
from tests import processes

pytestmark = pytest.mark.slow

RUBRIC = toy_rubric("coherence", "fluency", "relevance", "style")
EXAMPLES = toy_examples(RUBRIC, 8)
PATIENCE = 120.0  # seconds until a round counts as one that cannot be in flight together


class Watch:
    """Keeps the starts and ends of a server's calls in order, and may hold calls back.

    A call of a role in ``together`` is answered only once so many of that role are in flight.
    """

    def __init__(self, server: ToyServer, together: Mapping[str, int] | None = None) -> None:
        self.seen: list[tuple[str, str]] = []
        self._barriers = {
            role: threading.Barrier(count, timeout=PATIENCE)
            for role, count in (together or {}).items()
        }
        self._lock, self._counted = threading.Lock(), server.counted
        server.counted = self.counted

    @contextmanager
    def counted(self, role: str) -> Iterator[None]:
        self._note("start", role)
        with self._counted(role):
            if role in self._barriers:
                self._barriers[role].wait()
            yield
        self._note("end", role)

    def _note(self, what: str, role: str) -> None:
        with self._lock:
            self.seen.append((what, role))

    @property
    def rounds(self) -> list[str]:
        """The roles in the order in which they spoke."""
        return [role for role, _ in groupby(role for _, role in self.seen)]


def optimize(
    lm: dspy.LM, mode: str, layout: str = "combined", **changes: object
) -> OptimizationResult:
    with dspy.context(lm=lm):
        return MOGrad(
            mode=mode,
            protocol="paper",
            **{"batch_size": 4, "steps": 1, "gate": AlwaysAccept()} | changes,
        ).optimize(
            MultiCriteriaJudge(RUBRIC, layout=layout), trainset=EXAMPLES[:4], valset=EXAMPLES[4:]
        )


def client(server: ToyServer) -> dspy.LM:
    return dspy.LM(
        "openai/toy",
        api_base=server.url,
        api_key="none",
        temperature=0.0,
        cache=False,
        num_retries=0,
    )


@pytest.fixture
def server() -> Iterator[ToyServer]:
    with serving() as server:
        yield server


@pytest.mark.parametrize(
    ["mode", "together"],
    [
        ("SSS", {"judge": 16, "critic": 16, "coach": 16, "editor": 4}),
        ("SSC", {"judge": 16, "critic": 16, "coach": 16, "editor": 1}),
        ("SCC", {"judge": 16, "critic": 16, "coach": 4, "editor": 1}),
        ("CCC", {"judge": 16, "critic": 4, "coach": 4, "editor": 1}),
    ],
)
def test_all_calls_of_a_round_are_in_flight_together(server, mode, together):
    # Every call waits for its whole round, so a round that is cut in two would never be answered.
    Watch(server, together)
    result = optimize(client(server), mode, "separate", num_threads=16)
    assert server.peak == 16
    assert server.calls == {**together, "judge": 3 * 16}
    assert result.calls == server.calls.total()


@pytest.mark.parametrize(
    ["mode", "layout"], [*((mode, "combined") for mode in MODES), ("SSS", "separate")]
)
def test_a_step_takes_five_rounds_and_each_waits_for_the_one_before(server, mode, layout):
    watch = Watch(server)
    result = optimize(client(server), mode, layout, steps=2, num_threads=16)
    # The gate of one step and the judge of the next speak with one voice, as the seed's does.
    assert watch.rounds == [*["judge", "critic", "coach", "editor"] * 2, "judge"]
    in_flight = Counter[str]()
    for what, role in watch.seen:
        in_flight[role] += 1 if what == "start" else -1
        assert not [other for other in in_flight if other != role and in_flight[other]]
    assert result.calls == server.calls.total() == len(watch.seen) / 2


@pytest.mark.parametrize(["layout", "num_threads"], [("combined", 1), ("separate", 3)])
def test_no_more_calls_are_in_flight_than_threads_were_given(layout, num_threads):
    with serving(latency=0.005) as server:
        optimize(client(server), "SSC", layout, num_threads=num_threads)
        assert 1 <= server.peak <= num_threads


def test_over_http_a_run_finds_what_it_finds_in_process(server):
    over_http = optimize(client(server), "SSC", steps=2, num_threads=8)
    engine = ToyEngine()
    in_process = optimize(toy_lm(engine), "SSC", steps=2, num_threads=8)
    assert over_http.measured == in_process.measured
    assert server.calls == engine.calls
    tokens = [
        (row.role, row.criteria, row.calls, row.prompt_tokens, row.completion_tokens)
        for row in over_http.ledger
    ]
    assert all(prompt > 0 and completion > 0 for *_, prompt, completion in tokens)
    assert [row[:3] for row in tokens] == [
        (row.role, row.criteria, row.calls) for row in in_process.ledger
    ]


def test_the_server_counts_by_role_until_it_is_reset(server):
    with dspy.context(lm=client(server)):
        MultiCriteriaJudge(RUBRIC, layout="separate")(output=EXAMPLES[0].output)
    assert (server.calls, server.peak > 0) == ({"judge": 4}, True)
    server.reset()
    assert (server.calls, server.peak) == ({}, 0)


def test_two_servers_have_ports_and_counts_of_their_own(server):
    with serving() as other, dspy.context(lm=client(other)):
        assert other.url != server.url
        MultiCriteriaJudge(RUBRIC)(output=EXAMPLES[0].output)
        assert (other.calls.total(), server.calls.total()) == (1, 0)


def test_a_server_that_does_not_start_says_why_in_one_line():
    found = pytest.raises(SetupError, match=r"did not start: .*nonsense")
    with found as caught, serving_apart(faults="nonsense"):
        pass
    assert len(str(caught.value).splitlines()) == 1


def under_a_limit(words: list[str], limit: int, left: int | None = None) -> None:
    """Run a command that may have so many files and connections open, or has so many left."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    held = []
    with suppress(OSError):
        while left is not None:
            held.append(os.open(os.devnull, os.O_RDONLY))
    for descriptor in held[: left or 0]:
        os.close(descriptor)
    main(words)


@pytest.fixture
def table(tmp_path) -> Path:
    rubric = toy_rubric("coherence", "fluency")
    rows = [json.dumps(each.toDict()) for each in toy_examples(rubric, 400)]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    MultiCriteriaJudge(rubric).save(tmp_path / "judge.json")
    return tmp_path


def words_of(command: str, folder: Path, server: ToyServer) -> list[str]:
    data = {
        "score": ["judge.json", "texts.jsonl", "--out", "scores.jsonl"],
        "compile": ["texts.jsonl", "--rubric", "rubric.toml", "--steps", "1", "--out", "run"],
        "evaluate": ["judge.json", "texts.jsonl"],
    }
    paths = [str(folder / word) if "." in word or word == "run" else word for word in data[command]]
    return [command, *paths, "--lm", "openai/toy", "--api-base", server.url]


@pytest.mark.parametrize("command", ["score", "compile", "evaluate"])
def test_open_files_do_not_grow_with_the_threads(command, table, server):
    server.latency = 0.3  # so that all threads have a call in flight
    words = [*words_of(command, table, server), "--num-threads", "32"]
    processes.start(table, under_a_limit, words, 256).ended()
    assert server.peak > 16


@pytest.mark.parametrize("command", ["score", "compile"])
def test_where_no_file_is_left_it_is_said_and_what_is_paid_is_kept(command, table, server):
    server.latency = 0.3
    words = [*words_of(command, table, server), "--num-threads", "32"]
    _, said = processes.start(table, under_a_limit, words, 256, 20).ended(2)
    last = said.splitlines()[-1]
    assert "Too many open files" in last and "--num-threads" in last and "ulimit -n" in last
    assert "provider failed" not in said
    server.latency = 0.0
    processes.start(table, under_a_limit, [*words[:-1], "4"], 256).ended()
    assert sum(server.answers.values()) - len(server.answers) <= 32  # those that were in flight
