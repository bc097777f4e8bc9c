"""The queue of tasks, on SQLite and on a real PostgreSQL server."""

import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import dspy
import optuna
import pytest
import sqlalchemy as sa

from mogradjudge import Budget, SetupError
from mogradjudge.lm.budget import Spent
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.search.read_only import to_read
from mogradjudge.search.workers.budget import SharedBudget
from mogradjudge.search.workers.existing import WHY
from mogradjudge.search.workers.queue import MOST_ATTEMPTS, Queue, Task, failure_of
from mogradjudge.search.workers.shared import ASKED, Shared
from mogradjudge.search.workers.storage import opened
from tests import processes
from tests.unit.lm.test_reply_cache import code

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.sqlite3'}"
    return request.getfixturevalue("postgres")


@pytest.fixture
def name():
    return f"study-{uuid4().hex}"


@contextmanager
def queue_at(url: str, name: str, folder: Path, heartbeat: int = 2) -> Iterator[Queue]:
    with opened(url, folder) as (storage, engine):
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        yield Queue(study, storage, Shared(engine, name, patience=3.0 * heartbeat))


@pytest.fixture
def queue(url, name, tmp_path):
    with queue_at(url, name, tmp_path) as queue:
        yield queue


def states(queue: Queue) -> list[tuple[str, str]]:
    return [(each.user_attrs["task"], each.state.name) for each in queue.trials()]


@pytest.mark.slow
def test_each_task_is_done_once_by_many_workers(url, name, tmp_path):
    tasks = [Task(str(number), {"x": float(number)}) for number in range(12)]

    def work(_: int) -> list[str]:
        done = []
        with queue_at(url, name, tmp_path) as queue:
            queue.fill(tasks)
            while trial := queue.pull():
                with queue.at_work(trial):
                    value = trial.suggest_float("x", 0, 20)
                assert queue.finish(trial, [value], {})
                done.append(trial.user_attrs["task"])
        return done

    with ThreadPoolExecutor(3) as pool:
        done = [each for worker in pool.map(work, range(3)) for each in worker]
    assert Counter(done) == Counter(task.name for task in tasks)
    with queue_at(url, name, tmp_path) as queue:
        assert states(queue) == [(str(number), "COMPLETE") for number in range(12)]
        assert [each.value for each in queue.trials()] == [float(number) for number in range(12)]
        assert queue.unfinished() == 0


def dies(url: str, name: str, folder: Path) -> None:
    with queue_at(url, name, folder) as queue:
        queue.fill([Task("a"), Task("b")])
        trial = queue.pull()
        with queue.at_work(trial):
            trial.suggest_float("x", 0, 1)
            sys.stdout.write("at work")
            sys.stdout.flush()
            time.sleep(600)


@pytest.mark.slow
def test_a_dead_workers_task_comes_back_with_its_parameters(queue, url, name, tmp_path):
    worker = processes.start(tmp_path, dies, url, name, tmp_path)
    worker.says("at work")
    assert [queue.pull().user_attrs["task"], queue.pull()] == ["b", None]
    assert queue.unfinished() == 2  # it gives signs of life
    worker.kill()
    while (trial := queue.pull()) is None or trial.user_attrs["task"] == "b":
        time.sleep(0.05)  # nobody gives signs of life for b
    first = queue.trials()[0]
    assert [first.state.name, failure_of(first)] == ["FAIL", "died"]
    assert trial.user_attrs["task"] == "a"
    assert trial.suggest_float("x", 0, 1) == first.params["x"]
    assert queue.finish(trial, [1.0], {})


def test_what_fails_on_the_provider_is_tried_again_but_not_for_ever(queue):
    queue.fill([Task("a")])
    attempts = 0
    while trial := queue.pull():
        attempts += 1
        assert queue.give_back(trial, "provider", "it is down")
    assert attempts == MOST_ATTEMPTS
    assert queue.unfinished() == 0


@pytest.mark.parametrize("failure", ["interrupted", "budget"])
def test_what_was_stopped_comes_back_as_often_as_it_is_stopped(failure, queue):
    queue.fill([Task("a")])
    for _ in range(MOST_ATTEMPTS + 1):
        assert queue.give_back(queue.pull(), failure, "")
    assert queue.finish(queue.pull(), None, {})
    assert [queue.pull(), queue.unfinished()] == [None, 0]


def test_a_task_with_an_error_of_its_own_is_not_tried_again(queue):
    queue.fill([Task("a")])
    queue.give_back(queue.pull(), "error", "undefined")
    assert [queue.pull(), queue.unfinished()] == [None, 0]


