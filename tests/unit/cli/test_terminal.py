"""What a user sees: tables that fit, one JSON document, silence, lines, colours."""

import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.resources import files
from itertools import chain
from pathlib import Path
from unittest import mock

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import Criterion, MultiCriteriaJudge, Rubric
from mogradjudge.agreement import cluster_test
from mogradjudge.agreement.claims import claim, untestable
from mogradjudge.cli import cli, main
from mogradjudge.cli.output import Loudness, loudness
from mogradjudge.cli.paired import print_claims, print_edits
from mogradjudge.display.terminal import LINE, cut, is_coloured, number, one_line, print_table, say
from mogradjudge.report import numbers as page
from mogradjudge.report.edits import compared
from mogradjudge.report.section import Limits
from mogradjudge.search.analysis.verdict import interval

RUBRIC = toy_rubric("coherence", "fluency")
ESCAPE = "\x1b"
PLAIN = {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm-256color"}


@given(st.floats(-1, 1), st.integers(0, 4))
def test_what_rounds_to_zero_has_no_sign(value, digits):
    written = [number(value, digits), page.number(value, digits), page.signed(value, digits)]
    written += [*interval((value, value)).strip("[]").split(", "), page.bounds_of((value, value))]
    for text in written:
        assert set(text) & {*"123456789"} or not set(text) & {"-", page.MINUS}


def test_what_cannot_be_tested_is_said_once_without_a_table_of_dashes(capsys):
    reason = "2 documents have a value, and a test needs 3"
    claims = {name: untestable(name, reason) for name in ("mean", "tone")}
    print_claims(claims, "Best minus initial", {})
    (line,) = capsys.readouterr().out.splitlines()
    assert reason in line
    print_claims(
        {**claims, "mean": claim("mean", cluster_test([0.1] * 9))}, "Best minus initial", {}
    )
    row = next(row for row in capsys.readouterr().out.splitlines() if "tone" in row)
    assert " 0 " not in row


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "rubric.toml").write_text(RUBRIC.to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, 24)]
    (folder / "ratings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    MultiCriteriaJudge(RUBRIC).save(folder / "judge.json")
    return folder / "ratings.jsonl"


def call(*words: object, screen: bool = False) -> tuple[int, str, str]:
    """Run a command; gives its status, stdout and stderr."""
    out, err = (Screen(), Screen()) if screen else (io.StringIO(), io.StringIO())
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0), out.getvalue(), err.getvalue()


def words_for(name: str, table: Path, server, out: Path) -> list[object]:
    lm = ["--lm", "openai/gpt-4o-mini", "--api-base", server.url]
    rubric, judge = ["--rubric", table.parent / "rubric.toml"], table.parent / "judge.json"
    return {
        "compile": [
            "compile",
            table,
            *rubric,
            *lm,
            "--steps",
            1,
            "--no-report",
            "--out",
            out / "run",
        ],
        "estimate": ["estimate", table, *rubric, *lm, "--steps", 1],
        "score": ["score", judge, table, *lm, "--out", out / "scores.csv"],
        "evaluate": ["evaluate", judge, table, *lm],
    }[name]


CELLS = st.text(st.sampled_from("ab [bold] \u6d41\u66a2 \u00e9\t\x1b\n/"), max_size=30)
TABLES = st.integers(1, 7).flatmap(
    lambda columns: st.lists(
        st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=4
    )
)


def shown(rows: list[list[str]], width: int | None, keys: int = 1, title: str = "") -> str:
    out = io.StringIO() if width is None else Screen()
    environment = {**PLAIN, "COLUMNS": str(width or 80), "NO_COLOR": "1"}
    with mock.patch.dict(os.environ, environment), redirect_stdout(out):
        print_table(rows[0], rows[1:], title, keys)
    return out.getvalue()


@given(TABLES, st.integers(40, 200))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows, width):
    assert all(cell_len(line.rstrip()) <= width for line in shown(rows, width).splitlines())


@given(TABLES, st.integers(40, 200))
def test_a_terminal_is_shown_each_character_of_each_cell(rows, width):
    def letters(text: str) -> str:
        return "".join(sorted(c for c in text if c in "abold[]/\u6d41\u66a2\u00e9"))

    said = shown(rows, width)
    firsts = sum(set(line.strip()) == {"\u2500"} for line in said.splitlines())  # in each part
    parts = [row[0] * firsts + "".join(row[1:]) for row in rows]
    assert letters(said) == letters("".join(parts))


@given(st.text("ab ", max_size=20), st.integers(40, 200))
def test_a_cell_is_folded_only_where_the_terminal_has_no_room(key, width):
    key = one_line(key) or "a"
    rows = [["k", "v"], [key, "x" * (width - 7 - max(len(key), 1))]]
    if len(key) <= width // 2:
        assert rows[1][1] in shown(rows, width)


