"""Options from a file: what a search found best, given to compile."""

import json
import tomllib
from dataclasses import replace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import toy_examples, toy_rubric
from drawn import configs, settings_of_judges
from mogradjudge import MODES, MultiCriteriaJudge
from mogradjudge.cli import main
from mogradjudge.cli.compile import compile_command, estimate_command
from mogradjudge.cli.config_file import with_precedence
from mogradjudge.cli.job import Options, make_judge, make_optimizer
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.search.config_file import config_toml
from mogradjudge.settings import GATES, PARAMETERS
from mogradjudge.stages.gate import NoCriterionRegression

RUBRIC = toy_rubric("coherence", "fluency")
NEEDED = ["ratings.csv", "--rubric", "rubric.toml", "--lm", "openai/gpt-4o-mini"]


def options_of(*words: object, command: click.Command = compile_command) -> Options:
    """Give what a command makes of the words on its line."""
    out = ["--out", "run"] if command is compile_command else []
    ctx = command.make_context("it", [*NEEDED, *out, *map(str, words)])
    return Options.of(with_precedence(ctx, ctx.params))


def made(options: Options) -> tuple[MOGradConfig, JudgeSettings]:
    return make_optimizer(options).config, make_judge(options, RUBRIC).settings


@pytest.fixture
def config(tmp_path):
    """Give a function that writes the file, and the words that name it."""

    def write(text: str) -> list[object]:
        path = tmp_path / "best.toml"
        path.write_text(text)
        return ["--config", path]

    return write


CAPS = st.none() | st.integers(1, 10**6)
BUDGETS = st.builds(
    Budget, CAPS, CAPS, st.none() | st.floats(0.01, 99), st.none() | st.floats(1, 1e9)
)


@pytest.mark.slow
@given(
    configs(),
    settings_of_judges(),
    BUDGETS,
    st.sampled_from(["pooled", "group"]),
    st.none() | st.floats(-1, 1),
    st.none() | st.integers(1, 9),
    st.integers(1, 64),
    CAPS,
)
def test_a_file_gives_back_the_config_it_was_written_from(
    tmp_path_factory, plain, settings, budget, level, target, patience, threads, rpm
):
    config = replace(
        plain,
        budget=budget,
        level=level,
        target=target,
        patience=patience,
        num_threads=threads,
        max_rpm=rpm,
    )
    path = tmp_path_factory.getbasetemp() / "best.toml"
    path.write_text(config_toml(config, settings))
    assert made(options_of("--config", path)) == (config, settings)


def test_a_file_says_what_is_left_at_its_default_too():
    written = tomllib.loads(config_toml(MOGradConfig(), JudgeSettings()))
    meaningless = ("tolerance", "n", "fallback")  # with these gate and score rule
    usual = {name: it.default for name, it in PARAMETERS.items() if name not in meaningless}
    searched = {name: "none" if value is None else value for name, value in usual.items()}
    usual = {"level": "pooled", "confirm": "report", "measure": "spearman", "num_threads": 8}
    assert written == searched | usual
    assert [written[name] for name in ("mode", "steps", "gate")] == ["SSC", 6, "mean"]
    assert written["skip_tolerance"] == "data"
    assert list(written)[-4:] == ["confirm", "measure", "level", "num_threads"]


def own_gate(current, proposed):
    return True


def test_a_gate_without_a_name_cannot_be_written():
    with pytest.raises(SetupError, match=f"`gate` must be one of {', '.join(GATES)} to be writ"):
        config_toml(MOGradConfig(gate=own_gate), JudgeSettings())


@pytest.mark.parametrize("command", [compile_command, estimate_command])
def test_the_command_line_wins(command, config):
    words = config('mode = "CCC"\nbatch_size = 5\nsteps = 9\nlayout = "separate"\n')
    assert options_of(*words, command=command).mode == "CCC"
    options = options_of("--batch-size", 8, *words, "--mode", "SCC", command=command)
    found = made(options)
    assert found == (MOGradConfig(MODES["SCC"], steps=9), JudgeSettings("separate"))


