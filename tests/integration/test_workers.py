"""Many processes measure the cells of one setting: each cell once, and every folder ends alike."""

import threading
from contextlib import contextmanager
from uuid import uuid4

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from benchmarks import noise
from benchmarks.harness.cells import CELLS, read_cells
from benchmarks.harness.setting import LAYOUTS, ROLES, in_setting, setting_of
from benchmarks.harness.tasks import Task, Unmeasurable
from benchmarks.harness.workers import Workers
from benchmarks.worlds.foreign import OpenWorld
from benchmarks.worlds.planted import (
    PlantedEngine,
    PlantedWorld,
    planted_examples,
    planted_lm,
    planted_rubric,
)
from benchmarks.worlds.server import serving
from mogradjudge import SetupError
from mogradjudge.errors import RunStopped
from mogradjudge.lm.models import make_lm
from mogradjudge.scoring.evaluate import judge_table
from tests import processes

pytestmark = pytest.mark.slow

REPEATS, THREADS, CRITERIA = 3, 8, ("coherence", "fluency")


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'cells.sqlite3'}"


@pytest.fixture
def lm():
    return planted_lm(PlantedWorld(interference=0.5))


def setting_in(folder, lm, database=None, **options):
    examples = planted_examples(planted_rubric(*CRITERIA), documents=8, systems=3)
    workers = None if database is None else Workers(database, heartbeat=1)
    return setting_of(
        *(folder, planted_rubric(*CRITERIA), examples, dict.fromkeys(ROLES, lm)),
        workers=workers,
        **{"repeats": REPEATS, **options},
    )


def measured(folder, lm, database=None, **options):
    setting = setting_in(folder, lm, database, **options)
    with in_setting(setting):
        noise.measure(setting)
    return setting


def lines(folder):
    return (folder / CELLS).read_text().splitlines()


def calls_of(cells):
    """Give what one process pays for the cells."""
    texts = len(cells[0].result["judged"]["groups"])
    return REPEATS * texts * (1 + len(CRITERIA))


def work(url, folder, database, options):
    measured(folder, make_lm("openai/gpt-4o-mini", url), database, **options)


def started(server, folder, database, **options):
    return processes.start(folder.parent, work, server.url, folder, database, options)


class Gate:
    """The planted world behind a gate: calls are under way until it is open."""

    def __init__(self):
        self.answer = PlantedEngine(OpenWorld()).answer
        self.came, self.open = threading.Semaphore(0), threading.Event()

    def __call__(self, system, user):
        self.came.release()
        self.open.wait()
        return self.answer(system, user)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


@contextmanager
def at_gate(gate):
    with serving(world=gate) as server:
        server.handle_error = lambda *_: None  # a killed worker does not wait for its replies
        yield server
        gate.open.set()


