"""Cells are measured once, survive a crash in between, and keep to the cap on calls."""

import json
import threading
import time
from dataclasses import replace

import dspy
import pytest
from click.testing import CliRunner
from filelock import FileLock

from benchmarks import noise
from benchmarks.harness.cells import CELLS, read_cells
from benchmarks.harness.setting import ROLES, drawn, in_setting, load_rated, setting_of
from benchmarks.harness.tasks import Task, Unmeasurable
from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from mogradjudge import SetupError
from mogradjudge.errors import BudgetExhausted
from mogradjudge.scoring.evaluate import judge_table


@pytest.fixture
def world():
    return PlantedWorld(interference=0.5)


def setting_in(folder, lm, **options):
    rubric = planted_rubric("coherence", "fluency")
    examples = planted_examples(rubric, documents=8, systems=3)
    return setting_of(folder, rubric, examples, dict.fromkeys(ROLES, lm), **options)


def scores(setting):
    def measure(ledger):
        judged = judge_table(setting.judge(), setting.test, ledger, 4)
        return {"scores": [each.prediction.coherence for each in judged]}

    return measure


def cell_of(grid, benchmark, key, measure):
    (cell,) = grid.measure([grid.task(benchmark, key, measure)])
    return cell


def test_a_cell_is_measured_once(tmp_path, world):
    lm = planted_lm(world)
    for _ in range(2):  # the second grid reads the file that the first one wrote
        setting = setting_in(tmp_path, lm)
        with in_setting(setting):
            cell = cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
    assert lm.engine.calls["judge"] == len(setting.test) == cell.calls
    assert [each.identity for each in read_cells(tmp_path)] == [cell.identity]
    assert not list((tmp_path / "work").iterdir())