def test_why_a_task_failed_is_kept_without_keys(queue, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "correct-horse-battery")
    queue.fill([Task("a")])
    queue.give_back(queue.pull(), "error", "refused 'correct-horse-battery'")
    (trial,) = queue.trials(optuna.trial.TrialState.FAIL)
    assert trial.user_attrs[WHY] == "refused '[redacted]'"


def test_a_worker_that_was_given_up_finishes_nothing(queue):
    queue.fill([Task("a")])
    slow = queue.pull()
    queue.shared.patience = 0.05
    while (other := queue.pull()) is None:
        time.sleep(0.01)
    with queue.at_work(slow) as lost:
        assert lost.wait(300)
    assert queue.finish(other, [2.0], {})
    assert not queue.finish(slow, [1.0], {"value": 1.0})
    assert [each.value for each in queue.trials()] == [None, 2.0]
    assert "value" not in queue.trials()[0].user_attrs


def test_a_pull_asks_the_database_as_often_whatever_waits(queue):
    asked = Counter()
    for engine in {queue.study._storage._backend.engine, queue.shared.engine}:
        sa.event.listen(engine, "after_execute", lambda *_: asked.update([size]))
    for size in (5, 500):
        queue.fill([Task(str(number)) for number in range(size)])
        asked[size] = 0
        queue.finish(queue.pull(), [1.0], {})
    assert asked[500] == asked[5]
    assert len(queue.trials()) == 2  # what waits is no trial yet


def test_a_trial_that_somebody_queued_with_optuna_is_done_too(queue):
    queue.fill([Task("a")])
    queue.study.enqueue_trial({"x": 0.5})
    assert queue.pull().user_attrs["task"] == "a"
    other = queue.pull()
    assert [other.suggest_float("x", 0, 1), queue.unfinished()] == [0.5, 2]
    assert queue.finish(other, [1.0], {})
    assert [queue.pull(), queue.unfinished()] == [None, 1]


def test_a_trial_whose_worker_died_before_it_held_the_task_is_none(queue):
    begun = optuna.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={"task": "a"})
    queue.fill([Task("a"), Task("b")])
    queue.study.add_trial(begun)
    held = queue.pull()
    queue.fill([Task("a"), Task("b")])
    assert [each.state.name for each in queue.trials()] == ["FAIL", "RUNNING"]
    assert queue.finish(held, [1.0], {})


def test_a_task_that_is_done_elsewhere_is_not_done_again(queue):
    queue.add_done(Task("a"), [3.0], {"value": 3.0})
    queue.fill([Task("a"), Task("b")])
    queue.add_done(Task("b"), [3.0], {})  # somebody has queued it
    assert [queue.pull().user_attrs["task"], queue.pull()] == ["b", None]
    assert queue.trials()[0].user_attrs == {"task": "a", "value": 3.0}


def test_trials_in_a_memory_that_is_gone_begin_anew(tmp_path):
    for _ in range(2):
        with opened(optuna.storages.InMemoryStorage(), tmp_path) as (storage, engine):
            study = optuna.create_study(storage=storage, study_name="any")
            queue = Queue(study, storage, Shared(engine, "any", 30.0))
            queue.fill([Task("a")])
            assert queue.finish(queue.pull(), [1.0], {})
            assert queue.unfinished() == 0


def test_a_study_of_an_earlier_version_is_refused_in_one_line(queue, name, url, tmp_path):
    queue.study.enqueue_trial({}, user_attrs={"task": "a"})
    queue.shared.note(ASKED, {})
    with pytest.raises(SetupError, match="or earlier") as caught:
        queue.fill([Task("a")])
    assert "\n" not in str(caught.value)
    with pytest.raises(SetupError, match="or earlier"), to_read(url, tmp_path, name):
        pass
    with queue.shared.engine.begin() as connection:  # as an earlier version left it
        connection.execute(sa.text("ALTER TABLE mogradjudge_tasks RENAME TO others"))
    try:
        with pytest.raises(SetupError, match="or earlier"), to_read(url, tmp_path, name):
            pass
    finally:
        with queue.shared.engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE others RENAME TO mogradjudge_tasks"))


def test_a_purse_is_never_overdrawn_by_many_workers(queue, url, name, tmp_path):
    budget = Budget(max_calls=50, max_tokens=10_000)

    def spend(_: int) -> int:
        taken = 0
        with queue_at(url, name, tmp_path) as own:
            purse = SharedBudget(own.shared, budget)
            while purse.take(Spent(1, 30)):
                purse.settle(Spent(1, 30), Spent(1, 20))
                taken += 1
            purse.flush()
        return taken

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(spend, range(4))) == 50
    assert SharedBudget(queue.shared, budget).spent() == Spent(50, 1000)


