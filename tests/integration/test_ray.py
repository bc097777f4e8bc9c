"""A table through a judge on a local Ray of two workers: the same as on one machine."""

import json
import os
import re
import signal
from importlib.util import find_spec
from pathlib import Path

import dspy
import pytest

from benchmarks.worlds.fault_plan import FaultPlan
from benchmarks.worlds.server import serving
from benchmarks.worlds.world import toy_rubric
from mogradjudge import MultiCriteriaJudge
from mogradjudge.cli import main
from mogradjudge.errors import RunStopped, SetupError
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.ray import check_ray, joined
from mogradjudge.scoring.ray.driver import summed
from mogradjudge.scoring.table import score_table

# Ray reads it when it is imported; under `uv run` it would copy this file, with its key.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
pytestmark = [
    # To import it takes seconds, so it is left to the tests that start it.
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
    # Ray's settings warn of some of themselves whenever they are made.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

ROWS, TWICE = 90, 7
KEY = "sk-canary-5f2a9c31d7"


@pytest.fixture(scope="module")
def two_workers():
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    pytest.importorskip("ray.data", reason="the extra `ray` is not installed")
    if os.getloadavg()[0] > 4 * (os.cpu_count() or 1):
        pytest.skip("this machine is too busy for Ray, which gives itself 30 seconds to start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OPENAI_API_KEY", KEY)
        before = signal.getsignal(signal.SIGTERM)
        context = ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        signal.signal(signal.SIGTERM, before)
        yield Path(context.address_info["session_dir"])
        ray.shutdown()


@pytest.fixture
def server():
    with serving(faults=FaultPlan.parse("unreadable=0.1", seed=1)) as server:
        yield server


@pytest.fixture
def table(tmp_path) -> Path:
    rows = [{"id": n, "output": f"text {n % (ROWS - TWICE)}"} for n in range(ROWS)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


JUDGE = MultiCriteriaJudge(toy_rubric("coherence", "fluency"), layout="separate")


def score(server, table: Path, out: Path, ray: str | None, watch=None):
    settings = {"api_base": server.url, "api_key": KEY, "num_retries": 1, "temperature": 0.0}
    with dspy.context(lm=dspy.LM("openai/gpt-4o-mini", **settings)):
        return score_table(JUDGE, table, out, ScoringOptions(1, part_rows=20, ray=ray), watch=watch)


def test_ledgers_are_added_up_by_criteria():
    first = LedgerRow("judge", ("a",), 3, 1, 2, 30, 3, 0.5)
    other = LedgerRow("judge", ("b",), 1, 0, 0, 10, 1, 0.25)
    unpriced = LedgerRow("judge", ("b",), 1, 1, 1, 0, 0, None)
    assert summed([other, first]) == (first, other)
    assert summed([first, first]) == (LedgerRow("judge", ("a",), 6, 2, 4, 60, 6, 1.0),)
    assert summed([other, unpriced]) == (LedgerRow("judge", ("b",), 2, 1, 1, 10, 1, None),)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_refused_at_once():
    with pytest.raises(SetupError, match=r"cannot connect: .*refused"), joined("127.0.0.1:9"):
        pass


@pytest.mark.parametrize(
    ["address", "word"],
    [("ray://head:10001", "from a machine of the cluster"), ("head", "HOST:PORT"), ("", "HOST")],
)
def test_an_address_that_is_none_is_refused(address, word):
    with pytest.raises(SetupError, match=word):
        check_ray(address)


@pytest.mark.slow  # Ray takes seconds to start
def test_the_command_writes_what_it_writes_on_one_machine(
    two_workers, server, table, tmp_path, capsys
):
    JUDGE.save(tmp_path / "judge.json")
    rated = tmp_path / "rated.jsonl"  # its texts are in the table, too, so they are paid once
    ratings = {f"human_{name}": 3 for name in JUDGE.rubric.names}
    rows = [{"output": f"text {n}"} | ratings for n in range(10)]
    rated.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["score", tmp_path / "judge.json", table, "--lm", "openai/gpt-4o-mini"]
    words += ["--estimate", rated]
    shown = []
    for name, more in (("one", []), ("two", ["--ray", "auto"])):
        server.reset()
        words_of_this = [*words, "--api-base", server.url, "--num-threads", 1, *more]
        with pytest.raises(SystemExit) as stop:
            main([*map(str, words_of_this), "--out", str(tmp_path / f"{name}.parquet")])
        assert not stop.value.code
        told = capsys.readouterr().out.replace(f"{name}.parquet", "")
        # A text that comes again to another worker counts as cached.
        shown.append(re.sub(r"(judge +\w+ +\d+ +)\d+", r"\1", told))
        assert set(server.answers.values()) == {1}
        assert server.calls["judge"] == 2 * (ROWS - TWICE)
    assert shown[0] == shown[1]  # calls, tokens and costs, what is unscored, and the means
    assert "narrower by" in shown[0]
    assert "unscored: " in shown[0] and "unscored: none" not in shown[0]
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.slow  # Ray takes seconds to start
def test_what_was_cut_short_is_taken_up_and_paid_once(two_workers, server, table, tmp_path):
    score(server, table, tmp_path / "whole.parquet", None)
    server.reset()
    out = tmp_path / "s.parquet"

    signals = iter([signal.SIGINT])  # a second one would wait for no call

    def interrupt(done: int, total: int) -> None:
        if done and (number := next(signals, None)):
            os.kill(os.getpid(), number)

    with pytest.raises(RunStopped):
        score(server, table, out, "auto", interrupt)
    assert not out.exists()
    assert 0 < server.answers.total() < 2 * (ROWS - TWICE)

    def die(done: int, total: int) -> None:
        if done > ROWS // 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        score(server, table, out, "auto", die)
    scored = score(server, table, out, None)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert scored.texts == ROWS
    assert len(server.answers) == 2 * (ROWS - TWICE)
    # But for what was in flight when the driver died, nothing is paid twice.
    assert server.answers.total() - len(server.answers) <= 2
    files = [path for folder in (two_workers, tmp_path) for path in folder.rglob("*")]
    assert not [path for path in files if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.slow  # Ray takes seconds to start
def test_a_provider_that_goes_down_is_its_error_and_what_is_paid_is_kept(
    two_workers, server, table, tmp_path
):
    score(server, table, tmp_path / "whole.parquet", None)
    server.reset()
    up, out = server.faults, tmp_path / "s.parquet"

    def go_down(done: int, total: int) -> None:
        if done > ROWS // 3:
            server.faults = FaultPlan.parse("500=1")

    with pytest.raises(dspy.LMServerError) as raised:
        score(server, table, out, "auto", go_down)
    assert "The server had an error" in str(raised.value)
    assert not out.exists()
    paid = server.answers.total()
    assert paid
    server.faults = up
    score(server, table, out, None)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert set(server.answers.values()) == {1}
