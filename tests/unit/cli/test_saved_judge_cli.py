"""``mogradjudge calibrate`` and ``compose``, and what other commands make of their judges."""

import json

import dspy
import pyarrow.parquet as pq
import pytest

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import toy_examples
from mogradjudge import MultiCriteriaJudge, Rubric
from mogradjudge.cli import main
from mogradjudge.judge.saved import note_model
from mogradjudge.lm.models import make_lm
from mogradjudge.optimize.parts import Parts
from mogradjudge.programs.saving import save_judge
from tests.unit.cli.test_cli import RUBRIC, call, lm, read


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture
def saved(tmp_path):
    save_judge(MultiCriteriaJudge(RUBRIC), tmp_path / "judge")
    rows = [example.toDict() for example in toy_examples(RUBRIC, 40)]
    (tmp_path / "ratings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path


def calibrated(saved, server, *more):
    words = [saved / "judge", saved / "ratings.jsonl", *lm(server), "--out", saved / "mapped"]
    return call("calibrate", *words, *more)


@pytest.mark.slow
def test_scores_of_the_new_judge_are_mapped_and_with_raw_they_are_not(saved, server, capsys):
    assert calibrated(saved, server, "--json") == 0
    printed = json.loads(capsys.readouterr().out)["calibration"]
    assert set(printed) == set(RUBRIC.names)
    assert any(figures["kind"] != "none" for figures in printed.values())
    maps = MultiCriteriaJudge.from_saved(saved / "mapped").calibration
    assert {name: it.kind for name, it in maps.items()} == {
        name: figures["kind"] for name, figures in printed.items()
    }

    words = [saved / "mapped", saved / "ratings.jsonl", *lm(server)]
    assert call("score", *words, "--out", saved / "mapped.parquet") == 0
    assert call("score", *words, "--out", saved / "raw.parquet", "--raw") == 0
    mapped, raw = (pq.read_table(saved / f"{name}.parquet") for name in ("mapped", "raw"))
    for name, figures in printed.items():
        assert (f"{name}_raw" in mapped.column_names) == (figures["kind"] != "none")
        assert f"{name}_raw" not in raw.column_names
        column = name if figures["kind"] == "none" else f"{name}_raw"
        assert mapped[column].to_pylist() == raw[name].to_pylist()


@pytest.mark.slow
def test_evaluate_shows_both_errors(saved, server, capsys):
    assert calibrated(saved, server) == 0
    assert "MAE mapped" in capsys.readouterr().out
    words = [saved / "mapped", saved / "ratings.jsonl", *lm(server)]
    assert call("evaluate", *words) == 0
    assert "MAE of raw scores" in capsys.readouterr().out
    assert call("evaluate", *words, "--raw") == 0
    assert "MAE of raw scores" not in capsys.readouterr().out


def test_what_a_run_has_read_is_held_against_its_calibrated_judge(saved, server, capsys):
    read_before = toy_examples(RUBRIC, 40)[:10]
    Parts.of({"training": read_before}).write_to(saved / "judge")
    assert calibrated(saved, server, "--held-out") == 0
    parts = Parts.read_from(saved / "mapped")
    assert len(parts.read(toy_examples(RUBRIC, 40))) == 40
    words = [saved / "mapped", saved / "ratings.jsonl", *lm(server), "--held-out"]
    assert call("evaluate", *words) == 2
    assert "No text is held out" in capsys.readouterr().err


def test_an_existing_folder_is_refused_before_any_call(saved, server):
    (saved / "mapped").mkdir()
    server.reset()
    assert calibrated(saved, server) == 2
    assert not server.calls


def test_a_cap_ends_it_without_a_judge(saved, server):
    assert calibrated(saved, server, "--max-calls", 3) == 1
    assert not (saved / "mapped").exists()


@pytest.fixture
def apart(saved):
    """Save a judge for each criterion beside the rated texts."""
    for criterion in RUBRIC.criteria:
        save_judge(MultiCriteriaJudge(Rubric(RUBRIC.inputs, [criterion])), saved / criterion.name)
    return saved


def composed(apart, server, *more):
    runs = [apart / name for name in RUBRIC.names]
    words = ["compose", *runs, apart / "ratings.jsonl", *lm(server), "--out", apart / "one"]
    return call(*words, "--limit", 12, "--confirm", "off", *more)


@pytest.mark.slow
def test_judges_of_single_criteria_become_one_that_other_commands_take(apart, server, capsys):
    unseen = toy_examples(RUBRIC, 60)[50:]
    Parts.of({"training": unseen[:4], "test": unseen[4:]}).write_to(apart / RUBRIC.names[0])
    server.reset()
    assert composed(apart, server, "--max-calls-per-text", 1, "--json") == 0
    assert len(Parts.read_from(apart / "one").read(unseen)) == 4
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["chosen"]["layout"] == "combined" and len(result["front"]) == 2
    assert f"At most {server.calls['judge']} calls" in printed.err
    assert read(apart / "one" / "compose.json") == result
    assert MultiCriteriaJudge.from_saved(apart / "one").rubric.names == RUBRIC.names
    words = [apart / "one", apart / "ratings.jsonl", *lm(server)]
    assert call("score", *words, "--out", apart / "scores.parquet") == 0
    assert call("evaluate", *words) == 0
    assert "used by the compile" in capsys.readouterr().err


def test_nothing_is_confirmed_on_texts_that_a_run_has_read(apart, server, capsys):
    read_by_run = toy_examples(RUBRIC, 40)[:3]
    Parts.of({"training": read_by_run}).write_to(apart / RUBRIC.names[0])
    server.reset()
    assert composed(apart, server, "--confirm", "report") == 2
    assert "3 of these texts" in capsys.readouterr().err and not server.calls


@pytest.mark.slow
def test_a_composition_is_resumed_by_the_same_command(apart, server, capsys):
    assert composed(apart, server, "--max-calls", 20) == 1
    assert "--max-calls" in capsys.readouterr().err
    server.reset()
    assert composed(apart, server) == 0
    front = capsys.readouterr().out
    assert all(name in front for name in ("separate", "combined", "taken"))
    server.reset()
    assert composed(apart, server) == 0
    assert not server.calls


MODEL, OTHER = "openai/toy", "openai/other"
COMMANDS = ["evaluate", "calibrate", "score", "compare", "compose"]


def used(command, folder, server, *more):
    """Use the judges of two folders, or the first one, without --lm."""
    judges = [folder / RUBRIC.names[0]]
    judges += {"compare": judges, "compose": [folder / RUBRIC.names[1]]}.get(command, [])
    words = [command, *judges, folder / "ratings.jsonl", "--api-base", server.url]
    out = {"score": "scores.csv", "calibrate": "mapped", "compose": f"one-{len(more)}"}.get(command)
    words += ["--out", folder / out] if out else []
    words += ["--confirm", "off"] if command == "compose" else []
    return call(*words, "--limit", 12, *more)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_model_is_the_judges_own_and_another_one_is_said(command, apart, server, capsys):
    server.reset()
    assert used(command, apart, server) == 2
    assert "--lm" in capsys.readouterr().err
    for name in RUBRIC.names[:2]:
        note_model(apart / name / "judge.json", MODEL)
    assert used(command, apart, server, "--lm", OTHER, "--max-calls", 1) == 1
    error = capsys.readouterr().err
    assert MODEL in error
    assert OTHER in error
    measures = command in ("evaluate", "calibrate", "compare")
    assert ("`mogradjudge evaluate`" in error) is not measures
    assert used(command, apart, server) == 0
    assert MODEL in capsys.readouterr().err


def test_judges_of_two_models_each_speak_with_their_own_or_need_one(apart, server, capsys):
    for name, model in zip(RUBRIC.names, (MODEL, OTHER), strict=False):
        note_model(apart / name / "judge.json", model)
    assert used("compose", apart, server) == 2
    error = capsys.readouterr().err
    assert MODEL in error
    assert OTHER in error
    first, second = (apart / name for name in "ab")
    for folder, model in ((first, MODEL), (second, OTHER)):
        save_judge(MultiCriteriaJudge(RUBRIC), folder)
        note_model(folder / "judge.json", model)
    words = ["compare", first, second, apart / "ratings.jsonl", "--limit", 12]
    assert call(*words, "--api-base", server.url) == 0
    error = capsys.readouterr().err
    assert MODEL in error
    assert OTHER in error


@pytest.mark.parametrize("command", [*COMMANDS, "serve"])
def test_no_text_goes_elsewhere_than_to_the_server_of_ones_own(
    command, apart, server, monkeypatch, capsys
):
    monkeypatch.setattr("mogradjudge.web.server.run", lambda *_: None)
    elsewhere = ["OPENAI_API_BASE", "OPENAI_BASE_URL"]
    for name in elsewhere:
        monkeypatch.delenv(name, raising=False)
    own = make_lm(MODEL, f"http://user:pass@127.0.0.1:{server.url.rpartition(':')[2]}")
    for name in RUBRIC.names[:2]:
        with dspy.context(lm=own):
            save_judge(MultiCriteriaJudge(RUBRIC), apart / name)
        again = MultiCriteriaJudge.from_saved(apart / name)
        again.save(apart / name / "judge.json")  # it still knows
        assert "127.0.0.1" not in (apart / name / "judge.json").read_text()
    judges = [apart / name for name in RUBRIC.names[:2]]
    words = {"compare": judges, "compose": judges}.get(command, judges[:1])
    words = [command, *words, *([] if command == "serve" else [apart / "ratings.jsonl"])]
    words += ["--out", apart / "new"] if command in ("score", "calibrate", "compose") else []
    assert call(*words) == 2
    error = capsys.readouterr().err
    assert "--api-base" in error and "is used" not in error
    for name in elsewhere:
        with monkeypatch.context() as patch:
            patch.setenv(name, "http://127.0.0.1:9/v1")
            patch.setattr("mogradjudge.cli.saved_judge._model", _stop)
            with pytest.raises(EndOfTest):
                main([str(word) for word in words])


class EndOfTest(BaseException):
    """The check of the server has passed."""


def _stop(*_):
    raise EndOfTest


def test_a_run_remembers_that_its_server_was_ones_own(tmp_path):
    for model, own in ((make_lm(MODEL, "http://127.0.0.1:9/v1"), True), (make_lm(MODEL), False)):
        with dspy.context(lm=model):
            save_judge(MultiCriteriaJudge(RUBRIC), tmp_path)
        assert MultiCriteriaJudge.from_saved(tmp_path).own_server is own
        judge = MultiCriteriaJudge(RUBRIC)
        judge.set_lm(model)  # of its own, which is saved without what may be secret
        save_judge(judge, tmp_path)
        assert MultiCriteriaJudge.from_saved(tmp_path).own_server is own
