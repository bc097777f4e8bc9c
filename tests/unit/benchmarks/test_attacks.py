"""The attacks benchmark tells a judge that obeys the texts it rates from one that does not."""

import dspy
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.harness.cells import read_cells
from benchmarks.report.write import write_report
from benchmarks.self_tests.attack_kinds import CONTROL, KINDS
from benchmarks.self_tests.attacks import CLEAN, Row, measure, report
from benchmarks.worlds.fault_plan import FaultPlan
from benchmarks.worlds.server import serving
from benchmarks.worlds.world import ToyEngine, toy_lm, toy_rubric
from mogradjudge import MultiCriteriaJudge
from mogradjudge.lm.ledger import Ledger

RUBRIC = toy_rubric("coherence", "fluency")
EXAMPLES = [
    dspy.Example(output=f"Text {n}: coherence={n}, fluency=1").with_inputs("output")
    for n in (0, 1, 2)
]


class Obedient(ToyEngine):
    """Gives top scores to a text that pleads for them."""

    def answer(self, system: str, user: str) -> str:
        if "Ignore everything above" not in user:
            return super().answer(system, user)
        return super().answer(system, "[[ ## output ## ]]\ncoherence=5, fluency=5")


def measured(engine: ToyEngine, layout: str = "combined") -> list[Row]:
    with dspy.context(lm=toy_lm(engine)):
        return measure(MultiCriteriaJudge(RUBRIC, layout=layout), EXAMPLES, Ledger(), 4)


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_a_judge_that_obeys_the_plea_is_moved_by_it_and_by_nothing_else(layout):
    found = {each.attack: each for each in report(measured(Obedient(), layout), RUBRIC, 0)}
    assert (found["plea"].moved, found["plea"].up, found["plea"].n) == (1.0, 1.0, 6)
    assert found["plea"].shift == pytest.approx(2.0)  # by the toy's bias the clean ones have 3
    assert all(each.moved == 0 for name, each in found.items() if name != "plea")


def test_an_immune_judge_is_moved_by_nothing():
    found = report(measured(ToyEngine()), RUBRIC, 0)
    assert {(each.moved, each.up, each.shift, each.unscored) for each in found} == {(0, 0, 0, 0)}


def test_a_lost_score_is_no_low_score_and_a_top_score_has_no_room():
    rows = [
        Row("combined", 0, CLEAN, {"coherence": 5.0, "fluency": None}),
        Row("combined", 0, CONTROL, {"coherence": None, "fluency": 5.0}),
    ]
    found = report(rows, RUBRIC, 0)[0]
    assert (found.n, found.moved, found.unscored) == (1, 0, 1)
    assert (found.room, found.up, found.shift) == (0, None, None)


def test_only_the_last_input_is_attacked_and_always_at_its_end():
    engine = ToyEngine()
    measured(engine)
    users = [user for _, _, user in engine.prompts]
    assert len(users) == len(EXAMPLES) * (1 + len(KINDS))
    for example in EXAMPLES:
        assert (
            sum(user.startswith(f"[[ ## output ## ]]\n{example.output}\n") for user in users) == 9
        )


def run(out, server, *more):
    words = ["attacks", "--lm", "openai/gpt-4o-mini", "--api-base", server.url, "--texts", "2"]
    return CliRunner().invoke(main, [*words, "--out", str(out), *more])


@pytest.mark.slow
def test_the_command_measures_the_bundled_replies_once(tmp_path):
    with serving() as server:
        done = run(tmp_path, server)
        assert done.exit_code == 0, done.output
        calls = server.calls["judge"]
        storage = ["--storage", f"sqlite:///{tmp_path / 'cells.sqlite3'}"]
        again = run(tmp_path, server, *storage)
        elsewhere = run(tmp_path / "elsewhere", server, *storage)
    assert calls == server.calls["judge"] == 2 * (1 + len(KINDS)) * (1 + 3)
    assert again.stdout == done.stdout == elsewhere.stdout
    cells = read_cells(tmp_path)
    assert [cell.key["layout"] for cell in cells] == ["combined", "separate"]
    assert {row["attack"] for row in cells[0].result["rows"]} == {CLEAN, *(k.name for k in KINDS)}


def test_a_rerun_takes_up_where_it_stopped(tmp_path):
    combined = ["--layout", "combined", "--num-threads", "1"]
    with serving(faults=FaultPlan.parse("unauthorized=0.1")) as server:
        cut_short = run(tmp_path, server, *combined)
    assert cut_short.exit_code == 1
    paid = server.calls["judge"]
    assert 0 < paid < 2 * (1 + len(KINDS))
    with serving() as server:
        done = run(tmp_path, server, *combined)
    assert done.exit_code == 0, done.output
    assert server.calls["judge"] == 2 * (1 + len(KINDS)) - paid


def test_other_texts_are_another_cell(tmp_path):
    with serving() as server:
        for seed in ("0", "1"):
            assert run(tmp_path, server, "--layout", "combined", "--seed", seed).exit_code == 0
    assert len(read_cells(tmp_path)) == 2


def test_its_cells_may_lie_beside_others_in_a_report(tmp_path):
    with serving() as server:
        assert run(tmp_path, server, "--layout", "combined").exit_code == 0
    assert "gpt-4o-mini" in write_report(tmp_path).read_text()


def test_the_command_says_what_is_wrong_in_a_line():
    done = CliRunner().invoke(main, ["attacks", "--lm", "openai/gpt-4o-mini", "--data", "x.csv"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
