"""The command line, in this process, against the toy world on a local server."""

import dataclasses
import io
import json
import re
import shutil
from contextlib import nullcontext
from xml.etree import ElementTree

import dspy
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from dspy.lm15 import InvalidRequestError

from benchmarks.worlds.server import ToyServer, serving
from benchmarks.worlds.world import (
    ToyEngine,
    fields,
    inputs_of,
    labels_of,
    parts_of,
    reply,
    role_of,
    toy_examples,
    toy_rubric,
)
from mogradjudge import MODES, MultiCriteriaJudge, Rubric
from mogradjudge.agreement import TestOptions
from mogradjudge.cli import cli, main
from mogradjudge.cli.paired import print_claims, print_paired
from mogradjudge.cli.thresholds import BelowMinimum, hold
from mogradjudge.lm.refusals import with_remedy
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.paired import paired

RUBRIC = toy_rubric("coherence", "fluency")


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


def table_in(folder):
    (folder / "rubric.toml").write_text(RUBRIC.to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, 24)]
    path = folder / "ratings.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def table(tmp_path):
    return table_in(tmp_path)


@pytest.fixture(scope="module")
def made_once(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made_once")
    assert call(*compile_words(table_in(folder), server, folder / "run")) == 0
    return folder / "run"


@pytest.fixture
def compiled(made_once, tmp_path):
    """Give the folder of a run that has ended."""
    return shutil.copytree(made_once, tmp_path / "run")


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def lm(server: ToyServer) -> list[str]:
    return ["--lm", "openai/gpt-4o-mini", "--api-base", server.url]


def compile_words(table, server, out, *more: object) -> list[object]:
    rubric = table.parent / "rubric.toml"
    words = ["compile", table, "--rubric", rubric, *lm(server), "--steps", 3, "--out", out]
    return [*words, "--no-report", *more]


def read(path):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("mode", MODES)
def test_compile_leaves_judge_result_and_events(mode, table, server, tmp_path, capsys):
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out, "--mode", mode)) == 0
    shown = capsys.readouterr().out
    assert "coherence" in shown and "judge.json" in shown

    result = read(out / "result.json")
    assert result["mode"] == mode
    assert result["stop_reason"] == "steps"
    assert len(result["steps"]) == 3
    assert set(result["seed_agreement"]) == {"coherence", "fluency", "mean"}
    assert result["final_agreement"]["mean"] > result["seed_agreement"]["mean"]
    assert result["seed_kept"] is False
    assert {row["role"] for row in result["ledger"]} == {"judge", "critic", "coach", "editor"}
    assert sum(row["calls"] for row in result["ledger"]) == result["calls"]
    assert result["config"]["steps"] == 3

    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "RunStarted"
    assert events[-1]["event"] == "RunEnded"

    judge = MultiCriteriaJudge.from_saved(out / "judge.json")
    assert "BIAS" in judge.judges["all"].signature.instructions
    assert Rubric.from_toml(out / "rubric.toml") == RUBRIC


@pytest.mark.slow
def test_partitions_are_given_by_their_text(table, server, tmp_path, capsys):
    out, partition = tmp_path / "run", "coherence | fluency"
    words = ("--mode", f"S > {partition} > {partition}", "--layout", "fluency | coherence")
    assert call(*compile_words(table, server, out, *words)) == 0
    assert read(out / "result.json")["mode"] == "S > coherence | fluency > coherence | fluency"
    assert [*MultiCriteriaJudge.from_saved(out).judges] == ["coherence", "fluency"]
    server.reset()
    capsys.readouterr()
    for words in (("--mode", "S > coherence+style > C"), ("--layout", "coherence+style")):
        assert call(*compile_words(table, server, tmp_path / "other", *words)) == 2
        line = capsys.readouterr().err
        assert "'style'" in line and line.count("\n") == 1
    assert not server.calls


@pytest.mark.slow
def test_calls_in_the_result_are_those_at_the_server(table, server, tmp_path):
    server.reset()
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out)) == 0
    result = read(out / "result.json")
    by_role = dict.fromkeys(("judge", "critic", "coach", "editor"), 0)
    for row in result["ledger"]:
        by_role[row["role"]] += row["calls"]
    assert by_role == dict(server.calls)


def test_the_same_run_again_costs_nothing(table, server, compiled, capsys):
    kept = [(compiled / name).read_bytes() for name in ("judge.json", "result.json")]
    server.reset()
    assert call(*compile_words(table, server, compiled)) == 0
    assert "Resumed after step" in capsys.readouterr().err
    assert not server.calls
    assert kept == [(compiled / name).read_bytes() for name in ("judge.json", "result.json")]


@pytest.mark.slow
def test_a_run_that_was_cut_short_is_taken_up(table, server, made_once, tmp_path):
    whole, out = made_once, tmp_path / "cut"
    assert call(*compile_words(table, server, out, "--max-calls", 60)) == 0  # one was scored
    assert read(out / "result.json")["stop_reason"] == "budget"
    server.reset()
    assert call(*compile_words(table, server, out, "--max-calls", 60)) == 0
    assert not server.calls  # the cap holds for the run, however often it is started
    assert call(*compile_words(table, server, out)) == 0
    assert (out / "judge.json").read_bytes() == (whole / "judge.json").read_bytes()
    assert server.calls.total() == read(whole / "result.json")["calls"] - 60


@pytest.mark.parametrize("change", [("--seed", 1), ("--mode", "CCC"), ("--layout", "separate")])
def test_a_folder_is_not_taken_up_with_other_settings(change, table, server, compiled, capsys):
    server.reset()
    assert call(*compile_words(table, server, compiled, *change)) == 2
    assert str(change[1]) in capsys.readouterr().err
    assert not server.calls


