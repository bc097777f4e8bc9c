"""Several workers at one study, each a process of its own, on a real PostgreSQL server."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from uuid import uuid4

import dspy
import pytest
import sqlalchemy as sa
from dspy.lm15 import Request, Response

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import Budget, MOGradConfig, MultiCriteriaJudge, SetupError
from mogradjudge.search import SearchSpace, search
from mogradjudge.search.analysis.result import SearchResult
from mogradjudge.search.analysis.summary import summarize
from mogradjudge.search.read_only import to_read
from mogradjudge.search.workers.budget import BLOCK
from mogradjudge.search.workers.storage import url_of
from tests import processes
from tests.processes import Worker

TRIALS, CAP, HEARTBEAT = 6, 5000, 2

ENDED = {"complete", "ended early"}


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
        assert {each.state for each in result.trials} <= ENDED
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
        done = [each.task for each in result.trials if each.state in ENDED]
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
        done = [each.task for each in result.trials if each.state in ENDED]
        assert sorted(done) == [f"{n:04d}" for n in range(TRIALS)]
        assert 0 <= result.spent.calls - server.calls.total() <= 8 + 2 * BLOCK


@pytest.fixture
def login(postgres):
    """Give the URL of a login of its own, and what takes it away from it and gives it back."""
    name = f"judge_{uuid4().hex[:8]}"
    admin = sa.create_engine(url_of(postgres), isolation_level="AUTOCOMMIT")

    def change(to: str) -> None:
        ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
        with admin.connect() as connection:
            connection.execute(sa.text(f"ALTER ROLE {name} {to}"))
            if to == "NOLOGIN":
                connection.execute(sa.text(ends))

    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'hunter2secret'"))
    url = url_of(postgres).set(username=name, password="hunter2secret")
    yield url.render_as_string(hide_password=False), change
    with admin.connect() as connection:
        for statement in (
            "REASSIGN OWNED BY {} TO CURRENT_USER",
            "DROP OWNED BY {}",
            "DROP ROLE {}",
        ):
            connection.execute(sa.text(statement.format(name)))
    admin.dispose()


class Outages(ToyEngine):
    """A model during whose calls the study's database goes away, for a second each."""

    def __init__(self, change: Callable[[str], None], at: tuple[int, ...]) -> None:
        super().__init__()
        self.change, self.at, self.timers = change, at, []

    def complete(self, request: Request) -> Response:
        response = super().complete(request)
        if self.calls.total() in self.at:
            self.change("NOLOGIN")
            self.timers.append(Timer(1.0, self.change, ["LOGIN"]))
            self.timers[-1].start()
        return response


def searched(storage: str, engine: ToyEngine, out: Path) -> SearchResult:
    rubric = toy_rubric("coherence", "fluency")
    examples = toy_examples(rubric, 30)
    with dspy.context(lm=dspy.LM("toy/world", engine=engine, temperature=0.0, cache=True)):
        return search(
            *(MultiCriteriaJudge(rubric), examples[:10], examples[10:18], examples[18:]),
            SearchSpace(gate=None, tolerance=None),
            trials=3,
            storage=storage,
            study=out.name,
            base=MOGradConfig(steps=1, num_threads=4),
            out=out,
            heartbeat=HEARTBEAT,
        )


@pytest.mark.slow
def test_a_search_outlives_outages_of_its_database_and_pays_for_nothing_twice(
    login, study, tmp_path, caplog
):
    storage, change = login
    whole = ToyEngine()
    undisturbed = searched(storage, whole, tmp_path / f"whole-{study}")
    engine = Outages(change, at=(5, 40, 60))
    caplog.clear()
    result = searched(storage, engine, tmp_path / f"cut-{study}")
    for timer in engine.timers:
        timer.join()
    assert len(engine.timers) == 3
    assert [trial.state in ENDED for trial in result.trials] == [True] * 3
    assert [dict(trial.params) for trial in result.trials] == [
        dict(trial.params) for trial in undisturbed.trials
    ]
    assert engine.calls == whole.calls
    assert result.spent.calls == engine.calls.total()
    told = [record for record in caplog.records if record.name.startswith("mogradjudge")]
    assert len(told) == 1  # they lie within one minute


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [("CONNECTION LIMIT 0", "too many"), ("CONNECTION LIMIT 1", "too many"), ("NOLOGIN", "log in")],
)
def test_a_server_that_lets_nobody_in_is_one_line_at_the_start(change, named, login, tmp_path):
    storage, changed = login
    changed(f"NOSUPERUSER {change}")
    with pytest.raises(SetupError, match=named) as refused:
        searched(storage, ToyEngine(), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert "hunter2secret" not in str(refused.value)