def test_a_purse_without_caps_counts_all_the_same(queue):
    purse = SharedBudget(queue.shared, Budget())
    assert all(purse.take(Spent(1)) for _ in range(3))
    purse.settle(Spent(1), Spent(1, 7, 0.5))
    assert purse.spent() == Spent(3, 7, 0.5)
    purse.flush()
    assert purse.spent() == Spent(3, 7, 0.5)


def test_of_two_workers_one_sends_a_request(queue):
    one, two = queue.shared.replies(), queue.shared.replies()
    assert [one.get("a"), one.claim("a"), two.claim("a")] == [None, True, False]
    one.set("a", {"text": "5"})
    one.release("a")
    assert [two.claim("a"), two.get("a")] == [False, {"text": "5"}]


def test_a_request_that_brought_no_reply_is_free_again(queue):
    one, two = queue.shared.replies(), queue.shared.replies()
    assert one.claim("a")
    one.release("a")
    assert two.claim("a")


def test_a_dead_workers_request_is_free_after_a_while(queue):
    queue.shared.patience = 0.05
    one, two = queue.shared.replies(), queue.shared.replies()
    assert one.claim("a")
    while not two.claim("a"):
        time.sleep(0.01)


def test_stores_of_other_names_are_apart(queue):
    shared = queue.shared
    shared.replies().set("a", 1)
    assert [shared.replies("fresh").get("a"), shared.replies().get("a")] == [None, 1]


def test_a_strangers_database_runs_no_code_and_its_replies_are_misses(queue, tmp_path):
    marker, request = tmp_path / "marker", {"_fn_identifier": "dspy.clients.lm15.complete"}
    with replies_kept_in(queue.shared.replies()):
        key = dspy.cache.cache_key(request)
        dspy.cache.put(request, {"any": 1})
    hostile = [code(marker), b"null", b'{"value": null}', b'{"value": {"any": 1}}']
    if queue.shared.engine.dialect.name == "sqlite":
        hostile += [10**17, "text"]
    row = sa.text("UPDATE mogradjudge_replies SET reply = :reply WHERE request = :key")
    for reply in hostile:
        with queue.shared.engine.begin() as connection:
            assert connection.execute(row, {"reply": reply, "key": key}).rowcount == 1
        with suppress(AttributeError), replies_kept_in(queue.shared.replies()):
            assert dspy.cache.get(request) is None
            assert dspy.cache.shared.claim(key)
            dspy.cache.put(request, {"any": 1})
        assert not marker.exists()


def test_a_database_file_leads_nowhere_else(tmp_path):
    other = tmp_path / "other"
    other.write_text("")
    for name in ("study.sqlite3", "shared.sqlite3", "study.sqlite3-wal"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).symlink_to(other)
        with pytest.raises(SetupError, match="symbolic link"), opened(None, folder):
            pass
        url = f"sqlite:///{folder / 'study.sqlite3'}"
        with pytest.raises(SetupError, match="symbolic link"), opened(url, tmp_path / "o"):
            pass
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SetupError, match="symbolic link"), opened(None, tmp_path / "link"):
        pass
    journal = tmp_path / "a.sqlite3-journal"
    journal.write_bytes(b"/home/me/thesis.tex" + bytes.fromhex("d9d505f920a163d7"))
    url = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    with pytest.raises(SetupError, match="journal"), opened(url, tmp_path / "o"):
        pass
    assert not other.read_bytes()


@pytest.mark.parametrize("name", ["study.sqlite3", "shared.sqlite3"])
@pytest.mark.parametrize("reads", [False, True])
def test_a_database_file_that_runs_something_is_refused(reads, name, tmp_path):
    with opened(None, tmp_path) as (storage, engine):
        study = optuna.create_study(study_name="any", storage=storage)
        Shared(engine, study.study_name, 10.0).note("asked", {})
    with closing(sqlite3.connect(tmp_path / name)) as database:
        table = "trials" if name == "study.sqlite3" else "mogradjudge_notes"
        database.execute(f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN SELECT 1; END")
    door = to_read(None, tmp_path, "any") if reads else opened(None, tmp_path)
    with pytest.raises(SetupError, match="trigger 't'"), door as (_, shared):
        if not reads:
            Shared(shared, "any", 10.0)


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("nonsense", "must be a database URL"),
        ("oracle7://user:hunter2secret@host/name", "needs a driver"),
        ("sqlite:////no/such/folder/study.sqlite3", "cannot be opened: unable to open"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_clear_line(storage, said, tmp_path):
    with pytest.raises(SetupError, match=said) as caught, opened(storage, tmp_path):
        pass
    assert "hunter2secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