def test_compile_says_first_what_it_may_cost_and_last_what_changed(table, server, tmp_path, capsys):
    out = tmp_path / "run"
    words = compile_words(table, server, out, "--test-share", 0.3, "--max-calls", 500)
    words.remove("--no-report")
    assert call(*words) == 0
    shown = capsys.readouterr()
    counts = [int(number) for number in re.findall(r"\d+", shown.err.splitlines()[0])]
    calls = [int(number) for number in re.findall(r"\d+", shown.err.splitlines()[1])]
    assert sum(counts) == 24
    assert calls[0] >= calls[1] and calls[0] >= read(out / "result.json")["calls"]
    assert "--max-calls 500" in shown.err.splitlines()[1]
    assert "{+ BIAS=" in shown.out and "95 % interval" in shown.out
    sentence = read(out / "result.json")["confirmation"]["sentence"]
    assert [sentence in stream for stream in (shown.out, shown.err)] == [True, False]
    assert "final" not in shown.out + shown.err
    assert str(out / "report.html") in shown.out and (out / "report.html").exists()
    assert call(*words) == 0  # nothing is to come, so nothing is said of it
    assert "--max-calls" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_report_without_figures_says_what_draws_them(
    table, server, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "run"
    words = compile_words(table, server, out, "--steps", 1)
    words.remove("--no-report")
    monkeypatch.setattr("mogradjudge.display.plotting.can_draw", lambda: False)
    assert call(*words) == 0
    for command in ([], ["--json"]):
        shown = "".join(capsys.readouterr())
        assert "matplotlib" in shown
        assert call("report", out, *command) == 0
    monkeypatch.undo()
    capsys.readouterr()
    assert call("report", out) == 0
    assert "matplotlib" not in capsys.readouterr().out


@pytest.mark.slow
def test_more_steps_begin_as_a_run_does(table, server, tmp_path, capsys):
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out, "--steps", 1)) == 0
    first = capsys.readouterr().err.splitlines()
    so_far = read(out / "result.json")["calls"]
    assert call(*compile_words(table, server, out, "--steps", 2)) == 0
    texts, calls, *_ = capsys.readouterr().err.splitlines()
    assert texts == first[0]
    before, most, *_ = (int(number) for number in re.findall(r"\d+", calls))
    assert before == so_far
    assert before + most >= read(out / "result.json")["calls"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "more", "status"), [("n", (), 130), ("", (), 0), ("n", ("--yes",), 0)]
)
def test_compile_asks_on_a_terminal_alone(
    answer, more, status, table, server, tmp_path, monkeypatch, capsys
):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "dumb")  # so there is no bar
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr("sys.stderr", Terminal())
    server.reset()
    assert call(*compile_words(table, server, tmp_path / "run", *more)) == status
    assert bool(server.calls) == (status == 0)


@pytest.mark.slow
def test_a_report_that_cannot_be_written_fails_no_run(table, server, compiled, capsys):
    (compiled / "report.html").mkdir()
    words = compile_words(table, server, compiled)
    words.remove("--no-report")
    assert call(*words) == 0
    assert "report.html" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_has_ended_goes_on_to_more_steps_and_not_to_fewer(table, server, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert call(*compile_words(table, server, whole, "--seed", 2)) == 0
    words = compile_words(table, server, out, "--seed", 2)
    words[words.index("--steps") + 1] = 1
    assert call(*words) == 0
    server.reset()
    assert call(*compile_words(table, server, out, "--seed", 2)) == 0
    result, other = read(out / "result.json"), read(whole / "result.json")
    assert result["final_agreement"] == other["final_agreement"]
    assert result["steps"][0]["calls"] + server.calls.total() <= other["calls"]
    assert [step["agreement"] for step in result["steps"]] == [
        step["agreement"] for step in other["steps"]
    ]
    assert (out / "judge.json").read_bytes() == (whole / "judge.json").read_bytes()
    assert call(*words) == 2  # the third step is taken


def test_a_folder_with_other_files_is_not_a_run(table, server, tmp_path, capsys):
    assert call(*compile_words(table, server, tmp_path)) == 2
    assert "new or empty folder" in capsys.readouterr().err


def test_the_cap_on_calls_holds_at_the_server(table, server, tmp_path):
    server.reset()
    assert call(*compile_words(table, server, tmp_path / "run", "--max-calls", 23)) == 3
    assert server.calls.total() == 23


CAPS = [
    (["--max-calls", 23], "Raise --max-calls and run the same command again"),
    (["--max-total-tokens", 9000], "Raise --max-total-tokens and run the same command again"),
    (["--max-cost", 0.002], "Raise --max-cost and run the same command again"),
    (["--max-calls", 23, "--max-cost", 9], "Raise --max-calls and run the same command again"),
    (["--max-seconds", 0.001], "Run the same command again"),  # the time counts anew
]


@pytest.mark.parametrize(["cap", "how"], CAPS, ids=str)
def test_a_run_that_scored_no_rewrite_has_a_status_of_its_own_and_names_the_cap(
    cap, how, table, server, tmp_path, capsys
):
    words = compile_words(table, server, tmp_path / "run", "--max-tokens", 100, "-q", *cap)
    for _ in range(2):
        assert call(*words) == 3
        last = capsys.readouterr().err.splitlines()[-1]
        assert "No rewrite was scored" in last and how in last
        assert ("Raise" in last) is how.startswith("Raise")
    assert read(tmp_path / "run" / "result.json")["cap"] == cap[0].removeprefix("--").replace(
        "-", "_"
    ).replace("total_", "")


@pytest.mark.slow
def test_a_cap_after_a_scored_rewrite_is_named_too(table, server, tmp_path, capsys):
    assert call(*compile_words(table, server, tmp_path / "run", "--max-calls", 60)) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert "Raise --max-calls and run the same command again" in last


def unchanging(system, user):
    """Answer as the toy world does, but let the editor keep all instructions."""
    if role_of(system) != "editor":
        return reply(system, user)
    shown = parts_of(inputs_of(user)["current_instructions"])
    kept = {label: shown[label] for label in labels_of(system)}
    return fields({"new_instructions": json.dumps(kept)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ["more", "status"], [([], 3), (["--target", -1], 0)], ids=["steps", "target"]
)
def test_a_run_whose_editor_changes_nothing_fails_unless_no_change_was_needed(
    more, status, table, tmp_path, capsys
):
    with serving(world=unchanging) as server:
        assert call(*compile_words(table, server, tmp_path / "run", *more)) == status
    said = capsys.readouterr()
    assert "No rewrite was scored" in said.out
    assert ("No rewrite was scored" in said.err) is (status == 3)


@pytest.mark.slow
def test_a_demo_without_a_scored_rewrite_is_a_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving(world=unchanging) as server:
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(name, server.url)
        assert call("demo", "--lm", "openai/gpt-4o-mini", "--out", tmp_path / "run") == 0
    assert "No rewrite was scored" in capsys.readouterr().out


@pytest.mark.slow
def test_held_out_texts_are_scored_at_both_ends(table, server, tmp_path):
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out, "--test-share", 0.3)) == 0
    result = read(out / "result.json")
    test = result["test"]
    assert test["n"] in (7, 8)
    assert test["final"]["mean"] > test["seed"]["mean"]


