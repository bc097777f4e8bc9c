"""Several workers at one study, each a process of its own, on a real PostgreSQL server."""

import json
import sys
import time
from pathlib import Path
from uuid import uuid4

import dspy
import pytest

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import Budget, MOGradConfig, MultiCriteriaJudge
from mogradjudge.search import SearchSpace, search
from mogradjudge.search.analysis.result import SearchResult
from mogradjudge.search.analysis.summary import summarize
from mogradjudge.search.read_only import to_read
from mogradjudge.search.workers.budget import BLOCK
from tests import processes
from tests.processes import Worker

TRIALS, CAP, HEARTBEAT = 6, 5000, 2


def work(url: str, storage: str, study: str, out: Path, cap: int) -> None:
    rubric = toy_rubric("coherence", "fluency")
    examples = toy_examples(rubric, 30)
    lm = dspy.LM("openai/toy", api_base=url, api_key="none", temperature=0.0, cache=True)
    with dspy.context(lm=lm):
        result = search(
            *(MultiCriteriaJudge(rubric), examples[:10], examples[10:18], examples[18:]),
            SearchSpace(gate=None, tolerance=None),
            trials=TRIALS,
            storage=storage,
            study=study,
            budget=Budget(max_calls=cap),
            base=MOGradConfig(steps=2, num_threads=4),
            out=out,
            heartbeat=HEARTBEAT,
        )
    told = {"stop": result.stop_reason, "best": result.best and result.best.task}
    sys.stdout.write(json.dumps(told))


@pytest.fixture
def study():
    return f"study-{uuid4().hex}"


def start(server, postgres: str, study: str, out: Path, cap: int = CAP) -> Worker:
    return processes.start(out.parent, work, server.url, postgres, study, out, cap)


def ended(worker: Worker) -> dict[str, object]:
    return json.loads(worker.ended()[0].splitlines()[-1])


def read(postgres: str, study: str, folder: Path) -> SearchResult:
    with to_read(postgres, folder, study) as (queue, shared):
        return summarize(queue, shared)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_worker_killed_in_mid_trial_loses_no_trial_and_finishes_none_twice(
    postgres, study, tmp_path
):
    with serving(0, 0.05) as server:
        doomed = start(server, postgres, study, tmp_path / "doomed")
        while server.calls.total() < 40 and doomed.process.is_alive():
            time.sleep(0.02)
        doomed.kill()
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


@pytest.mark.slow
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
        told = ended(start(server, postgres, study, tmp_path / "c", cap))
        assert told["stop"] == "budget"
        assert server.calls.total() <= cap
        told = ended(start(server, postgres, study, tmp_path / "d"))
        assert told["stop"] == "trials"
        result = read(postgres, study, tmp_path)
        done = [each.task for each in result.trials if each.state == "complete"]
        assert sorted(done) == [f"{n:04d}" for n in range(TRIALS)]
        assert 0 <= result.spent.calls - server.calls.total() <= 8 + 2 * BLOCK