@given(TABLES)
def test_in_a_pipe_each_row_is_a_line(rows):
    lines = shown(rows, None).splitlines()
    head, rule, *body = lines[1:]
    assert all(line == line.rstrip() for line in lines)
    assert set(rule.strip()) <= {"\u2500"}
    wanted = [" ".join(one_line(" ".join(row)).split()) for row in rows]
    assert [" ".join(line.split()) for line in (head, *body)][: len(rows)] == wanted


def test_a_part_of_a_table_says_which_rows_it_is_of():
    rows = [["role", "criteria", *"uvwxyz"], ["critic", "coherence", *["123456789"] * 6]]
    said = shown(rows, 60, keys=2)
    assert said.count("critic   coherence") == 2
    assert said.count("123456789") == 6


def test_a_table_without_rows_and_words_in_brackets_are_printed_as_they_are():
    said = shown([["[bold]criterion[/bold]", "n"]], 60, title="[red]none[/red] :smile:")
    assert "[bold]criterion[/bold]" in said
    assert said.startswith("[red]none[/red] :smile:\n")


def test_a_new_text_keeps_its_lines_and_says_where_the_rest_of_it_is(capsys):
    new = "\n".join(f"- {number}: what a text of level {number} is like" for number in range(9))
    print_edits([compared("tone", ("tone",), "Rate it.", new, Limits(100))], "run/report.html")
    first, old, *lines = capsys.readouterr().out.splitlines()
    assert (first, old) == ("tone:", "[-Rate it.-]")
    assert lines[:2] == ["{+- 0: what a text of level 0 is like", *new.splitlines()[1:2]]
    shown = "\n".join(lines).removeprefix("{+").partition("+}")
    assert new.startswith(shown[0])
    assert re.findall(r"\d+", shown[2]) == [str(len(new) - len(shown[0]))]
    assert "run/report.html" in shown[2]


def test_names_of_any_script_and_length_are_shown_whole(tmp_path, server):
    names = ("\u6d41\u66a2\u3055", "a_criterion_with_a_name_" * 4, "caf\u00e9")
    rubric = Rubric(("source", "output"), tuple(Criterion(name, "Is it?") for name in names))
    (tmp_path / "rubric.toml").write_text(rubric.to_toml(), encoding="utf-8")
    rows = [
        {"source": f"s{n}", "output": f"o{n}", **{f"human_{name}": n % 5 + 1 for name in names}}
        for n in range(12)
    ]
    path = tmp_path / "[bold]ratings.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    lm = ["--lm", "openai/gpt-4o-mini", "--api-base", server.url]
    MultiCriteriaJudge(rubric).save(tmp_path / "judge.json")
    out = tmp_path / "[red]scores.csv"
    status, said, err = call("score", tmp_path / "judge.json", path, *lm, "--out", out)
    assert (status, err) == (0, "")
    assert all(name in said for name in names)
    assert "/[red]scores.csv; unscored: none" in said