@pytest.mark.slow
def test_held_out_texts_are_booked_and_capped_like_all_others(table, server, tmp_path):
    out = tmp_path / "whole"
    server.reset()
    assert call(*compile_words(table, server, out, "--test-share", 0.3)) == 0
    assert read(out / "result.json")["calls"] == server.calls.total()
    cap = server.calls.total() - 3
    server.reset()
    words = compile_words(table, server, tmp_path / "cut", "--test-share", 0.3, "--max-calls", cap)
    assert call(*words) == 0
    assert server.calls.total() == cap
    assert read(tmp_path / "cut" / "result.json")["test"] is None


@pytest.mark.slow
def test_settings_can_be_mended_while_nothing_is_paid(table, tmp_path, server, capsys):
    out = tmp_path / "run"
    wrong = [
        word if word != "openai/gpt-4o-mini" else "openai/"
        for word in compile_words(table, server, out)
    ]
    assert call(*wrong) == 2
    assert call(*compile_words(table, server, out)) == 0


def test_a_level_without_groups_is_refused_before_a_call(table, tmp_path, server, capsys):
    server.reset()
    assert call(*compile_words(table, server, tmp_path / "run", "--level", "group")) == 2
    assert "cannot be measured" in capsys.readouterr().err
    assert not server.calls


@pytest.fixture
def judge(tmp_path):
    MultiCriteriaJudge(RUBRIC).save(tmp_path / "judge.json")
    return tmp_path / "judge.json"


@pytest.mark.slow
def test_score_writes_a_row_per_text_in_order(table, judge, server, tmp_path, capsys):
    for name in ("scores.parquet", "scores.csv", "scores.jsonl"):
        words = ["score", judge, table, *lm(server), "--out", tmp_path / name]
        assert call(*words) == 0
        kind = {"jsonl": "json"}.get(name.split(".")[1], name.split(".")[1])
        rows = load_dataset(
            kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "hf")
        )
        assert rows["output"] == [
            json.loads(line)["output"] for line in table.read_text().splitlines()
        ]
        assert all(score in (1, 2, 3, 4, 5) for score in rows["coherence"])
        shown = capsys.readouterr().out
        assert "unscored: none; fallbacks: none." in shown
        assert not (tmp_path / f"{name}.parts").exists()


@pytest.mark.parametrize("as_json", [False, True])
def test_score_estimates_means_with_rated_texts(as_json, table, judge, server, tmp_path, capsys):
    new = tmp_path / "new.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    with new.open("w") as file:
        for number, row in enumerate(rows):
            row["output"] += f" {number}" * (number > 0)  # the first is in both tables
            file.write(json.dumps(row) + "\n")
    out = ["--out", tmp_path / "s.csv", "--estimate", table, *["--json"] * as_json]
    assert call("score", judge, new, *lm(server), *out) == 0
    shown = capsys.readouterr().out
    if not as_json:
        assert "narrower by" in shown and "1 on coherence" in shown
        return
    mean = json.loads(shown)["means"]["coherence"]
    low, high = mean["interval"]
    assert 1 <= low < mean["mean"] < high <= 5
    assert (mean["texts"], mean["unlabelled_texts"], mean["in_both"]) == (24, 23, 1)
    assert mean["gain"] is not None and 0 <= mean["weight"] <= 1


@pytest.mark.parametrize(("rated", "is_used"), [(1, False), (5, True)])
def test_means_of_few_rated_documents_claim_no_gain(
    rated, is_used, table, judge, server, tmp_path, capsys
):
    lines = table.read_text().splitlines()
    few, new = tmp_path / "few.jsonl", tmp_path / "new.jsonl"
    few.write_text("\n".join(lines[:rated]))
    new.write_text("\n".join(lines[rated:]))
    words = ["--out", tmp_path / "s.csv", "--estimate", few]
    assert call("score", judge, new, *lm(server), *words) == 0
    shown = capsys.readouterr().out
    (row,) = re.findall(r"^ *coherence .*\+.*$", shown, re.MULTILINE)
    assert "%" not in row
    assert ("weight 0" in shown) == (not is_used)


