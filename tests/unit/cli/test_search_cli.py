"""The search's command, in this process, against the toy world on a local server."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from benchmarks.worlds.server import ToyServer, serving
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import SetupError
from mogradjudge.cli import main
from mogradjudge.cli.job import Options, prepare, read_texts
from mogradjudge.cli.search import PRUNERS, SAMPLERS
from mogradjudge.search import samplers
from mogradjudge.search.workers.storage import url_of
from tests import processes

RUBRIC = toy_rubric("coherence", "fluency")
TEXTS, TRIALS = 40, 4


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def call(*words: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return Done(int(stop.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "rubric.toml").write_text(RUBRIC.to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, TEXTS)]
    (folder / "ratings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "space.toml").write_text('mode = ["SSC", "CCC"]\nbatch_size = [2, 3, 8]\n')
    return folder / "ratings.jsonl"


def words_for(table: Path, server: ToyServer, out: Path, *more: object) -> list[object]:
    lm = ["--lm", "openai/gpt-4o-mini", "--api-base", server.url, "--steps", 1]
    files = ["--rubric", table.parent / "rubric.toml", "--space", table.parent / "space.toml"]
    return ["search", table, *files, *lm, "--trials", TRIALS, "--out", out, *more]


@pytest.fixture(scope="module")
def whole(table, server, tmp_path_factory):
    """Give the folder of a whole search, and what was said."""
    out = tmp_path_factory.mktemp("whole") / "search"
    return out, call(*words_for(table, server, out, "--test-share", 0.2))


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_search_that_has_tried_its_space_shows_that_reason(table, server, tmp_path):
    (tmp_path / "space.toml").write_text("batch_size = [3]\n")
    words = ["--space", tmp_path / "space.toml", "--json"]
    done = call(*words_for(table, server, tmp_path / "search", *words))
    shown = call("search", "--show", "--json", "--out", tmp_path / "search")
    reasons = [json.loads(output.out)["stop_reason"] for output in (done, shown)]
    assert reasons == ["space", "space"]


@pytest.mark.slow
def test_a_search_reports_what_it_found(whole, table):
    out, done = whole
    found = read(out / "search.json")
    assert done.status == 0
    best = found["trials"][found["best"]]
    verdict = done.out.splitlines()[0]
    tried = best["config"]
    assert f"rial {best['number']} ({tried['mode']}, {tried['layout']})" in verdict
    assert f"{best['agreement']['mean']:.3f} on {found['texts']} selection texts" in verdict
    rows = re.findall(r"^  (\d+) +(?:complete|ended early) ", done.out, re.MULTILINE)
    assert sorted(map(int, rows)) == list(range(TRIALS)) and int(rows[0]) == best["number"]
    for part in ("Scored again", "Effect of the mode", "adjusted for", "that no other one beats"):
        assert part in done.out
    assert f"Spent in all: {found['spent']['calls']} calls" in done.out
    assert found["confirmation"]["verdict"] == "too few documents"
    assert f"takes {found['confirmation']['needed']}" in verdict
    assert {path.name for path in (out / "figures").iterdir()} == {"front.svg", "effects.svg"}


@pytest.mark.slow
def test_an_initial_judge_that_is_kept_is_not_called_the_best(table, server, tmp_path):
    words = ["--trials", 1, "--confirm", "require"]
    done = call(*words_for(table, server, tmp_path / "search", *words))
    assert read(tmp_path / "search" / "search.json")["confirmation"]["takes_back"]
    assert "the initial judge in" in done.out and "its judge in" not in done.out


def test_off_a_terminal_there_is_one_line_for_each_trial(whole):
    _, done = whole
    first, *lines = done.err.splitlines()
    assert first == (
        "32 texts: 13 to write critiques on, 8 for the gates, 11 to compare trials on; "
        "8 are held out."
    )
    assert [line.partition(" (")[0] for line in lines] == [f"Trial {n}" for n in range(TRIALS)]
    assert "best so far: trial" in lines[-1] and f"of {TRIALS} trials done" in lines[-1]


@pytest.mark.slow
def test_the_command_that_it_ends_with_compiles_the_best(whole, tmp_path, monkeypatch):
    out, done = whole
    _, *words = shlex.split(done.out.splitlines()[-1])
    assert words[0] == "compile" and words[-2] == "--out"
    assert call(*words[:-1], tmp_path / "run").status == 0
    found, result = read(out / "search.json"), read(tmp_path / "run" / "result.json")
    best = found["trials"][found["best"]]["config"]
    own = {**result["config"], "gate": best["gate"]}
    assert {name: own[name] for name in best if name in own} == {
        name: value for name, value in best.items() if name in own
    }
    assert result["test"]["n"] == 8


@pytest.mark.parametrize(("share", "seed"), [(0.0, 0), (0.2, 0), (0.5, 3), (0.9, 1)])
def test_compile_holds_out_what_the_search_never_saw(share, seed, table):
    options = options_of(table, test_share=share, seed=seed)
    job, texts = prepare(options), read_texts(options)
    assert job.test == texts.test
    assert job.examples == texts.rest
    assert len(texts.test) == round(share * TEXTS)


def options_of(table: Path, **changes: object) -> Options:
    from mogradjudge.cli.compile import compile_command

    words = [str(table), "--rubric", str(table.parent / "rubric.toml"), "--lm", "openai/x"]
    given = compile_command.make_context("compile", [*words, "--out", "run"]).params
    return Options.of({**given, **changes})


def test_a_look_tells_the_same_and_changes_nothing(whole):
    out, done = whole
    before = contents(out)
    shown = call("search", "--show", "--out", out)
    assert (shown.status, shown.err) == (0, "")
    assert done.out.startswith(shown.out)
    assert contents(out) == before
    as_json = call("search", "--show", "--out", out, "--json")
    assert json.loads(as_json.out) == {**read(out / "search.json"), "stop_reason": None}
    by_url = call("search", "--show", "--storage", f"sqlite:///{out}/study.sqlite3")
    assert by_url.out == shown.out


def test_a_look_can_draw(whole, tmp_path):
    out, _ = whole
    url = f"sqlite:///{out}/study.sqlite3"
    shown = call("search", "--show", "--storage", url, "--figures", "--out", tmp_path)
    assert shown.status == 0
    assert (tmp_path / "figures/front.svg").read_bytes() == (out / "figures/front.svg").read_bytes()


def test_without_matplotlib_one_line_says_how_to_get_pictures(whole, table, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out, _ = whole
    refused = call("search", "--show", "--out", out, "--figures")
    assert refused.status == 2
    assert "pip install" in refused.err and refused.err.count("\n") == 1
    again = call(*words_for(table, server, out, "--test-share", 0.2))
    assert again.status == 0
    assert again.err.count("matplotlib is missing") == 1


@pytest.mark.slow
def test_more_trials_go_on_and_pay_for_no_old_one(whole, table, server, tmp_path):
    out = tmp_path / "search"
    shutil.copytree(whole[0], out)
    before = read(out / "search.json")
    server.reset()
    words = words_for(table, server, out, "--test-share", 0.2, "--trials", TRIALS + 1, "--json")
    done = call(*words)
    assert done.status == 0
    after = read(out / "search.json")
    assert json.loads(done.out) == after
    assert after["trials"][:TRIALS] == before["trials"]
    assert {each["state"] for each in after["trials"]} <= {"complete", "ended early"}
    assert len(after["trials"]) == TRIALS + 1
    assert server.calls.total() == after["spent"]["calls"] - before["spent"]["calls"]
    assert [line.partition(" (")[0] for line in done.err.splitlines()[1:]] == [f"Trial {TRIALS}"]


def test_a_study_is_not_taken_up_with_other_texts(whole, table, server):
    server.reset()
    done = call(*words_for(table, server, whole[0], "--test-share", 0.3))
    assert done.status == 2
    assert "has other settings" in done.err and done.err.count("\n") == 2
    assert not server.calls


@pytest.mark.parametrize(
    ["cap", "how"],
    [
        (["--max-calls", 5], "Raise --max-calls and run"),
        (["--max-total-tokens", 2000], "Raise --max-total-tokens and run"),
        (["--max-calls", 5, "--max-cost", 9], "Raise --max-calls or --max-cost and run"),
        (["--max-seconds", 0.001], "Run the same command again"),
    ],
    ids=str,
)
def test_a_search_without_a_result_has_a_status_of_its_own(cap, how, table, server, tmp_path):
    words = words_for(table, server, tmp_path / "search", "--max-tokens", 100, "-q", *cap)
    done = call(*words)
    assert done.status == 3
    assert "No trial has a result" in done.err.splitlines()[-1]
    assert how in done.err.splitlines()[-1]
    shown = call("search", "--show", "--out", tmp_path / "search")
    assert shown.status == 0


@pytest.mark.slow
def test_a_spent_budget_is_no_failure_and_says_how_to_go_on(table, server, tmp_path):
    out = tmp_path / "search"
    server.reset()
    done = call(*words_for(table, server, out, "--max-calls", 80))
    assert done.status == 0
    assert server.calls.total() <= 80
    assert "not finished. Raise --max-calls and run the same command again" in done.err
    assert read(out / "search.json")["stop_reason"] == "budget"
    done = call(*words_for(table, server, out, "--max-calls", 2000))
    assert done.status == 0
    assert read(out / "search.json")["stop_reason"] == "trials"
    assert server.calls.total() == read(out / "search.json")["spent"]["calls"]


@pytest.mark.slow
def test_several_values_have_a_front(table, server, tmp_path):
    words = ["--values", "agreement,calls_per_text", "--sampler", "random"]
    done = call(*words_for(table, server, tmp_path / "search", *words, "--trials", 2))
    assert done.status == 0
    assert "trials that no other one beats in agreement, calls_per_text" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trials", "0"], "--trials"),
        (["--sampler", "best"], "--sampler"),
        (["--pruner", "all"], "--pruner"),
        (["--heartbeat", "0"], "--heartbeat"),
        (["--values", "speed"], "`values` must name each of"),
        (["--values", "calls_per_text"], "`values` must hold agreement or criteria"),
        (["--values", "agreement,agreement"], "`values` must name each of"),
        (["--values", "agreement,calls_per_text", "--pruner", "median"], "`pruner` needs"),
        (["--space", "no.toml"], "no.toml: This file cannot be read"),
        (["--storage", "nonsense"], "must be a database URL"),
        (["--storage", "sqlite:////no/such/folder/study.sqlite3"], "cannot be opened"),
        (["--test-share", "1"], "--test-share"),
        (["--limit", "2"], "groups"),
        (["--max-calls", "0"], "`max_calls`"),
        (["--mode", "CSS"], "CSS"),
        (["--n", "3"], "mean_of_n"),
    ],
)
def test_a_mistake_is_said_before_a_call_is_paid(words, said, table, server, tmp_path):
    server.reset()
    done = call(*words_for(table, server, tmp_path / "search", *words))
    error = done.err.splitlines()[-1]
    assert done.status == 2
    assert error.startswith("Error: ") and said in error
    assert not server.calls


@pytest.mark.slow
def test_a_grid_of_ranges_can_be_mended(table, server, tmp_path):
    out = tmp_path / "search"
    space = tmp_path / "space.toml"
    space.write_text("editor_temperature = { low = 0.0, high = 1.0 }")
    words = words_for(table, server, out, "--sampler", "grid", "--space", space, "--trials", 1)
    assert "`editor_temperature`" in call(*words).err
    space.write_text("batch_size = [2, 3]")
    assert call(*words).status == 0


@pytest.mark.slow
def test_a_grid_that_is_cut_is_told_in_a_line(table, server, tmp_path):
    words = words_for(table, server, tmp_path / "search", "--sampler", "grid", "--trials", 1)
    _, said = processes.start(tmp_path, main, [str(word) for word in words]).ended()
    assert said.splitlines()[1] == (
        "1 of the grid's 6 configurations will be tried; raise `trials`."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'DATA'"),
        (["DATA"], "Missing option '--rubric'"),
        (["DATA", "--rubric", "r.toml"], "Missing option '--lm'"),
        (["DATA", "--rubric", "r.toml", "--lm", "x/y"], "Missing option '--out'"),
        (["--show"], "Give `storage` or `out`"),
        (["--show", "--figures", "--storage", "sqlite:///x"], "Missing option '--out'"),
    ],
)
def test_what_is_missing_is_named(words, said):
    done = call("search", *words)
    assert done.status == 2
    assert said in done.err and done.err.count("\n") == 1


def test_a_look_at_nothing_makes_nothing(whole, tmp_path):
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other.sqlite3"
    sa.create_engine(f"sqlite:///{other}").connect().close()
    shutil.copy(whole[0] / "study.sqlite3", tmp_path / "foreign.sqlite3")
    for words in (
        ["--out", nowhere],
        ["--out", empty],
        ["--storage", f"sqlite:///{other}"],
        ["--storage", f"sqlite:///{tmp_path / 'foreign.sqlite3'}"],
        ["--storage", "sqlite://"],
    ):
        before = contents(tmp_path)
        done = call("search", "--show", *words)
        assert (done.status, done.out) == (2, "")
        assert "No study found" in done.err and done.err.count("\n") == 1
        assert contents(tmp_path) == before
    done = call("search", "--show", "--out", whole[0], "--study", "another")
    assert done.status == 2
    assert "Unknown study 'another'. Known studies: 'search'." in done.err


@pytest.fixture
def database(postgres):
    """Give the URL of a database of the test's own, which is empty."""
    server = sa.create_engine(url_of(postgres), isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    server.dispose()
    return url_of(postgres).set(database=name)


@pytest.mark.slow
def test_a_study_on_a_server_is_searched_and_shown(database, table, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MOGRADJUDGE_STORAGE", database.render_as_string(hide_password=False))
    engine = sa.create_engine(database)
    done = call("search", "--show")
    assert done.status == 2 and "No study found" in done.err
    assert sa.inspect(engine).get_table_names() == []
    assert call(*words_for(table, server, tmp_path / "search", "--trials", 2)).status == 0
    tables = sa.inspect(engine).get_table_names()
    engine.dispose()
    assert "mogradjudge_notes" in tables
    shown = call("search", "--show", "--json")
    states = [each["state"] for each in json.loads(shown.out)["trials"]]
    assert states in (["complete"] * 2, ["complete", "ended early"])


PASSWORDS = ("hunter2secret", "hunter%32sec/ret", "hunter2%2Fsecret", "p:hunter2secret")


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("how", ["word", "joined", "environment", "query"])
def test_a_password_of_the_storage_is_not_told(password, how, monkeypatch):
    url = f"postgresql://postgres:{password}@127.0.0.1:9/name"
    if how == "query":
        url = f"postgresql://postgres@127.0.0.1:9/name?password={password}"
    if how == "environment":
        monkeypatch.setenv("MOGRADJUDGE_STORAGE", url)
    words = {"word": ["--storage", url], "query": ["--storage", url]}
    words |= {"joined": [f"--storage={url}"], "environment": []}
    for debug in ([], ["--debug"]):
        done = call("search", "--show", *words[how], *debug)
        assert done.status == 2
        assert "postgresql" in done.err  # the user's name is no secret
        assert "secret" not in done.err and "hunter" not in done.err and "sec/ret" not in done.err


@pytest.mark.parametrize(
    "login",
    [
        "me:hunter@secret",
        "me:hunter@sec/ret",
        "me:hunter@sec?ret",
        "me:hunter@s:ecret",
    ],
)
@pytest.mark.parametrize("door", ["option", "environment", "python"])
def test_a_login_of_the_storage_that_is_not_escaped_is_refused_unseen(login, door, monkeypatch):
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("something was connected to")

    monkeypatch.setattr("psycopg.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    url = f"postgresql://{login}@127.0.0.1:9/name"
    if door == "python":
        with pytest.raises(SetupError) as caught:
            url_of(url)
        said = "".join(traceback.format_exception(caught.value))
    else:
        words = ["--storage", url] if door == "option" else []
        monkeypatch.setenv("MOGRADJUDGE_STORAGE", url)
        done = call("search", "--show", *words, "--debug")
        assert done.status == 2
        said = done.out + done.err
    assert "`storage`" in said
    assert not any(part in said for part in ("hunter", f"{login[-5:]}@", "127.0.0.1"))


def test_a_storage_may_have_an_at_sign_elsewhere():
    for url in ("sqlite:////home/me@work/study.sqlite3", "postgresql://me@host:pw@host/db"):
        assert url_of(url).database
    assert url_of("postgresql://host/db?password=p@ss").query["password"] == "p@ss"


@pytest.mark.slow
def test_an_interrupted_search_goes_on(table, tmp_path):
    out = tmp_path / "search"
    with serving(latency=0.05) as server:
        words = [str(word) for word in words_for(table, server, out, "--num-threads", 2)]
        worker = processes.start(tmp_path, main, words)
        while server.calls.total() < 10:
            assert worker.process.is_alive(), worker.err.read_text()
            time.sleep(0.02)  # the server needs the time
        os.kill(worker.process.pid, signal.SIGINT)
        _, said = worker.ended(status=130)
        assert "not finished. Run the same command again" in said
        assert read(out / "search.json")["stop_reason"] == "interrupted"
        paid = server.calls.total()
        server.latency = 0
        assert call(*words).status == 0
        found = read(out / "search.json")
        assert server.calls.total() == found["spent"]["calls"] > paid


@pytest.mark.slow
def test_a_provider_that_is_down_is_status_1(table, tmp_path, monkeypatch):
    monkeypatch.setattr("mogradjudge.lm.rate_limiter.LONGEST_PAUSE", 0.0)
    words = ["--lm", "openai/gpt-4o-mini", "--api-base", "http://127.0.0.1:9/v1"]
    rubric = table.parent / "rubric.toml"
    done = call("search", table, "--rubric", rubric, *words, "--out", tmp_path / "search")
    assert done.status == 1
    assert "The provider failed" in done.err.splitlines()[-1]
    assert done.err.rstrip().endswith("Run the same command again to resume.")


def test_names_in_the_help_are_those_of_the_search():
    assert SAMPLERS == samplers.SAMPLERS
    assert PRUNERS == samplers.PRUNERS


@pytest.mark.parametrize(
    "code",
    ["import mogradjudge", "from mogradjudge.cli import main", "HELP"],
)
def test_who_does_not_search_waits_for_no_import(code):
    help_ = "from mogradjudge.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    lines = help_ if code == "HELP" else code
    slow = "print(sorted({'optuna', 'sqlalchemy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{lines}\n{slow}"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