SEARCHED = """
mode = "SSC"
edit_preamble = true
steps = 9
gate = "criterion"
tolerance = 0.1
score_rule = "expected"
fallback = "integer"
rationale = true
skip_tolerance = 0.1
editor_temperature = 0.2
"""


@pytest.mark.parametrize(
    ["words", "changes"],
    [
        ([], {}),
        # What the file says of the overruled choice has no meaning any more.
        (["--gate", "mean"], {"gate": "mean", "tolerance": 0.0}),
        (["--gate", "criterion"], {}),
        (["--tolerance", "0.3"], {"tolerance": 0.3}),
        (["--mode", "SSS"], {"mode": "SSS", "edit_preamble": False}),
        (["--mode", "CCC"], {"mode": "CCC"}),
        (["--no-edit-preamble"], {"edit_preamble": False}),
        (["--score-rule", "integer"], {"score_rule": "integer", "fallback": None}),
        (
            ["--score-rule", "mean_of_n", "--n", "3"],
            {"score_rule": "mean_of_n", "n": 3, "fallback": None},
        ),
        (["--fallback", "none"], {"fallback": None}),
        (["--fallback", "None"], {"fallback": None}),
        (["--temperature", "NONE"], {"temperature": None}),
        (["--no-rationale"], {"rationale": False}),
        (["--skip-tolerance", "none"], {"skip_tolerance": None}),
        (["--editor-temperature", "none"], {"editor_temperature": None}),
        (["--auto", "heavy"], {"auto": "heavy", "steps": None}),
    ],
)
def test_a_word_on_the_command_line_overrules_the_file(words, changes, config):
    file = config(SEARCHED)
    found = options_of(*file, *words)
    assert found == replace(options_of(*file), **changes)
    made(found)


def test_what_the_command_line_contradicts_itself_in_is_still_refused(config):
    with pytest.raises(SetupError, match="`tolerance` goes with"):
        made(options_of(*config(SEARCHED), "--gate", "mean", "--tolerance", 0.1))


def test_steps_of_the_command_line_overrule_the_effort_of_the_file(config):
    assert made(options_of(*config('auto = "heavy"'), "--steps", 2))[0].steps == 2


def test_a_file_may_say_anything_that_an_option_can(config, tmp_path):
    ctx = compile_command.make_context(
        "it",
        [
            *["ratings.csv", "--out", "run"],
            *map(str, config('rubric = "mine.toml"\nlm = "openai/x"\ntemperature = 1')),
        ],
    )
    assert (ctx.params["rubric"], ctx.params["lm"]) == ("mine.toml", "openai/x")
    assert ctx.params["temperature"] == 1.0


def test_new_options_reach_the_optimizer():
    words = ["--critic-temperature", "none", "--coach-temperature", 0, "--editor-temperature", 1.5]
    found, _ = made(options_of(*words, "--reply-retries", 0, "--max-section-chars", 99))
    assert found == MOGradConfig(
        critic_temperature=None,
        coach_temperature=0.0,
        editor_temperature=1.5,
        reply_retries=0,
        max_section_chars=99,
    )


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture
def table(tmp_path):
    (tmp_path / "rubric.toml").write_text(RUBRIC.to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, 24)]
    path = tmp_path / "ratings.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def run(name: str, table, *words: object) -> int:
    rubric = ["--rubric", table.parent / "rubric.toml"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in (name, table, *rubric, *words)])
    return int(stop.value.code or 0)


@pytest.mark.slow
def test_compile_runs_what_the_file_says(table, server, tmp_path, config, capsys):
    best = MOGradConfig(
        MODES["SCC"],
        steps=2,
        batch_size=4,
        gate=NoCriterionRegression(0.5),
        editor_temperature=None,
        max_section_chars=1500,
        num_threads=2,
    )
    settings = JudgeSettings("separate", rationale=True)
    lm = ["--lm", "openai/gpt-4o-mini", "--api-base", server.url]
    file = config(config_toml(best, settings))
    assert run("compile", table, *lm, *file, "--out", tmp_path / "run") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["config"] == json.loads(json.dumps(best.as_dict()))
    assert MultiCriteriaJudge.from_saved(tmp_path / "run" / "judge.json").settings == settings

    capsys.readouterr()
    assert run("estimate", table, *lm, *file, "--json") == 0
    calls = {row["role"]: row["calls"] for row in json.loads(capsys.readouterr().out)}
    assert calls["critic"] == 2 * 4 * 2  # steps, texts, criteria