def test_scores_that_are_there_are_not_replaced_unasked(table, judge, server, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    out.write_text("mine")
    words = ["score", judge, table, *lm(server), "--out", out]
    assert call(*words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert call(*words, "--overwrite") == 0
    assert len(out.read_text().splitlines()) == 25


def test_score_that_is_interrupted_says_how_to_go_on(table, judge, tmp_path, capsys, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        (tmp_path / "s.csv.parts").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("mogradjudge.scoring.table.score_table", interrupt)
    # A thread that another test has left would make the command end this whole process.
    monkeypatch.setattr("mogradjudge.cli.WORKERS", "threads of no other test")
    words = ["score", judge, table, "--lm", "openai/gpt-4o-mini", "--out", tmp_path / "s.csv"]
    assert call(*words) == 130
    assert "Run the same command again" in capsys.readouterr().err


@pytest.mark.slow
def test_score_without_its_provider_is_one_line(table, judge, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mogradjudge.lm.rate_limiter.LONGEST_PAUSE", 0.0)
    words = ["--lm", "openai/gpt-4o-mini", "--api-base", "http://127.0.0.1:9/v1"]
    assert call("score", judge, table, *words, "--out", tmp_path / "scores.csv") == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: The provider failed") and error.count("\n") == 1
    assert not list(tmp_path.glob("*.parts"))  # nothing was paid, so settings can be mended


def test_evaluate_prints_json(table, server, compiled, capsys):
    assert call("evaluate", compiled / "judge.json", table, *lm(server), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    each = report["criteria"]["coherence"]
    assert each["n"] == 24 and each["unscored"] == 0 and each["missing"] == 0
    low, high = each["interval"]
    assert low <= each["spearman"] <= high
    assert -1 <= each["kendall"] <= 1 and -1 <= each["pearson"] <= 1
    assert each["qwk"] <= 1 and each["alpha"] <= 1 and each["mae"] >= abs(each["bias"])
    assert 0 <= each["pair_accuracy_constant"] <= 1 and 0 <= each["pair_accuracy"] <= 1
    assert each["coverage"] == 1.0
    low, high = report["mean_interval"]
    assert low <= report["mean"] <= high
    mean = (each["spearman"] + report["criteria"]["fluency"]["spearman"]) / 2
    assert report["mean"] == pytest.approx(mean)
    assert report["calls"] == 24
    assert report["documents"] == 24
    assert report["notes"] == []


def evaluate_words(table, judge, server, *more: object) -> list[object]:
    return ["evaluate", judge, table, *lm(server), *more]


def test_evaluate_writes_the_texts_that_differ_most_first(table, judge, server, tmp_path):
    for name in ("rows.csv", "rows.jsonl"):
        assert call(*evaluate_words(table, judge, server, "--out", tmp_path / name)) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    sizes = [abs(row["difference"]) for row in rows]
    assert len(rows) == 48 and sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert all(row["judge"] - row["human"] == row["difference"] for row in rows)
    assert f"{row_key(rows[0])}" in rows[0]["output"]
    server.reset()
    words = evaluate_words(table, judge, server, "--out", tmp_path / "rows.csv")
    assert call(*words) == 2 and not server.calls  # the file is there


def row_key(row):
    return f"{row['criterion']}={row['human']:g}"


@pytest.mark.parametrize(
    ("minima", "status"),
    [
        (["mean=0.5"], 0),
        (["mean=0.5", "fluency=0.99"], 4),
        (["mean=0.85"], 0),
        (["mean=0.85", "--confident"], 4),
    ],
)
def test_an_agreement_below_its_minimum_has_a_status_of_its_own(
    minima, status, table, judge, server, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    words = [word for it in minima for word in ([it] if it[0] == "-" else ["--min", it])]
    out = ["--junit", tmp_path / "junit.xml", "--github-summary", "--json"]
    assert call(*evaluate_words(table, judge, server, *words, *out)) == status
    shown = capsys.readouterr()
    report = json.loads(shown.out)  # it is printed all the same
    assert report["mean_interval"][0] < 0.85 < report["mean"] < 0.99
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert [case.get("name") for case in suite] == ["coherence", "fluency", "mean"]
    assert len(failed) == int(suite.get("failures")) == (status == 4)
    assert all(name in shown.err for name in failed)
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("before") and f"| {report['mean']:.3f} |" in summary


@pytest.mark.parametrize(
    ("weights", "label"),
    [
        ({"tone": 1.0, "style": 1.0}, "mean over style alone"),
        ({"tone": 2.0, "style": 1.0}, "mean (weighted) over style alone"),
        ({"tone": 0.0, "style": 1.0}, None),
    ],
)
def test_a_mean_without_a_criterion_that_counts_meets_no_minimum(
    weights, label, tmp_path, monkeypatch
):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    ends = {"agreement": 0.95, "interval": [0.9, 0.99]}
    report = {
        "criteria": {"tone": {"agreement": None, "interval": None}, "style": ends},
        "weights": weights,
        "mean": 0.95,
        "mean_interval": [0.9, 0.99],
        "undefined": {"tone": "no text is scored"},
    }
    options = {"confident": False, "junit": tmp_path / "j.xml", "github_summary": True}
    with pytest.raises(BelowMinimum, match="tone") if label else nullcontext():
        hold(report, {"mean": 0.9}, options)
    case = ElementTree.parse(tmp_path / "j.xml").getroot()[-1]
    assert (case.find("failure") is not None) == bool(label)
    if label:
        assert case.get("name") == label and label in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_weighted_mean_is_named_as_such_in_every_table(weight, capsys):
    weights = {"tone": weight, "style": 1.0}
    label = "mean (weighted)" if weight != 1 else "mean"

    def scored(shift):
        for n in range(12):
            human = {"tone": float(n % 5), "style": float(n % 4)}
            judge = {"tone": float((n + shift) % 5), "style": float(n % 3)}
            yield JudgedText(f"t{n}", f"d{n}", {}, {}, human, judge)

    options = TestOptions(level="pooled", weights=weights)
    pairs = paired(list(scored(0)), list(scored(1)), ("tone", "style"), options)
    print_paired(pairs.as_dict(), ("A", "B"))
    print_claims(pairs.claims, "Title", weights)
    assert capsys.readouterr().out.count(label + " " * (weight != 1)) >= 2
    assert (label in pairs._repr_html_()) and weights == pairs.as_dict()["weights"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--min", "tone=0.5"), "tone"),
        (("--min", "mean"), "mean"),
        (("--min", "mean=high"), "high"),
        (("--min", "mean=nan"), "nan"),
        (("--min", "mean=1.5"), "1.5"),
        (("--github-summary",), "GITHUB_STEP_SUMMARY"),
        (("--against", "missing.json"), "missing.json"),
        (("--out", "rows.txt"), "rows.txt"),
    ],
)
def test_what_cannot_be_held_or_written_is_refused_before_any_call(
    words, said, table, judge, server, capsys, monkeypatch
):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    server.reset()
    assert call(*evaluate_words(table, judge, server, *words)) == 2
    assert said in capsys.readouterr().err and not server.calls


@pytest.mark.slow
def test_an_evaluation_is_compared_with_an_earlier_one(table, judge, server, tmp_path, capsys):
    def evaluated(*more):
        assert call(*evaluate_words(table, judge, server, "--json", *more)) == 0
        return json.loads(capsys.readouterr().out)

    last = tmp_path / "last.json"
    last.write_text(json.dumps(evaluated("--limit", 12)))
    pairs = evaluated("--against", last)["against"]["paired"]
    assert pairs["texts"] == 12 and pairs["changed"] == []
    assert pairs["first"] == pairs["second"] and pairs["claims"]["mean"]["estimate"] == 0
    earlier = json.loads(last.read_text())
    earlier["texts"] = [{**text, "id": f"other {text['id']}"} for text in earlier["texts"]]
    last.write_text(json.dumps(earlier))
    against = evaluated("--against", last)["against"]
    assert against["paired"] is None and against["then"]["mean"]["agreement"] == earlier["mean"]
    assert call(*evaluate_words(table, judge, server, "--against", last)) == 0
    last.write_text(json.dumps({"criteria": {}}))
    assert call(*evaluate_words(table, judge, server, "--against", last)) == 2


@pytest.mark.slow
def test_two_judges_are_compared_on_the_same_texts(
    table, judge, server, compiled, tmp_path, capsys
):
    words = ["compare", judge, compiled, table, *lm(server)]
    assert call(*words, "--json") == 0
    pairs = json.loads(capsys.readouterr().out)
    assert pairs["texts"] == 24 and pairs["second"]["mean"] > pairs["first"]["mean"]
    difference = pairs["second"]["mean"] - pairs["first"]["mean"]
    assert pairs["claims"]["mean"]["estimate"] == pytest.approx(difference)
    gains = [abs(change["gain"]) for change in pairs["changed"]]
    assert gains and gains == sorted(gains, reverse=True)
    assert sum(row["calls"] for row in pairs["ledger"]) == 48
    assert call(*words, "--out", tmp_path / "page.html") == 0
    assert "{+ BIAS=" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert "<ins> BIAS=" in page and "Text 1:" in page


@pytest.mark.slow
def test_judges_are_compared_on_texts_that_neither_run_has_read(
    table, judge, server, tmp_path, capsys
):
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out, "--test-share", 0.3)) == 0
    held_out = len(read(out / "parts.json")["test"])
    (tmp_path / "alone").mkdir()
    alone = judge.rename(tmp_path / "alone" / "judge.json")
    for pair in (alone, out), (out, alone):
        capsys.readouterr()
        server.reset()
        assert call("compare", *pair, table, *lm(server), "--held-out", "--json") == 0
        assert json.loads(capsys.readouterr().out)["texts"] == held_out
        assert server.calls.total() == 2 * held_out
    assert call("compare", alone, alone, table, *lm(server), "--held-out") == 2


def test_a_cap_counts_the_calls_of_both_judges(table, judge, server, capsys):
    server.reset()
    words = ["compare", judge, judge, table, *lm(server), "--max-calls", 30]
    assert call(*words) == 1 and len(server.calls) <= 30


def test_evaluate_shows_the_share_of_the_raters_ceiling(judge, table, server, tmp_path, capsys):
    twice = tmp_path / "twice.jsonl"
    with twice.open("w") as file:
        for number, line in enumerate(table.read_text().splitlines()):
            row = json.loads(line)
            for error in (0, number % 3 - 1):
                names = [name for name in row if name.startswith("human_")]
                other = {name: min(5, max(1, row[name] + error)) for name in names}
                file.write(json.dumps({**row, **other}) + "\n")
    assert call("evaluate", judge, twice, *lm(server)) == 0
    shown = capsys.readouterr().out
    assert "share of ceiling" in shown and "perfect judge" in shown
    assert call("evaluate", judge, twice, *lm(server), "--measure", "kendall") == 0
    shown = capsys.readouterr().out
    assert "share of ceiling" not in shown and "perfect judge" not in shown
    assert sum("ceiling" in line for line in shown.splitlines()) == 1
    assert "raters among themselves" in shown
    assert call("evaluate", judge, table, *lm(server)) == 0
    assert "ceiling" not in capsys.readouterr().out


def test_evaluate_gives_no_interval_over_a_few_documents_and_says_why(table, judge, server, capsys):
    words = ["evaluate", judge, table, *lm(server), "--limit", 6]
    assert call(*words, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["mean"] is not None and report["mean_interval"] is None
    assert [each["interval"] for each in report["criteria"].values()] == [None, None]
    assert report["notes"] == ["no interval: 6 documents, and it needs 8"]
    assert call(*words) == 0
    printed = capsys.readouterr()
    assert report["notes"][0] in printed.out + printed.err


@pytest.mark.slow
def test_evaluate_counts_the_texts_that_the_run_has_read(table, server, tmp_path, capsys):
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out, "--test-share", 0.3)) == 0
    parts = read(out / "parts.json")
    assert sum(map(len, parts.values())) == 24
    assert set(parts) == {"training", "validation", "confirmation", "test"}
    for judge in (out, out / "judge.json"):
        capsys.readouterr()
        assert call("evaluate", judge, table, *lm(server), "--json") == 0
        printed = capsys.readouterr()
        unread = len(parts["test"])
        assert json.loads(printed.out)["read_by_run"] == 24 - unread
        assert f"{24 - unread} of these 24 texts" in printed.err
        assert "--held-out" in printed.err
    assert call("evaluate", out, table, *lm(server), "--held-out") == 0
    assert f"{unread} of 24 texts" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_measures_as_the_run_did_unless_it_is_told_otherwise(
    table, server, tmp_path, capsys
):
    out = tmp_path / "run"
    assert call(*compile_words(table, server, out, "--measure", "mae")) == 0
    for words, measure in ((), "mae"), (("--measure", "spearman"), "spearman"):
        capsys.readouterr()
        assert call("evaluate", out, table, *lm(server), "--json", *words) == 0
        criteria = json.loads(capsys.readouterr().out)["criteria"].values()
        assert {criterion["measure"] for criterion in criteria} == {measure}


def test_a_test_share_that_leaves_too_few_texts_is_named(table, server, tmp_path, capsys):
    words = compile_words(table, server, tmp_path / "run", "--limit", 3, "--test-share", 0.9)
    assert call(*words) == 2
    assert "--test-share holds out 2 of 3 texts" in capsys.readouterr().err


def test_evaluate_names_no_others_where_all_texts_were_read(table, server, compiled, capsys):
    assert call("evaluate", compiled, table, *lm(server)) == 0
    line = capsys.readouterr().err
    assert "24 of these 24 texts" in line
    assert "--held-out" not in line


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0])
def test_evaluate_takes_the_held_out_texts(share, table, server, tmp_path, capsys):
    out, other = tmp_path / "run", tmp_path / "more.jsonl"
    assert call(*compile_words(table, server, out, "--test-share", share)) == 0
    other.write_text(table.read_text() + "\n" + table.read_text().replace("Text", "Other text"))
    capsys.readouterr()
    assert call("evaluate", out, other, *lm(server), "--json", "--held-out") == 0
    printed = capsys.readouterr()
    report, test = json.loads(printed.out), read(out / "parts.json")["test"]
    assert report["criteria"]["coherence"]["n"] == len(test) + 24
    assert report["read_by_run"] == 0
    assert "were used" not in printed.err