@pytest.mark.parametrize(
    ("words", "environment", "terminal", "coloured"),
    [
        ([], {}, False, False),
        ([], {}, True, True),
        ([], {"TERM": "dumb"}, True, False),
        ([], {"NO_COLOR": "1"}, True, False),
        ([], {"FORCE_COLOR": "1"}, False, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        (["--no-color"], {}, True, False),
        (["--no-color"], {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_are_for_terminals_and_those_who_ask(
    words, environment, terminal, coloured, table, server, tmp_path
):
    asked = [*words_for("evaluate", table, server, tmp_path), *words]
    with mock.patch.dict(os.environ, {**PLAIN, **environment}):
        status, out, _ = call(*asked, screen=terminal)
    assert status == 0
    assert (ESCAPE in out) == coloured


def test_an_empty_variable_asks_for_nothing():
    with mock.patch.dict(os.environ, PLAIN):
        assert is_coloured(Screen()) and not is_coloured(io.StringIO())


COMMANDS = ("compile", "estimate", "score", "evaluate")


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_one_document_and_quiet_says_nothing_else(name, table, server, tmp_path):
    words = words_for(name, table, server, tmp_path)
    status, out, err = call(*words, "--json", "--quiet")
    assert (status, err) == (0, "")
    assert isinstance(json.loads(out), dict if name != "estimate" else list)
    assert out.endswith("\n") and json.dumps(json.loads(out), sort_keys=True)


def test_what_score_says_as_json(table, server, tmp_path):
    words = words_for("score", table, server, tmp_path)
    found = json.loads(call(*words, "--json")[1])
    assert found["texts"] == 24 and found["out"] == str(tmp_path / "scores.csv")
    none = {"coherence": 0, "fluency": 0}
    assert found["unscored"] == none == found["fallbacks"]
    assert sum(row["calls"] for row in found["ledger"]) == 24


@pytest.mark.slow
def test_the_demo_is_a_compile_of_its_own_texts(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, server.url)
    words = ["demo", "--lm", "openai/gpt-4o-mini", "--out", tmp_path / "run"]
    status, out, err = call(*words, "--json", "-q")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found == json.loads((tmp_path / "run" / "result.json").read_text())
    assert (found["config"]["steps"], found["config"]["batch_size"]) == (1, 1)
    assert set(found["seed_agreement"]) == {"resolution", "courtesy", "clarity", "mean"}
    assert found["fallbacks"]["clarity"] == 15  # expected scores, without logprobs
    _, out, err = call(*words)
    assert "135 million" not in out and "It took" in out
    assert err.startswith("Optimizing a judge of 36 replies to customers")


def test_the_recorded_demo_replays_a_run_that_is_confirmed(tmp_path):
    status, out, err = call("demo", "--out", tmp_path / "run", "--json")
    assert status == 0 and "recorded" in err.splitlines()[1]
    found = json.loads(out)
    assert found["confirmation"]["verdict"] == "confirmed"
    assert found["final_agreement"]["mean"] > found["seed_agreement"]["mean"] + 0.3
    assert sum(row["failed"] for row in found["ledger"]) == 0
    replies = files("mogradjudge.demo.recorded") / "a-large-model.jsonl"
    sent = sum(row["calls"] for row in found["ledger"])
    assert sent == len(replies.read_text().splitlines())  # none is missing, none left over
    assert (tmp_path / "run" / "report.html").is_file()
    texts = files("mogradjudge.demo.recorded") / "texts.jsonl"
    status, _, err = call("evaluate", tmp_path / "run", texts)
    assert status == 2 and "recorded replies" in err and "--lm" in err


@pytest.mark.slow
def test_another_mode_needs_prompts_that_were_not_recorded(tmp_path):
    folder = files("mogradjudge.demo.recorded")
    words = [folder / "texts.jsonl", "--rubric", folder / "rubric.toml", "--mode", "CCC"]
    lm = f"recorded/{folder / 'a-large-model.jsonl'}"
    status, _, err = call("compile", *words, "--lm", lm, "--out", tmp_path / "run")
    assert status == 2 and "a-large-model.jsonl holds no reply" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_is_a_line_on_stderr_whatever_was_asked_for(name, table, server, tmp_path):
    words = words_for(name, table, server, tmp_path)
    words[words.index(table)] = tmp_path / "nowhere.csv"
    status, out, err = call(*words, "--json", "-q")
    assert (status, out) == (2, "")
    assert err.startswith("Error: ") and err.count("\n") == 1


@pytest.mark.slow
def test_verbose_tells_each_event_as_a_line(table, server, tmp_path):
    words = words_for("compile", table, server, tmp_path)
    _, out, err = call(*words, "-v")
    lines = err.splitlines()
    events = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    others = ("Info", "The run is kept", "Texts: ", "Calls: ", "Too few")
    told = [line for line in lines if not line.startswith(others)]
    assert len(told) == len(events)
    for what in ("Optimizing", "Critique on", "Gradient on", "judges['all'], ", "Stopped"):
        assert any(line.startswith(what) for line in lines)
    assert "Agreement (Spearman" in out


@pytest.mark.slow
def test_a_log_gets_headlines_and_no_bar(table, server, tmp_path):
    _, _, err = call(*words_for("compile", table, server, tmp_path))
    firsts = [line.split()[0] for line in err.splitlines()]
    assert firsts == ["Texts:", "Calls:", "Too", "Initial", "Step", "Stopped"]
    assert ESCAPE not in err


def test_a_terminal_gets_a_bar_that_quiet_takes_away(table, server, tmp_path):
    words = words_for("evaluate", table, server, tmp_path)
    with mock.patch.dict(os.environ, {**PLAIN, "COLUMNS": "100"}):
        _, _, err = call(*words, screen=True)
        assert "24/24" in err and "texts" in err
        assert call(*words, "-q", screen=True)[2] == ""


def test_quiet_and_verbose_exclude_each_other(table, server, tmp_path):
    words = words_for("estimate", table, server, tmp_path)
    status, out, err = call(*words, "-q", "-v")
    assert (status, out) == (2, "")
    assert err == "Error: Give --quiet or --verbose, not both.\n"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], "USUAL"),
        (["-q"], "QUIET"),
        (["-v"], "VERBOSE"),
        (["-vv"], "DEBUG"),
        (["-vvv"], "DEBUG"),
    ],
)
@pytest.mark.parametrize("name", sorted(set(cli.commands) - {"completion"}))
def test_every_command_takes_the_same_switches(name, words, meant):
    command = cli.commands[name]
    needed = [each for each in command.params if each.required]
    given = [[each.opts[0], "a"] if isinstance(each, click.Option) else ["a"] for each in needed]
    with command.make_context(name, [*chain(*given), *words, "--json", "--no-color"]) as ctx:
        assert loudness() is Loudness[meant]
        assert ctx.params["as_json"] is True and ctx.color is False


def test_a_library_s_warning_is_one_line_without_keys(table, server, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "canary-key-5f2a")

    def warn(*_: object, **__: object) -> None:
        logging.getLogger("dspy.clients").warning("two\nlines \x1b[31m of canary-key-5f2a")
        logging.getLogger("dspy.clients").info("nothing")
        raise RuntimeError("over")

    monkeypatch.setattr("mogradjudge.optimize.estimate.estimate", warn)
    _, _, err = call(*words_for("estimate", table, server, tmp_path), "-q")
    first, second = err.splitlines()
    assert first == "Warning (dspy.clients): two lines [31m of [redacted]"
    assert second.startswith("Error: RuntimeError: over")


def test_the_log_is_left_as_it_was(table, server, tmp_path):
    before = [logging.getLogger(name).handlers[:] for name in ("mogradjudge", "dspy")]
    call(*words_for("estimate", table, server, tmp_path), "-vv")
    assert [logging.getLogger(name).handlers for name in ("mogradjudge", "dspy")] == before


def test_no_command_is_help_and_no_error_line():
    status, out, err = call()
    assert (status, out) == (2, "")
    assert err.startswith("Usage: mogradjudge")


@given(st.text())
def test_a_text_is_cut_to_a_line(text):
    line = cut(text)
    assert cell_len(line) <= LINE and line.isprintable()
    assert line == one_line(text) or line.endswith("\u2026")


def test_words_are_kept_whole_on_a_terminal_and_lines_in_a_pipe():
    text = "word " * 40
    for stream, lines in ((Screen(), 5), (io.StringIO(), 1)):
        with mock.patch.dict(os.environ, {**PLAIN, "COLUMNS": "45"}), redirect_stdout(stream):
            say(text)
        assert len(stream.getvalue().splitlines()) == lines
        assert stream.getvalue().split() == text.split()


def in_a_pipe(*words: object) -> subprocess.Popen:
    """Start the program with a pipe that nobody reads."""
    code = "from mogradjudge.cli import main; main()"
    done = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    done.stdout.close()
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", ["completion", "help", "evaluate"])
def test_a_pipe_that_is_closed_is_no_traceback(name, table, server, tmp_path):
    words = {"completion": ["completion", "bash"], "help": ["compile", "--help"]}.get(name)
    done = in_a_pipe(*(words or [*words_for(name, table, server, tmp_path), "-q"]))
    _, err = done.communicate()
    assert (done.returncode, err) == (1, "")


def test_another_pipe_that_breaks_is_an_error(table, server, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError("the database's")

    monkeypatch.setattr("mogradjudge.optimize.estimate.estimate", fail)
    status, _, err = call(*words_for("estimate", table, server, tmp_path))
    assert status == 1
    assert err == "Error: BrokenPipeError: the database's (--debug shows the traceback)\n"


EXAMPLE = re.compile(r"^ *(mogradjudge .+)$", re.MULTILINE)


def commands_in(text: str) -> list[list[str]]:
    """Give the words of each command that a text shows."""
    lines = EXAMPLE.findall(text.replace("\\\n", " "))
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_the_help_of_a_command_has_examples_that_work(name):
    status, out, _ = call(name, "--help")
    assert status == 0
    found = [words for words in commands_in(out) if words[0] == name]
    assert found
    for words in found:
        parse(words)


def test_the_commands_of_the_pages_are_taken():
    root = Path(__file__).parents[3]
    pages = (root / "README.md", *(root / "examples").glob("*.md"))
    found = [words for page in pages for words in commands_in(page.read_text("utf-8"))]
    assert len(found) >= 8
    for words in found:
        parse([word for word in words if word != "..."])


def parse(words: list[str]) -> None:
    """Let click read a command; what is left for the shell is not its business."""
    own = words[: next((n for n, word in enumerate(words) if word in (">", "|")), len(words))]
    ctx = click.Context(cli)
    with ctx:
        name, command, rest = cli.resolve_command(ctx, own)
        rest = [word for word in rest if word != "--config"]  # the file is not there
        command.make_context(name, [each for each in rest if not each.endswith("best.toml")])
