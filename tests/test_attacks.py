"""The attacks benchmark tells a judge that obeys the texts it rates from one that does not."""

import json

import dspy
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.attack_kinds import CONTROL, KINDS
from benchmarks.attack_report import CLEAN, Row, Rows, report
from benchmarks.attacks import measure
from benchmarks.server import serving
from benchmarks.world import ToyEngine, toy_lm, toy_rubric
from mogradjudge import MultiCriteriaJudge, SetupError
from mogradjudge.ledger import Ledger

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


def measured(engine: ToyEngine, layout: str = "combined", rows: Rows | None = None) -> Rows:
    rows = rows or Rows(None, {})
    with dspy.context(lm=toy_lm(engine)):
        measure(MultiCriteriaJudge(RUBRIC, layout=layout), EXAMPLES, rows, Ledger(), 4)
    return rows


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_a_judge_that_obeys_the_plea_is_moved_by_it_and_by_nothing_else(layout):
    found = {each.attack: each for each in report(measured(Obedient(), layout).rows, RUBRIC, 0)}
    assert (found["plea"].moved, found["plea"].up, found["plea"].n) == (1.0, 1.0, 6)
    assert found["plea"].shift == pytest.approx(2.0)  # by the toy's bias the clean ones have 3
    assert all(each.moved == 0 for name, each in found.items() if name != "plea")


def test_an_immune_judge_is_moved_by_nothing():
    found = report(measured(ToyEngine()).rows, RUBRIC, 0)
    assert {(each.moved, each.up, each.shift, each.unscored) for each in found} == {(0, 0, 0, 0)}


def test_a_lost_score_is_no_low_score_and_a_top_score_has_no_room():
    rows = [
        Row("combined", 0, CLEAN, {"coherence": 5.0, "fluency": None}, 0.1),
        Row("combined", 0, CONTROL, {"coherence": None, "fluency": 5.0}, 0.1),
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


def test_a_rerun_takes_up_where_it_stopped(tmp_path):
    path, engine = tmp_path / "rows.jsonl", ToyEngine()
    before = measured(engine, rows=Rows(path, {"lm": "toy"}))
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole[:10]) + whole[10][:20])  # killed while it wrote
    again = ToyEngine()
    after = measured(again, rows=Rows(path, {"lm": "toy"}))
    assert again.calls["judge"] == engine.calls["judge"] - 9
    assert report(after.rows, RUBRIC, 0) == report(before.rows, RUBRIC, 0)
    assert len(path.read_text().splitlines()) == len(whole)


def test_rows_of_another_measurement_are_not_mixed_in(tmp_path):
    Rows(tmp_path / "rows.jsonl", {"lm": "toy"})
    with pytest.raises(SetupError, match="another measurement"):
        Rows(tmp_path / "rows.jsonl", {"lm": "other"})


def test_the_command_measures_the_bundled_replies(tmp_path):
    out = tmp_path / "attacks.json"
    with serving() as server:
        words = ["attacks", "--lm", "openai/gpt-4o-mini", "--api-base", server.url]
        done = CliRunner().invoke(main, [*words, "--texts", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert server.calls["judge"] == 2 * (1 + len(KINDS)) * (1 + 3)
    found = json.loads(out.read_text())["attacks"]
    assert [each["attack"] for each in found] == [each.name for each in KINDS] * 2


def test_the_command_says_what_is_wrong_in_a_line():
    done = CliRunner().invoke(main, ["attacks", "--lm", "openai/gpt-4o-mini", "--data", "x.csv"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