def test_held_out_texts_are_refused_where_there_are_none(table, judge, server, compiled, capsys):
    server.reset()
    for folder, part in ((compiled, "24 texts"), (judge, "parts.json")):
        capsys.readouterr()
        assert call("evaluate", folder, table, *lm(server), "--held-out") == 2
        error = capsys.readouterr().err
        assert part in error
        assert error.count("\n") == 1
    assert not server.calls


def test_score_takes_a_runs_folder(table, judge, server, tmp_path, capsys):
    assert call("score", judge.parent, table, *lm(server), "--out", tmp_path / "scores.csv") == 0
    assert "24 texts" in capsys.readouterr().out


def test_another_servers_replies_are_not_taken_for_this_ones(table, server, compiled, capsys):
    words = ["evaluate", compiled / "judge.json", table]
    assert call(*words, *lm(server)) == 0
    with serving() as other:
        assert call(*words, *lm(other)) == 0
        assert other.calls["judge"] == 24


@pytest.mark.parametrize("measure", ["kendall", "qwk", "mae", "accuracy"])
def test_a_run_by_any_measure_can_be_estimated(measure, table, capsys):
    rubric = table.parent / "rubric.toml"
    words = ["estimate", table, "--rubric", rubric, "--lm", "openai/gpt-4o-mini", "--steps", 1]
    assert call(*words, "--measure", measure, "--json") == 0
    assert sum(row["calls"] for row in json.loads(capsys.readouterr().out)) > 0