def test_a_repeat_is_paid_afresh_and_differs(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    with in_setting(setting):
        first, second = (
            cell_of(setting.grid, "noise", {"repeat": r}, scores(setting)) for r in range(2)
        )
    assert first.calls == second.calls
    assert first.result != second.result


def test_what_was_paid_is_not_paid_again_after_a_crash(tmp_path, world):
    lm = planted_lm(world)
    setting = setting_in(tmp_path, lm)

    def crash(ledger):
        judge_table(setting.judge(), setting.test[:5], ledger, 1)
        raise RuntimeError("the machine went down")

    with in_setting(setting):
        with pytest.raises(RuntimeError):
            cell_of(setting.grid, "noise", {"repeat": 0}, crash)
        cell = cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
    assert lm.engine.calls["judge"] == len(setting.test) == cell.calls


def test_a_batch_gives_its_cells_in_the_order_of_its_tasks(tmp_path, world):
    lm = planted_lm(world)
    setting = setting_in(tmp_path, lm)
    tasks = [setting.grid.task("noise", {"repeat": r}, scores(setting)) for r in range(3)]
    with in_setting(setting):
        (last,) = setting.grid.measure(tasks[2:])
        given = setting.grid.measure([*tasks, tasks[0]])  # one of them is there, one asked twice
    assert [cell.key["repeat"] for cell in given] == [0, 1, 2, 0]
    assert given[2] == last
    assert [cell.key["repeat"] for cell in read_cells(tmp_path)] == [2, 0, 1]
    assert lm.engine.calls["judge"] == 3 * len(setting.test)


def test_a_task_that_cannot_be_measured_ends_no_batch_and_is_tried_again(tmp_path, world):
    setting, tries = setting_in(tmp_path, planted_lm(world)), []

    def work(means):
        tries.append(means.folder)
        raise Unmeasurable("not installed")

    tasks = [
        Task("noise", {"repeat": 0}, work),
        setting.grid.task("noise", {"repeat": 1}, scores(setting)),
    ]
    with in_setting(setting):
        first, second = [setting.grid.measure(tasks) for _ in range(2)][-1]
    assert (first.result, first.calls) == ({"status": "not installed"}, 0)
    assert [second.identity] == [cell.identity for cell in read_cells(tmp_path)]
    assert len(tries) == 2


def test_another_setting_is_another_cell(tmp_path, world):
    lm = planted_lm(world)
    a, b = setting_in(tmp_path, lm), setting_in(tmp_path, lm.copy(temperature=0.5))
    assert a.grid.setting["models"]["judge"] != b.grid.setting["models"]["judge"]
    with in_setting(a):
        cell_of(a.grid, "noise", {}, scores(a))
    with in_setting(b):
        cell_of(b.grid, "noise", {}, scores(b))
    assert len(read_cells(tmp_path)) == 2


def test_the_cap_on_calls_holds_over_all_cells(tmp_path, world):
    lm = planted_lm(world)
    setting = setting_in(tmp_path, lm, max_calls=20)
    with in_setting(setting), pytest.raises(BudgetExhausted, match=r"-calls 20: .* Raise it"):
        for repeat in range(3):
            cell_of(setting.grid, "noise", {"repeat": repeat}, scores(setting))
    assert lm.engine.calls["judge"] == 20


def test_the_cap_on_calls_holds_over_cells_that_were_cut_short_too(tmp_path, world):
    lm = planted_lm(world)
    for repeat in range(2):  # each is cut short by its cap, which the next start raises
        setting = setting_in(tmp_path, lm, max_calls=5 + 5 * repeat)
        with in_setting(setting), pytest.raises(BudgetExhausted):
            cell_of(setting.grid, "noise", {"repeat": repeat}, scores(setting))
    assert lm.engine.calls["judge"] == 10


def test_what_another_process_has_measured_meanwhile_is_not_measured_again(tmp_path, world):
    lm = planted_lm(world)
    first, second = setting_in(tmp_path, lm), setting_in(tmp_path, lm)
    for setting in (first, second):
        with in_setting(setting):
            cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
    assert lm.engine.calls["judge"] == len(first.test)
    assert len((tmp_path / CELLS).read_text().splitlines()) == 1


def test_one_process_at_a_time_measures(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    lock = FileLock(tmp_path / "cells.lock")
    with in_setting(setting), lock, pytest.raises(SetupError, match="Another process is measuring"):
        cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
    assert setting.grid.cells == []


def test_another_process_between_two_cells_is_waited_for(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    taken = threading.Event()

    def other():
        with FileLock(tmp_path / "cells.lock"):
            taken.set()
            time.sleep(0.2)

    with in_setting(setting):
        cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
        thread = threading.Thread(target=other)
        thread.start()
        taken.wait()
        cell_of(setting.grid, "noise", {"repeat": 1}, scores(setting))
        thread.join()
    assert len(setting.grid.cells) == 2


def test_work_that_a_kill_left_behind_is_removed_once_its_cell_is_there(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    with in_setting(setting):
        cell = cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
    done, cut_short = (tmp_path / "work" / name for name in (cell.identity, "0123456789abcdef"))
    for place in (done, cut_short):
        place.mkdir(parents=True)
    setting_in(tmp_path, planted_lm(world))
    assert (done.exists(), cut_short.exists()) == (False, True)


@pytest.mark.parametrize("line", ["{", "[]", '{"benchmark": "noise"}'])
def test_a_damaged_line_is_named(tmp_path, world, line):
    setting = setting_in(tmp_path, planted_lm(world))
    with in_setting(setting):
        cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
    with (tmp_path / CELLS).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(SetupError, match=r"line 2 is no cell.*Take that line out"):
        read_cells(tmp_path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path, world):
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="--out must be a folder that can be made"):
        setting_in(tmp_path / "file" / "out", planted_lm(world))


def test_an_error_of_the_disk_is_a_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmarks.noise.measure", full)
    done = CliRunner().invoke(noise.command, ["--smoke", "--out", str(tmp_path)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "No space left" in done.output


def test_a_line_that_a_crash_cut_short_is_measured_again(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    with in_setting(setting):
        cell_of(setting.grid, "noise", {"repeat": 0}, scores(setting))
        cell = cell_of(setting.grid, "noise", {"repeat": 1}, scores(setting))
        whole = (tmp_path / CELLS).read_text()
        (tmp_path / CELLS).write_text(whole[:-30])
        setting = setting_in(tmp_path, planted_lm(world))
        assert len(setting.grid.cells) == 1
        assert (
            cell_of(setting.grid, "noise", {"repeat": 1}, scores(setting)).identity == cell.identity
        )
    assert len([json.loads(line) for line in (tmp_path / CELLS).read_text().splitlines()]) == 2


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(SetupError, match="no measured cells"):
        read_cells(tmp_path)


def test_documents_are_drawn_whole_and_always_the_same():
    examples = planted_examples(planted_rubric("coherence"), documents=10, systems=4)
    few = drawn(examples, 5, 2)
    assert few == drawn(examples, 5, 2)
    assert len(few) == 10
    assert {sum(each.group == group for each in few) for group in {e.group for e in few}} == {2}


def test_who_wrote_a_text_comes_along_and_is_no_input(tmp_path):
    rubric = planted_rubric("coherence")
    path = tmp_path / "rated.jsonl"
    row = '{"output": "a", "human_coherence": 3, "system_id": "%s"}\n'
    path.write_text(row % "M1" + row % "M2")
    examples = load_rated(str(path), rubric)
    assert [example.system_id for example in examples] == ["M1", "M2"]
    assert "system_id" not in dict(examples[0].inputs())
    assert isinstance(examples[0], dspy.Example)


@pytest.mark.parametrize(
    "rows",
    [
        [("M1", 3, "x"), ("M1", 5, "y"), ("M2", 2, "x"), ("M2", 2, "y")],
        [("M1", [3, 5], ["x", "y"]), ("M2", [2, 2], ["x", "y"])],
    ],
)
def test_single_ratings_are_merged_where_the_table_says_who_wrote_a_text(tmp_path, rows):
    rubric = replace(planted_rubric("coherence"), rater="by")
    path = tmp_path / "rated.jsonl"
    names = ("system_id", "human_coherence", "by")
    path.write_text(
        "".join(
            json.dumps({"output": "a", **dict(zip(names, r, strict=True))}) + "\n" for r in rows
        )
    )
    examples = load_rated(str(path), rubric)
    assert [(e.system_id, e.human_coherence) for e in examples] == [("M1", 4), ("M2", 2)]
    assert [rating.score for rating in examples[0].single_ratings] == [3, 5]