@pytest.mark.parametrize(
    ["text", "words"],
    [
        ("bach_size = 3", "Unknown key 'bach_size'. Known keys: rubric, lm"),
        ('out = "run"', "Unknown key 'out'"),
        ('config = "run"', "Unknown key 'config'"),
        ("[mode]\nname = 3", "`mode` must be a text"),
        ("batch_size = 0", "`batch_size` must be a whole number >= 1, got 0"),
        ("batch_size = 2.5", "`batch_size` must be a whole number, got 2.5"),
        ("batch_size = true", "`batch_size` must be a whole number, got True"),
        ('batch_size = "4"', "`batch_size` must be a whole number, got '4'"),
        ("batch_size = [1, 2]", "`batch_size` must be a whole number, got [1, 2]"),
        ('mode = "XYZ"', "`mode` must be one of SSS, SSC, SCC, CCC, got 'XYZ'"),
        ("rationale = 1", "`rationale` must be true or false, got 1"),
        ('rationale = "yes"', "`rationale` must be true or false, got 'yes'"),
        ("editor_temperature = -1", "`editor_temperature` must be >= 0 or None, got -1"),
        ('editor_temperature = "hot"', "`editor_temperature` must be a number, got 'hot'"),
        ("editor_temperature = nan", "`editor_temperature` must be a finite number"),
        ('fallback = "mean"', "`fallback` must be one of integer, None"),
        ('gate = "mean"\ntolerance = 0.1', "`tolerance` needs `gate` = criterion"),
        ('mode = "SSS"\nedit_preamble = true', "`edit_preamble` needs `mode` = SSC"),
        ('score_rule = "integer"\nn = 3', "`n` needs `score_rule` = mean_of_n"),
        ('score_rule = "mean_of_n"\nn = 1', "`n` must be at least 2"),
        ("tolerance = -0.1", "`tolerance` must be >= 0"),
        ('auto = "light"\nsteps = 3', "Give `auto` or `steps`, not both"),
        ('auto = "much"', "`auto`: 'much' is not one of"),
        ('level = "texts"', "`level` must be one of pooled, group, got 'texts'"),
        ("patience = 0", "`patience` must be a whole number >= 1"),
        ("max_calls = 0", "`max_calls` must be a whole number >= 1 or None"),
        ("max_total_tokens = -1", "`max_total_tokens` must be a whole number >= 1 or None, got -1"),
        ("max_tokens = 0", "`max_tokens`: 0 is not in the range"),
        ("temperature = -1", "`temperature`: -1.0 is not in the range"),
        ("mode = ", "This is not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_status_2(
    text, words, table, tmp_path, config, capsys
):
    file = config(text)
    assert run("compile", table, "--lm", "openai/x", *file, "--out", tmp_path / "run") == 2
    line = capsys.readouterr().err
    assert line.startswith(f"Error: {file[1]}: ") and line.count("\n") == 1
    assert words in line


def test_a_file_that_is_missing_is_one_line_and_status_2(table, tmp_path, capsys):
    words = ["--lm", "openai/x", "--config", tmp_path / "best.toml", "--out", tmp_path / "run"]
    assert run("compile", table, *words) == 2
    assert "best.toml: This file cannot be read: No such file" in capsys.readouterr().err


def test_the_papers_protocol_sets_what_is_not_said_otherwise(tmp_path):
    paper = options_of("--protocol", "paper", "--sampling", "disagreement")
    assert (paper.pool, paper.skip_tolerance, paper.sampling) == ("example", None, "disagreement")
    usual = options_of()
    assert (usual.pool, usual.skip_tolerance) == ("batch", "data")
    (tmp_path / "c.toml").write_text("skip_tolerance = 0.25\n")
    for order in (1, -1):
        words = [["--protocol", "paper"], ["--config", tmp_path / "c.toml"]][::order]
        mixed = options_of(*words[0], *words[1])
        assert (mixed.pool, mixed.skip_tolerance) == ("example", 0.25)
