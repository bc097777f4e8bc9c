"""Cells are measured once, survive a crash in between, and keep to the cap on calls."""

import json

import dspy
import pytest

from benchmarks.cells import CELLS, read_cells
from benchmarks.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from benchmarks.setting import ROLES, drawn, in_setting, load_rated, setting_of
from mogradjudge import SetupError
from mogradjudge.errors import BudgetExhausted
from mogradjudge.scoring import judge_table


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


def test_a_cell_is_measured_once(tmp_path, world):
    lm = planted_lm(world)
    for _ in range(2):  # the second grid reads the file that the first one wrote
        setting = setting_in(tmp_path, lm)
        with in_setting(setting):
            cell = setting.grid.cell("noise", {"repeat": 0}, scores(setting))
    assert lm.engine.calls["judge"] == len(setting.test) == cell.calls
    assert [each.identity for each in read_cells(tmp_path)] == [cell.identity]
    assert not list((tmp_path / "work").iterdir())


def test_a_repeat_is_paid_afresh_and_differs(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    with in_setting(setting):
        first, second = (
            setting.grid.cell("noise", {"repeat": r}, scores(setting)) for r in range(2)
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
            setting.grid.cell("noise", {"repeat": 0}, crash)
        cell = setting.grid.cell("noise", {"repeat": 0}, scores(setting))
    assert lm.engine.calls["judge"] == len(setting.test) == cell.calls


def test_another_setting_is_another_cell(tmp_path, world):
    lm = planted_lm(world)
    a, b = setting_in(tmp_path, lm), setting_in(tmp_path, lm.copy(temperature=0.5))
    assert a.grid.setting["models"]["judge"] != b.grid.setting["models"]["judge"]
    with in_setting(a):
        a.grid.cell("noise", {}, scores(a))
    with in_setting(b):
        b.grid.cell("noise", {}, scores(b))
    assert len(read_cells(tmp_path)) == 2


def test_the_cap_on_calls_holds_over_all_cells(tmp_path, world):
    lm = planted_lm(world)
    setting = setting_in(tmp_path, lm, max_calls=20)
    with in_setting(setting), pytest.raises(BudgetExhausted):
        for repeat in range(3):
            setting.grid.cell("noise", {"repeat": repeat}, scores(setting))
    assert lm.engine.calls["judge"] == 20


def test_a_line_that_a_crash_cut_short_is_measured_again(tmp_path, world):
    setting = setting_in(tmp_path, planted_lm(world))
    with in_setting(setting):
        setting.grid.cell("noise", {"repeat": 0}, scores(setting))
        cell = setting.grid.cell("noise", {"repeat": 1}, scores(setting))
        whole = (tmp_path / CELLS).read_text()
        (tmp_path / CELLS).write_text(whole[:-30])
        setting = setting_in(tmp_path, planted_lm(world))
        assert len(setting.grid.cells) == 1
        assert setting.grid.cell("noise", {"repeat": 1}, scores(setting)).identity == cell.identity
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
    path.write_text('{"output": "a", "human_coherence": 3, "system_id": "M1"}\n' * 2)
    examples = load_rated(str(path), rubric)
    assert [example.system_id for example in examples] == ["M1", "M1"]
    assert "system_id" not in dict(examples[0].inputs())
    assert isinstance(examples[0], dspy.Example)