def test_estimate_sends_nothing_and_bounds_the_calls(table, server, tmp_path, capsys):
    server.reset()
    whole = compile_words(table, server, tmp_path / "run", "--skip-tolerance", "none")
    only_compile = ("--out", tmp_path / "run", "--no-report")
    words = [word for word in whole[1:] if word not in only_compile]
    assert call("estimate", *words, "--json") == 0
    assert not server.calls
    estimated = {row["role"]: row for row in json.loads(capsys.readouterr().out)}
    assert call(*whole) == 0
    for role, calls in server.calls.items():
        assert calls <= estimated[role]["calls"]
    assert server.calls["critic"] == estimated["critic"]["calls"]
    assert estimated["judge"]["cost"] > 0


def edited(path, old, new):
    path.write_text(path.read_text().replace(old, new))


BAD = {
    "a rubric that is missing": (lambda t: (t.parent / "rubric.toml").unlink(), "Cannot read"),
    "a table that is missing": (lambda t: t.unlink(), "ratings.jsonl"),
    "a column that is missing": (
        lambda t: edited(t.parent / "rubric.toml", 'human = "human_fluency"', 'human = "fluent"'),
        "fluent",
    ),
    "a score off its scale": (lambda t: edited(t, '_fluency": 5.0', '_fluency": 9'), "9"),
    "an unknown key": (
        lambda t: edited(
            t.parent / "rubric.toml", 'human = "human_fl', 'wieght = 2\nhuman = "human_fl'
        ),
        "wieght",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, table, server, tmp_path, capsys):
    spoil, word = BAD[case]
    spoil(table)
    server.reset()
    assert call(*compile_words(table, server, tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and error.count("\n") == 1
    assert word in error
    assert not server.calls


@pytest.mark.parametrize(
    ["words", "status", "word"],
    [
        (["--steps", "0"], 2, "`steps`"),
        (["--auto", "light"], 2, "not both"),
        (["--mode", "CSS"], 2, "CSS"),
        (["--tolerance", "0.1"], 2, "--gate criterion"),
        (["--n", "3"], 2, "mean_of_n"),
        (["--test-share", "1"], 2, "--test-share"),
        (["--edit-preamble", "--mode", "SSS"], 2, "edit_preamble"),
        (["--no-such-option"], 2, "No such option"),
        (["--limit", "1"], 2, "groups"),
    ],
)
def test_a_bad_option_is_status_2(words, status, word, table, server, tmp_path, capsys):
    assert call(*compile_words(table, server, tmp_path / "run", *words)) == status
    assert word in capsys.readouterr().err


def test_a_model_without_a_provider_is_a_setup_error(table, tmp_path, capsys):
    rubric = table.parent / "rubric.toml"
    words = ["compile", table, "--rubric", rubric, "--lm", "gpt", "--out", tmp_path / "run"]
    assert call(*words) == 2
    assert "PROVIDER/MODEL" in capsys.readouterr().err


@pytest.mark.slow
def test_a_provider_that_refuses_ends_the_run_with_status_1(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key-5f2a")
    rubric, out = table.parent / "rubric.toml", tmp_path / "run"
    words = ["--lm", "openai/gpt-4o-mini", "--api-base", "http://127.0.0.1:9/v1", "--out", out]
    monkeypatch.setattr("mogradjudge.lm.rate_limiter.LONGEST_PAUSE", 0.0)
    assert call("compile", table, "--rubric", rubric, *words) == 1
    error = capsys.readouterr().err
    assert "The provider failed" in error
    kept = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert not any(b"canary-key-5f2a" in content for content in [*kept, error.encode()])


def test_help_names_every_command(capsys):
    assert call("--help") == 0
    shown = capsys.readouterr().out
    for name in ("demo", "compile", "score", "evaluate", "compare", "estimate"):
        assert name in shown


def scoring_words(command, table, server, tmp_path, *more: object) -> list[object]:
    judge = tmp_path / "judge.json"
    MultiCriteriaJudge(RUBRIC).save(judge)
    out = ["--out", tmp_path / "s.parquet"] if command == "score" else []
    return [command, judge, table, *lm(server), *out, *more]


@pytest.fixture
def messy(tmp_path):
    """A table that names its separator nowhere, in an old encoding, with a bad row."""
    (tmp_path / "rubric.toml").write_text(RUBRIC.to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, 24)]
    lines = ["~".join(f" {name} " for name in rows[0])]
    lines += ["~".join(f"{value}" for value in row.values()) for row in rows]
    path = tmp_path / "ratings.csv"
    path.write_bytes("\n".join([*lines, "\xe4~~", ""]).encode("cp1252"))
    return path


READING = ("--sep", "~", "--encoding", "cp1252", "--skip-bad")


@pytest.mark.parametrize(
    "command",
    [
        *("compile", "estimate", "evaluate", "score"),
        pytest.param("search", marks=pytest.mark.slow),
    ],
)
def test_every_command_that_reads_a_table_takes_how_it_is_read(
    command, messy, server, tmp_path, capsys
):
    if command in ("evaluate", "score"):
        words = scoring_words(command, messy, server, tmp_path)
    else:
        out = [] if command == "estimate" else ["--out", tmp_path / "out"]
        rubric = ["--rubric", tmp_path / "rubric.toml"]
        words = [command, messy, *rubric, *lm(server), "--steps", 1, *out]
        words += ["--trials", 1] if command == "search" else []
    for missing in READING[0], READING[2], READING[4]:
        place = READING.index(missing)
        others = READING[:place] + READING[place + 2 :]
        assert call(*words, *others) == 2
        assert "ratings.csv" in capsys.readouterr().err
    assert call(*words, *READING) == 0
    shown = capsys.readouterr()
    assert "1 of 25 rows" in shown.err
    if command == "search":
        assert "--sep '~' --encoding cp1252 --skip-bad" in shown.out


def test_a_table_with_several_problems_has_a_line_for_each(table, server, tmp_path, capsys):
    edited(table, '_fluency": 5.0', '_fluency": 9')
    edited(table, '_coherence": 5.0', '_coherence": "\\u001bgood"')
    assert call(*compile_words(table, server, tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and error.count("\n") == 3
    assert "\x1b" not in error


@pytest.mark.parametrize(
    ["words", "first"], [([], "coherence"), (["--prefix", "x_"], "x_coherence")]
)
def test_the_added_columns_take_a_prefix(words, first, table, server, tmp_path):
    assert call(*scoring_words("score", table, server, tmp_path, *words)) == 0
    names = pq.read_schema(tmp_path / "s.parquet").names
    assert names.index(first) == names.index(f"{first}_source") - 1


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_what_helps_where_no_text_can_be_read_helps(command, table, tmp_path, capsys):
    with serving(world=lambda *_: "the weather") as server:
        words = scoring_words(command, table, server, tmp_path)
        assert call(*words) == 1
        paid, said = server.calls.total(), capsys.readouterr().err
        assert "--keep-going" in said
        if command == "score":
            folder = tmp_path / "s.parquet.parts"
            assert str(folder) in said and "same command" not in said
            shutil.rmtree(folder)
        assert call(*words) == 1
        assert server.calls.total() >= paid + 20  # asked anew
        assert call(*words, "--keep-going") == 0


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_a_saved_judge_whose_logprobs_are_refused_goes_on_with_the_option_that_is_named(
    command, table, tmp_path, capsys, monkeypatch
):
    class Sparing(ToyEngine):
        supported_params = (*ToyEngine.supported_params, "logprobs")

        def complete(self, request):
            if request.config.logprobs:
                raise InvalidRequestError("logprobs is not supported by this model")
            return super().complete(request)

    lm = dspy.LM("toy/x", engine=Sparing(), temperature=0.0)
    monkeypatch.setattr("mogradjudge.lm.models.make_lm", lambda *_: lm)
    judge = tmp_path / "judge.json"
    MultiCriteriaJudge(RUBRIC, score_rule="expected").save(judge)
    out = ["--out", tmp_path / "s.csv"] if command == "score" else []
    words = [command, judge, table, "--lm", "toy/x", *out]
    assert call(*words) == 1
    assert "--fallback integer" in capsys.readouterr().err
    assert call(*words, "--fallback", "integer", "--json") == 0
    assert '"coherence": 24' in capsys.readouterr().out or command == "evaluate"
    MultiCriteriaJudge(RUBRIC).save(judge)
    assert call(*words, "--fallback", "integer") == 2


SAID = ["logprobs", "temperature", "max_tokens", "response_format", "system message", "odd"]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("role", ["judge", "critic", "coach", "editor"])
def test_each_option_that_is_advised_is_one_of_the_command_that_says_so(role, said):
    error = dspy.LMInvalidRequestError(said, model="m", provider="p")
    advised = set(re.findall(r"--[a-z-]+", str(with_remedy(error, role, temperature=0.0))))
    names = ("compile", "search", *(("score", "evaluate") if role == "judge" else ()))
    for name in names:
        options = {word for each in cli.commands[name].params for word in each.opts}
        assert advised <= options, name
    ticked = re.findall(r"`(.*?)`", str(with_remedy(error, role, temperature=0.0)))
    assert all(re.fullmatch(r"--[a-z-]+( [a-z]+)?", each) for each in ticked)


@pytest.mark.parametrize("command", ["score", "evaluate"])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_cap_ends_score_and_evaluate_without_a_result_and_says_what_is_kept(
    command, as_json, table, server, tmp_path, capsys
):
    server.reset()
    words = scoring_words(command, table, server, tmp_path, "--max-calls", 7)
    assert call(*words, "-q", *(["--json"] if as_json else [])) == 1
    said = capsys.readouterr()
    assert server.calls.total() == 7
    assert "max_calls=7" in said.err
    kept = str(tmp_path / "s.parquet.parts") if command == "score" else "no reply is kept"
    assert kept in said.err
    assert re.search("[rR]aise --max-calls", said.err)
    if as_json:
        assert json.loads(said.out)["stop_reason"] == "budget"
    assert not (tmp_path / "s.parquet").exists()
    assert (tmp_path / "s.parquet.parts").exists() is (command == "score")
    assert call(*scoring_words(command, table, server, tmp_path)) == 0


@pytest.mark.parametrize("cap", [0, 2000])
@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_a_cap_on_tokens_is_named_as_the_option(command, cap, table, server, tmp_path, capsys):
    words = ("--max-total-tokens", cap, "--max-tokens", 50)
    assert call(*scoring_words(command, table, server, tmp_path, *words)) == (1 if cap else 2)
    assert "--max-total-tokens" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["score", "evaluate"])
@pytest.mark.parametrize("cap", ["--max-calls", "--max-total-tokens", "--max-cost"])
def test_a_cap_that_is_none_is_refused_by_score_and_evaluate(
    command, cap, table, server, tmp_path, capsys
):
    server.reset()
    assert call(*scoring_words(command, table, server, tmp_path, cap, 0)) == 2
    assert not server.calls
    assert "must be" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["option", "file"])
def test_no_temperature_is_sent_where_none_is_asked_for(where, table, server, tmp_path):
    sent = []
    roles = ("", "critic-", "coach-", "editor-")
    if where == "file":
        path = tmp_path / "c.toml"
        names = [f"{role}temperature".replace("-", "_") for role in roles]
        path.write_text("".join(f'{name} = "none"\n' for name in names))
        words = ["--config", path]
    else:
        words = [word for role in roles for word in (f"--{role}temperature", "none")]
    create = dspy.LM.__call__

    def noted(self, *args, **kwargs):
        sent.append(kwargs.get("temperature", self.kwargs.get("temperature")))
        return create(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dspy.LM, "__call__", noted)
        assert call(*compile_words(table, server, tmp_path / "run", "--steps", 1, *words)) == 0
    assert sent and set(sent) == {None}


def saved_judge(folder, model="openai/gpt-4o-mini"):
    with dspy.context(lm=dspy.LM(model)):
        MultiCriteriaJudge(RUBRIC).save(folder / "judge.json")
    return folder / "judge.json"


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_the_judges_own_model_is_used_where_none_is_given(command, table, server, tmp_path, capsys):
    judge = saved_judge(tmp_path)
    out = ["--out", tmp_path / "scores.csv"] if command == "score" else []
    assert call(command, judge, table, "--api-base", server.url, *out) == 0
    assert "openai/gpt-4o-mini" in capsys.readouterr().err


def test_another_model_than_the_judges_own_is_said(table, server, tmp_path, capsys):
    judge = saved_judge(tmp_path, "openai/another")
    assert call("evaluate", judge, table, *lm(server)) == 0
    told = capsys.readouterr().err
    assert "openai/another" in told and "openai/gpt-4o-mini" in told


def test_a_judge_without_a_models_name_asks_for_one(table, tmp_path, capsys):
    MultiCriteriaJudge(RUBRIC).save(tmp_path / "judge.json")
    assert call("evaluate", tmp_path / "judge.json", table) == 2
    assert "--lm" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "score", "serve"])
def test_a_judge_of_recorded_replies_asks_for_a_model(command, table, tmp_path, capsys):
    judge = saved_judge(tmp_path, "recorded/a-large-model-1234")
    words = {"serve": [], "score": [table, "--out", tmp_path / "scores.csv"]}
    assert call(command, judge, *words.get(command, [table])) == 2
    line = capsys.readouterr().err
    assert "--lm" in line and "recorded" in line


@pytest.mark.slow
def test_show_prints_instructions_and_the_prompt_of_a_text_of_the_run(
    table, server, tmp_path, capsys
):
    assert call(*compile_words(table, server, tmp_path / "run", "--steps", 1)) == 0
    capsys.readouterr()
    assert call("show", tmp_path / "run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["settings"]["model"] == "openai/gpt-4o-mini"
    assert "Criterion: fluency" in shown["instructions"]["all"]
    texts = {example["output"] for example in toy_examples(RUBRIC, 24)}
    assert any(text in shown["prompts"]["all"][-1]["content"] for text in texts)
    assert call("show", tmp_path / "run" / "judge.json") == 0
    assert "Criterion: fluency" in capsys.readouterr().out


def test_show_has_placeholders_where_no_run_is_beside_the_judge(tmp_path, capsys):
    assert call("show", saved_judge(tmp_path)) == 0
    assert f"({RUBRIC.inputs[0]})" in capsys.readouterr().out


def test_a_port_in_use_is_one_line(server, tmp_path, capsys):
    port = server.url.split(":")[2].split("/")[0]
    judge = saved_judge(tmp_path)
    assert call("serve", judge, "--api-base", server.url, "--port", port) == 2
    assert port in capsys.readouterr().err.splitlines()[-1]


def test_weights_and_what_does_not_apply_go_the_whole_way(server, tmp_path, capsys):
    first, second = RUBRIC.criteria
    criteria = [dataclasses.replace(first, weight=3, na=True), second]
    (tmp_path / "rubric.toml").write_text(dataclasses.replace(RUBRIC, criteria=criteria).to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, 24)]
    for row in rows[::4]:
        row["human_coherence"] = "n/a"
        row["output"] = row["output"].replace("coherence=", "coherence=n/a was ")
    rows[1]["output"] = rows[1]["output"].replace("coherence=", "coherence=n/a was ")
    table, out = tmp_path / "ratings.jsonl", tmp_path / "run"
    table.write_text("\n".join(map(json.dumps, rows)))
    assert call(*compile_words(table, server, out, "--steps", 1)) == 0
    shown, result = capsys.readouterr().out, read(out / "result.json")
    assert "mean (weighted)" in shown and "coherence does not apply" in shown
    assert result["weights"] == {"coherence": 3.0, "fluency": 1.0}
    assert result["applicability"]["coherence"]["both"] > 0

    words = ("--json", "--out", tmp_path / "rows.csv")
    assert call("evaluate", out, table, *lm(server), *words) == 0
    report = json.loads(capsys.readouterr().out)
    coherence, fluency = (report["criteria"][name] for name in RUBRIC.names)
    counts = {
        key: coherence["applicability"][key] for key in ("both", "people", "judge", "neither")
    }
    assert counts == {"both": 6, "people": 0, "judge": 1, "neither": 17}
    assert (coherence["n"], coherence["unscored"], coherence["missing"]) == (17, 0, 0)
    assert coherence["coverage"] == pytest.approx(17 / 18) and fluency["applicability"] is None
    expected = (3 * coherence["agreement"] + fluency["agreement"]) / 4
    assert report["mean"] == pytest.approx(expected)
    assert "does not apply" in (tmp_path / "rows.csv").read_text()

    scores = tmp_path / "scores.parquet"
    assert call("score", out, table, "--out", scores, *lm(server), "--json") == 0
    assert json.loads(capsys.readouterr().out)["unscored"] == {"coherence": 0, "fluency": 0}
    scored = pq.read_table(scores).to_pylist()
    cells = [scored[0][name] for name in ("coherence", "coherence_source", "coherence_unscored")]
    assert cells == [None, "n/a", "does not apply"]
    assert call("check", table, "--rubric", tmp_path / "rubric.toml") == 0
    assert "n/a: 6" in capsys.readouterr().out
