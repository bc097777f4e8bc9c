"""Several workers at one study, each a process of its own, on a real PostgreSQL server."""

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks.server import serving
from mogradjudge.search.purse import BLOCK
from mogradjudge.search.reading import to_read
from mogradjudge.search.result import SearchResult
from mogradjudge.search.summary import summarize

TRIALS, CAP, HEARTBEAT = 6, 5000, 2

WORKER = """
    import json, sys
    import dspy
    from benchmarks.world import toy_examples, toy_rubric
    from mogradjudge import Budget, MOGradConfig, MultiCriteriaJudge
    from mogradjudge.search import SearchSpace, search

    url, storage, study, out, cap = sys.argv[1:]
    rubric = toy_rubric("coherence", "fluency")
    examples = toy_examples(rubric, 30)
    lm = dspy.LM("openai/toy", api_base=url, api_key="none", temperature=0.0, cache=True)
    print("ready", flush=True)
    with dspy.context(lm=lm):
        result = search(
            MultiCriteriaJudge(rubric), examples[:10], examples[10:18], examples[18:],
            SearchSpace(gate=None, tolerance=None), trials=6, storage=storage, study=study,
            budget=Budget(max_calls=int(cap)), base=MOGradConfig(steps=2, num_threads=4),
            out=out, heartbeat=2,
        )
    print(json.dumps({"stop": result.stop_reason, "best": result.best and result.best.task}))
"""


@pytest.fixture
def study():
    return f"study-{uuid4().hex}"


def start(server, postgres: str, study: str, out: Path, cap: int = CAP) -> subprocess.Popen[str]:
    arguments = [server.url, postgres, study, str(out), str(cap)]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(worker: subprocess.Popen[str]) -> dict[str, object]:
    out, errors = worker.communicate(timeout=240)
    assert worker.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


def read(postgres: str, study: str, folder: Path) -> SearchResult:
    with to_read(postgres, folder, study) as (queue, shared):
        return summarize(queue, shared)


def test_two_workers_share_the_trials_and_the_budget(postgres, study, tmp_path):
    with serving(0, 0.01) as server:
        workers = [start(server, postgres, study, tmp_path / name) for name in "ab"]
        told = [ended(worker) for worker in workers]
        result = read(postgres, study, tmp_path)
        assert [each["stop"] for each in told] == ["trials", "trials"]
        assert told[0]["best"] == told[1]["best"] == result.best.task
        assert [each.task for each in result.trials] == [f"{n:04d}" for n in range(TRIALS)]
        assert {each.state for each in result.trials} == {"complete"}
        assert result.spent.calls == server.calls.total()
        assert len({each.worker for each in result.trials}) == 2
        assert (tmp_path / "a" / "judge.json").read_text() == (
            tmp_path / "b" / "judge.json"
        ).read_text()


def test_a_worker_killed_in_mid_trial_loses_no_trial_and_finishes_none_twice(
    postgres, study, tmp_path
):
    with serving(0, 0.05) as server:
        doomed = start(server, postgres, study, tmp_path / "doomed")
        while server.calls.total() < 40 and doomed.poll() is None:
            time.sleep(0.02)
        doomed.kill()
        doomed.communicate()
        before = read(postgres, study, tmp_path)
        (running,) = [each for each in before.trials if each.state == "running"]
        heir = start(server, postgres, study, tmp_path / "heir")
        ended(heir)
        result = read(postgres, study, tmp_path)
        done = [each.task for each in result.trials if each.state == "complete"]
        assert sorted(done) == [f"{n:04d}" for n in range(TRIALS)]
        (failed,) = [each for each in result.trials if each.state == "failed"]
        assert (failed.number, failed.why) == (running.number, "the worker died")
        (again,) = [
            each for each in result.trials if each.task == failed.task and each is not failed
        ]
        assert dict(again.params) == {**again.params, **failed.params}
        # The dead one's calls in flight are counted, whether the server saw them or not, and so are
        # those that it had taken from the purse and not sent.
        assert 0 <= result.spent.calls - server.calls.total() <= 4 + BLOCK


def test_when_all_workers_were_killed_the_next_start_goes_on_and_keeps_the_budget(
    postgres, study, tmp_path
):
    cap = 150
    with serving(0, 0.02) as server:
        workers = [start(server, postgres, study, tmp_path / name, cap) for name in "ab"]
        while server.calls.total() < 60:
            time.sleep(0.02)
        for worker in workers:
            worker.kill()
            worker.communicate()
        told = ended(start(server, postgres, study, tmp_path / "c", cap))
        assert told["stop"] == "budget"
        assert server.calls.total() <= cap
        told = ended(start(server, postgres, study, tmp_path / "d"))
        assert told["stop"] == "trials"
        result = read(postgres, study, tmp_path)
        done = [each.task for each in result.trials if each.state == "complete"]
        assert sorted(done) == [f"{n:04d}" for n in range(TRIALS)]
        assert 0 <= result.spent.calls - server.calls.total() <= 8 + 2 * BLOCK