@pytest.fixture
def shared(postgres):
    """Give a database of one test's own: cells of one setting serve all who ask for them."""
    name = f"cells_{uuid4().hex}"
    engine = sa.create_engine(postgres.replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return sa.make_url(postgres).set(database=name).render_as_string(hide_password=False)


def test_processes_measure_each_cell_once_and_end_with_equal_folders(tmp_path, shared, gate):
    folders = [tmp_path / name for name in "ab"]
    with at_gate(gate) as server:
        workers = [started(server, folder, shared) for folder in folders]
        gate.came.acquire()
        gate.open.set()
        for worker in workers:
            worker.ended()
        calls = server.calls.total()
        # Who comes later, on a machine of its own, has nothing left to do.
        measured(tmp_path / "late", make_lm("openai/gpt-4o-mini", server.url), shared)
        assert server.calls.total() == calls
    assert lines(folders[0]) == lines(folders[1]) == lines(tmp_path / "late")
    cells = read_cells(folders[0])
    asked = [(repeat, layout) for repeat in range(REPEATS) for layout in LAYOUTS]
    assert [(cell.key["repeat"], cell.key["layout"]) for cell in cells] == asked
    assert calls == calls_of(cells) == sum(cell.calls for cell in cells)
    assert not any(list((folder / "work").glob("*")) for folder in folders)


def test_the_cell_of_a_killed_process_is_measured_by_another(tmp_path, shared, gate):
    killed, lives = tmp_path / "killed", tmp_path / "lives"
    with at_gate(gate) as server:
        first = started(server, killed, shared)
        gate.came.acquire()  # it is in the middle of a cell
        second = started(server, lives, shared)
        first.kill()
        gate.open.set()
        second.ended()
        calls = server.calls.total()
        measured(killed, make_lm("openai/gpt-4o-mini", server.url), shared)
        assert server.calls.total() == calls
    cells = read_cells(lives)
    assert lines(lives) == lines(killed)
    # What was under way at the kill is paid in vain, and belongs to no cell.
    assert 0 < calls - calls_of(cells) <= THREADS
    assert sum(cell.calls for cell in cells) == calls_of(cells)


def test_the_cap_on_calls_holds_over_all_processes(tmp_path, shared, gate):
    folders = [tmp_path / name for name in "ab"]
    gate.open.set()
    with at_gate(gate) as server:
        workers = [started(server, folder, shared, max_calls=40) for folder in folders]
        for worker in workers:
            _, said = worker.ended(status=1)
            assert "--max-calls 40: the setting's workers have taken them all. Raise" in said
        assert server.calls.total() == 40
        lm = make_lm("openai/gpt-4o-mini", server.url)
        measured(folders[0], lm, shared, max_calls=1000)
        calls = server.calls.total()
    assert len(lines(folders[0])) == REPEATS * len(LAYOUTS)
    assert calls_of(read_cells(folders[0])) <= calls <= 40 + calls_of(read_cells(folders[0]))


def test_what_a_folder_holds_is_measured_by_nobody_else(tmp_path, database, lm):
    measured(tmp_path / "a", lm)
    paid = lm.engine.calls.total()
    measured(tmp_path / "a", lm, database)
    measured(tmp_path / "b", lm, database)
    assert lm.engine.calls.total() == paid
    assert lines(tmp_path / "a") == lines(tmp_path / "b")


def test_a_larger_batch_takes_what_a_smaller_one_has_measured(tmp_path, database, lm):
    few = measured(tmp_path / "a", lm, database, repeats=1)
    more = measured(tmp_path / "b", lm, database, repeats=2)
    assert lm.engine.calls.total() == sum(cell.calls for cell in more.grid.cells)
    assert more.grid.cells[: len(LAYOUTS)] == few.grid.cells


def test_another_setting_has_cells_of_its_own(tmp_path, database, lm):
    for each in (lm, lm.copy(temperature=0.5)):
        setting = measured(tmp_path, each, database, repeats=1)
        assert len(setting.cells) == len(LAYOUTS)
    assert len(read_cells(tmp_path)) == 2 * len(LAYOUTS)


class Tasks:
    """Two tasks: the first one does as it is told, the second one is measured."""

    def __init__(self, folder, database, lm, first):
        self.setting = setting_in(folder, lm, database)
        second = self.setting.grid.task("noise", {"repeat": 1}, self._score)
        self.tasks = [Task("noise", {"repeat": 0}, first), second]

    def _score(self, ledger):
        judged = judge_table(self.setting.judge(), self.setting.test, ledger, 4)
        return {"scores": [each.prediction.coherence for each in judged]}

    def measure(self):
        with in_setting(self.setting):
            return [cell.result for cell in self.setting.grid.measure(self.tasks)]


def test_what_cannot_be_measured_is_told_and_tried_by_each_start(tmp_path, database, lm):
    tries = []

    def first(means):
        tries.append(means.folder)
        raise Unmeasurable("not installed")

    for name in "ab":
        status, scores = Tasks(tmp_path / name, database, lm, first).measure()
        assert status == {"status": "not installed"}
        assert "scores" in scores
        assert len(read_cells(tmp_path / name)) == 1
    assert len(tries) == 2


@pytest.mark.parametrize("error", [RuntimeError, RunStopped("interrupted"), KeyboardInterrupt])
def test_what_one_process_fails_at_the_next_one_measures(error, tmp_path, database, lm):
    def fails(means):
        raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        Tasks(tmp_path / "a", database, lm, fails).measure()
    first, second = Tasks(tmp_path / "b", database, lm, lambda means: ({"n": 1}, [])).measure()
    assert (first, "scores" in second) == ({"n": 1}, True)


def test_a_cell_that_another_process_failed_at_is_named(tmp_path, database, lm):
    def fails(means):
        raise ZeroDivisionError("by zero")

    def another_fails(means):
        other = Tasks(tmp_path / "b", database, lm, lambda means: ({}, []))
        other.tasks[1] = Task("noise", {"repeat": 1}, fails)
        with pytest.raises(ZeroDivisionError):
            other.measure()
        return {"n": 1}, []

    with pytest.raises(SetupError, match=r"given up .* ZeroDivisionError: by zero. The same comm"):
        Tasks(tmp_path / "a", database, lm, another_fails).measure()
    assert len(read_cells(tmp_path / "a")) == 1  # what was measured is kept all the same


def test_two_processes_may_share_a_folder(tmp_path, database, lm):
    def first(means):
        other = Tasks(tmp_path, database, lm, lambda means: ({}, []))
        other.setting.grid.measure(other.tasks[1:])  # as a batch of its own
        return {"n": 1}, []

    assert Tasks(tmp_path, database, lm, first).measure()[0] == {"n": 1}
    assert len(lines(tmp_path)) == 2


def test_a_database_that_cannot_be_had_is_one_line(tmp_path):
    done = CliRunner().invoke(noise.command, ["--smoke", "--storage", "nonsense"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "must be a database URL" in done.output


def test_a_database_that_breaks_is_one_line(tmp_path, database, lm):
    def first(means):
        engine = sa.create_engine(database)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE trial_user_attributes"))
        engine.dispose()
        return {}, []

    with pytest.raises(SetupError, match=r"--storage cannot be reached .* when it is there"):
        Tasks(tmp_path / "a", database, lm, first).measure()
