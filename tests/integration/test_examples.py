"""What stands in examples/ runs, says what it costs, and its rubrics read the data they name."""

import ast
import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import dspy
import pytest
from click.testing import CliRunner

from benchmarks.worlds.server import ToyServer, serving
from benchmarks.worlds.world import critique_or_advice, fields, inputs_of, labels_of, reply, role_of
from mogradjudge import (
    MOGrad,
    MultiCriteriaJudge,
    Rubric,
    Scale,
    demo,
    load_examples,
    split_by_group,
)
from mogradjudge.cli import run_command
from mogradjudge.data import missing_human
from mogradjudge.lm.models import make_lm
from tests import processes

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RUBRICS = EXAMPLES / "rubrics"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
START = EXAMPLES / "02_csv_start.sh"
NOTEBOOK = EXAMPLES / "01_notebook.ipynb"
SHARED = ROOT.parent / "shared" / "data"
SUPPORT = EXAMPLES / "data" / "support.csv"

Run = Callable[..., str]

_ASKED = re.compile(r"Your output fields are:\n((?:\d+\. .*\n?)+)")


def script_of(number: str) -> Path:
    (script,) = EXAMPLES.glob(f"{number}_*.py")
    return script


def load(number: str) -> dict[str, Any]:
    return runpy.run_path(str(script_of(number)))


def stated_calls(number: str) -> int:
    """Read the calls that a script's docstring says it takes at most."""
    (stated,) = re.findall(r"Calls:\D*(\d[\d ]*\d)", load(number)["__doc__"])
    return int(stated.replace(" ", ""))


class World:
    """The toy world, and answers for the fields of the examples' own programs.

    No rewrite of its editor equals an earlier one, so that no gate is saved and a run takes as many
    calls as it can.
    """

    def __init__(self) -> None:
        self.numbers = count()
        self.mute = ""  # a judge that reads this gives no score

    def __call__(self, system: str, user: str) -> str:
        outputs = _ASKED.search(system)
        assert outputs is not None
        asked = re.findall(r"^\d+\. `(\w+)`", outputs[1], re.MULTILINE)
        inputs = inputs_of(user)
        match role_of(system), asked:
            case "judge", ["reply"]:
                return fields({"reply": f"We will see to it. {inputs['question']}"})
            case "judge", ["search_query"]:
                return fields({"search_query": inputs["question"]})
            case "judge", ["answer"]:
                passage = json.loads(inputs["passages"])[0]
                brief = "Be brief." in system
                return fields({"answer": " ".join(passage.split()[:6]) if brief else passage})
            case "judge", _ if self.mute and self.mute in user:
                return "I would rather not say."
            case "editor", _:
                return self._rewrite(system, user)
            case (("critic" | "coach"), _) if "brevity" in user:
                return fields(critique_or_advice(user, "It is too long.", "Ask for less."))
        return reply(system, user)

    def _rewrite(self, system: str, user: str) -> str:
        text = reply(system, user)
        if "brevity" in user:
            texts = dict.fromkeys(labels_of(system), "Be brief.")
            text = fields({"new_instructions": json.dumps(texts)})
        return re.sub(r'": "(.*?)"', rf'": "\1 ({next(self.numbers)})"', text)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def server(world) -> Iterator[ToyServer]:
    with serving(world=world) as server:
        yield server


@pytest.fixture
def run(server, tmp_path, monkeypatch) -> Run:
    """Give a function that runs a script as its command would, on the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(number: str, *args: object) -> str:
        model = [] if number == "04" else ["--lm", "openai/toy", "--api-base", server.url]
        words = [*model, *map(str, args)]
        done = CliRunner().invoke(load(number)["main"], words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.fixture
def compiled(server, run) -> Callable[..., None]:
    """Give a function that compiles a judge of the support table into `support-run`."""

    def compiled(steps: int) -> None:
        rubric = Rubric.from_toml(RUBRICS / "support.toml")
        texts = load_examples(SUPPORT, rubric)
        train, validation, test = split_by_group(texts, fractions=(0.4, 0.3, 0.3), seed=0)
        with dspy.context(lm=make_lm("openai/toy", server.url)):
            MOGrad(steps=steps, run_dir="support-run").optimize(
                MultiCriteriaJudge(rubric), trainset=train, valset=validation, testset=test
            )

    return compiled


def outputs_of(code: str, names: dict[str, Any]) -> tuple[str, str]:
    """Run a notebook's cell; give what it prints, and the page of what it ends with."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with redirect_stdout(StringIO()) as printed:
        exec(compile(tree, "<cell>", "exec"), names)
        value = last and eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    return printed.getvalue(), "" if value is None else value._repr_html_()


def shown_by(cell: dict[str, Any]) -> tuple[str, str]:
    """Give what a notebook shows below a cell, without what goes to standard error."""
    texts = [it["text"] for it in cell["outputs"] if it.get("name") == "stdout"]
    pages = [it["data"]["text/html"] for it in cell["outputs"] if "data" in it]
    return "".join(map("".join, texts)), "".join(map("".join, pages))


def run_notebook(folder: Path) -> None:
    """Run the notebook's cells; each gives the tables' figures that are shown below it."""
    os.chdir(folder)
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            outputs = zip(outputs_of("".join(cell["source"]), names), shown_by(cell), strict=True)
            for now, shown in outputs:
                assert re.findall(r"<td>[-\d.]+<", now) == re.findall(r"<td>[-\d.]+<", shown)
                assert bool(now) == bool(shown), cell


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_comes_of_it(tmp_path):
    shutil.copytree(EXAMPLES / "data", tmp_path / "data")
    processes.start(tmp_path, run_notebook, tmp_path).ended()
    assert MultiCriteriaJudge.from_saved(tmp_path / "judge.json").rubric.group == "ticket"


@pytest.mark.slow
def test_a_messy_table_becomes_a_confirmed_judge_by_commands(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", START, tmp_path], env={**os.environ, "PATH": path}, check=True, timeout=300
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["confirmation"]["verdict"] == "confirmed"
    assert (tmp_path / "run" / "report.html").exists()
    draft, rubric = map(Rubric.from_toml, (tmp_path / "draft.toml", RUBRICS / "shop.toml"))
    assert (draft.inputs, draft.group, draft.names) == (rubric.inputs, rubric.group, rubric.names)
    for name in rubric.names:
        assert (draft[name].human, draft[name].scale) == (rubric[name].human, rubric[name].scale)


def test_the_shop_table_holds_the_texts_whose_replies_are_recorded():
    recorded = Path(demo.__file__).parent / "recorded"
    tables = ((SUPPORT.with_name("shop.csv"), RUBRICS / "shop.toml"),)
    tables += ((recorded / "texts.jsonl", recorded / "rubric.toml"),)
    ours, theirs = (
        [
            (dict(text.inputs()), text.group, [text[it.human] for it in rubric.criteria])
            for text in load_examples(table, rubric)
        ]
        for table, rubric in ((table, Rubric.from_toml(path)) for table, path in tables)
    )
    assert ours == theirs


def test_each_script_says_how_to_run_it_and_what_it_costs():
    numbers = [path.name[:2] for path in (NOTEBOOK, START, *SCRIPTS)]
    assert numbers == ["01", "02", "03", "04", "05", "06", "07"]
    for script in SCRIPTS:
        said = load(script.name[:2])["__doc__"]
        assert f"    python examples/{script.name} " in said
        assert "Calls: " in said


@pytest.mark.slow
def test_a_script_is_a_command():
    done = subprocess.run(
        [sys.executable, script_of("04"), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Read a run's folder." in done.stdout


@pytest.mark.slow
def test_a_run_is_read_in_pandas(run, compiled, server):
    compiled(steps=4)
    server.reset()
    read = run("04", "support-run")
    assert server.calls.total() == 0
    (chains,) = re.findall(r"(\d+) chains from an example to an edit", read)
    assert 0 < int(chains) <= 96  # 4 steps, 8 texts, 3 criteria, where the judge missed
    _check_frames(Path("support-run"))


def _check_frames(folder: Path) -> None:
    script = load("04")
    result = json.loads((folder / "result.json").read_text())
    events = script["read_events"](folder)
    steps = script["agreement_by_step"](events)
    assert list(steps.index) == [0, 1, 2, 3, 4]
    assert steps.loc[0, "mean"] == result["seed_agreement"]["mean"]
    assert list(steps["mean"])[1:] == [each["agreement"]["mean"] for each in result["steps"]]
    assert list(steps["accepted"])[1:] == [each["accepted"] for each in result["steps"]]
    paid = script["paid_calls"](folder)
    spent = script["spending"](folder)
    assert len(paid) == spent["calls"].sum() == result["calls"]
    assert paid["prompt_tokens"].sum() == spent["prompt_tokens"].sum()
    links = script["chain"](events)
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    edits = {
        (each["step"], each["criterion"]): each["text"]
        for each in lines
        if each["event"] == "SectionRewritten"
    }
    critiques = {
        (each["step"], each["example_id"], *each["criteria"]): each["text"]
        for each in lines
        if each["event"] == "CritiqueWritten"
    }
    for each in links.itertuples():
        assert each.edit == edits[each.step, each.criterion]
        assert each.critique == critiques[each.step, each.example_id, each.criterion]


def events_in(folder: Path, *lines: dict[str, Any]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "events.jsonl").write_text(text)


STARTED = {"event": "RunStarted", "mode": "SSC"}
SEED = {"event": "SeedScored", "agreement": {"tone": 0.1, "mean": 0.1}}


def ended(step: int, mean: float) -> list[dict[str, Any]]:
    return [
        {"event": "GateDecided", "step": step, "accepted": True},
        {"event": "StepEnded", "step": step, "agreement": {"tone": mean, "mean": mean}},
    ]


def test_a_step_that_a_cut_run_told_twice_is_read_once(tmp_path):
    resumed = {"event": "RunResumed", "steps": 1}
    events_in(tmp_path, STARTED, SEED, *ended(1, 0.2), *ended(2, 0.3), resumed, *ended(2, 0.4))
    script = load("04")
    steps = script["agreement_by_step"](script["read_events"](tmp_path))
    assert list(steps["mean"]) == [0.1, 0.2, 0.4]


def test_a_run_that_began_anew_is_read_from_there(tmp_path):
    events_in(tmp_path, STARTED, SEED, *ended(1, 0.2), STARTED, SEED, *ended(1, 0.5))
    script = load("04")
    steps = script["agreement_by_step"](script["read_events"](tmp_path))
    assert list(steps["mean"]) == [0.1, 0.5]


def told(event: str, criteria: list[str], text: str) -> dict[str, Any]:
    return {"event": event, "step": 1, "example_id": "e", "criteria": criteria, "text": text}


def test_an_edit_is_traced_back_to_what_the_judge_read(tmp_path):
    labels = {"expected": {"tone": 4.0}, "produced": {"tone": 2}}
    text = {"example_id": "e", "scores": {"tone": 0.5, "length": 0.7}, **labels}
    events_in(
        tmp_path,
        STARTED,
        {"event": "BatchJudged", "step": 1, "texts": [text], "inputs": [{"output": "Hi."}]},
        told("CritiqueWritten", ["tone"], "Too low."),
        told("CritiqueWritten", ["length"], "Fine."),
        told("GradientWritten", ["tone", "length"], "Raise it."),
        {"event": "SectionRewritten", "step": 1, "criterion": "tone", "text": "Be kind."},
        {"event": "SectionRewritten", "step": 1, "criterion": "length", "text": "Be brief."},
    )
    script = load("04")
    links = script["chain"](script["read_events"](tmp_path)).set_index("criterion")
    assert list(links.loc["tone"]) == [
        1,
        "e",
        {"output": "Hi."},
        2,
        4,
        "Too low.",
        "Raise it.",
        "Be kind.",
    ]
    assert list(links.loc["length", ["critique", "gradient", "edit"]]) == [
        "Fine.",
        "Raise it.",
        "Be brief.",
    ]
    assert links.loc["length", ["judge", "human"]].isna().all()


def test_a_run_that_was_killed_before_its_first_score_is_said_to_be_one(run, tmp_path):
    events_in(tmp_path, STARTED)
    assert run("04", tmp_path) == f"Nothing has been scored yet in {tmp_path}.\n"


def test_a_folder_that_is_no_runs_is_refused_in_a_line(tmp_path):
    done = CliRunner().invoke(load("04")["main"], [str(tmp_path)])
    assert done.exit_code == 2
    assert "has no events.jsonl" in done.output


@pytest.mark.slow
def test_events_of_an_unknown_kind_and_a_line_half_written_are_no_matter(run, compiled):
    compiled(steps=1)
    before, events = run("04", "support-run"), Path("support-run/events.jsonl")
    first, *rest = events.read_text().splitlines(keepends=True)
    strange = {"event": "Strange", "step": 1, "texts": [{"a": 1}], "criteria": 7, "agreement": 3}
    events.write_text("".join([first, json.dumps(strange) + "\n", *rest, '{"event": "Half']))
    assert "0 chains" not in before
    assert run("04", "support-run") == before


def nested_table(path: Path, articles: int) -> None:
    """Write a table as `mteb/summeval` is: a row per article, with lists of 16."""
    names = Rubric.from_toml(RUBRICS / "summeval_hub.toml").names
    with path.open("w") as file:
        for article in range(articles):
            scores = {
                name: [1 + (place * (at + 1) + article) % 5 for place in range(16)]
                for at, name in enumerate(names)
            }
            texts = [
                f"Summary {article}.{place}: " + " ".join(f"{n}={scores[n][place]}" for n in names)
                for place in range(16)
            ]
            row = {"id": f"a{article}", "text": f"Article {article}", "machine_summaries": texts}
            file.write(json.dumps({**row, **scores}) + "\n")


def paper_calls(modes: str, runs: int, steps: int, gate: int, test: int, criteria: int = 4) -> int:
    """Count the calls of script 02 by the README's table: 3 texts per step."""
    stages = {"SSS": 28, "SSC": 25, "SCC": 16, "CCC": 7, "ST": 7}
    calls = test * (1 + criteria)  # the seed prompt in both layouts
    for mode in modes.split(","):
        optimizing = gate + steps * (3 + stages[mode] + gate)
        calls += runs * (optimizing + test) * (criteria if mode == "ST" else 1)
    return calls


@pytest.mark.slow
def test_summeval_in_the_papers_setting(run, server):
    nested_table(Path("summeval.jsonl"), 8)
    small = ("--runs", 1, "--steps", 1, "--sizes", 16, 12, 20)
    said = run("07", "--data", "summeval.jsonl", "--modes", "SSC,ST", *small)
    assert [server.calls[role] for role in ("critic", "coach", "editor")] == [24, 24, 5]
    # Replies to instructions that stayed those of the seed are paid for once.
    most = paper_calls("SSC,ST", 1, 1, gate=12, test=20)
    assert 0.6 * most < server.calls.total() <= most
    assert "on 20 test texts" in said
    runs = re.findall(r"^  (seed, \w+|\w+ \d) ", said, re.MULTILINE)
    assert runs == ["seed, combined", "seed, separate", "SSC 0", "ST 0"]
    assert stated_calls("07") == paper_calls("ST,SSS,SSC,SCC,CCC", 3, 12, gate=100, test=480)


def test_summeval_with_too_few_texts_is_refused_in_a_line(tmp_path):
    nested_table(tmp_path / "summeval.jsonl", 3)
    words = ["--lm", "openai/toy", "--data", tmp_path / "summeval.jsonl"]
    done = CliRunner().invoke(load("07")["main"], list(map(str, words)))
    assert done.exit_code == 2
    assert "--sizes needs 752 texts, --data has 48." in done.output


def test_no_article_is_in_two_parts_of_summeval(tmp_path):
    nested_table(tmp_path / "summeval.jsonl", 60)
    rubric = Rubric.from_toml(RUBRICS / "summeval_hub.toml")
    parts = load("07")["split"](load_examples(tmp_path / "summeval.jsonl", rubric), (160, 100, 480))
    assert [len(part) for part in parts] == [160, 100, 480]
    groups = [{example.group for example in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_the_retrieval_pipeline_becomes_brief(run, server):
    said = run("05")
    assert stated_calls("05") / 2 < server.calls.total() <= stated_calls("05")
    (brevity,) = re.findall(r"^  brevity +([\d.]+) +([\d.]+) *$", said, re.MULTILINE)
    assert float(brevity[0]) < float(brevity[1]) == 1.0
    assert said.count("### Criterion: brevity\nBe brief.") == 2  # both predictors


@pytest.mark.parametrize(
    ["question", "passage"],
    list(zip(load("05")["QUESTIONS"], (0, 1, 2, 3, 4, 5, 6, 7), strict=True)),
)
def test_a_question_finds_its_passage(question, passage):
    script = load("05")
    assert script["PASSAGES"][passage] in script["found"](question, count=3)


@pytest.mark.slow
def test_another_models_replies_are_scored_and_both_bills_shown(run, compiled, server, world):
    compiled(steps=1)
    server.reset()
    world.mute = "fridge"
    said = run("03", "--judge", "support-run/judge.json")
    assert server.calls.total() == stated_calls("03")
    assert said.count(", 1 unscored") == 3
    with Path("replies/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["helpfulness"] == "" for row in rows] == ["fridge" in r["question"] for r in rows]
    for role in ("writer", "judge"):
        assert re.search(rf"^  {role} .* 10 +0 +0 ", said, re.MULTILINE)


def test_without_a_saved_judge_the_seed_is_used(run, server):
    assert "empathy: mean" in run("03", "--limit", 2)
    assert server.calls.total() == 4


def refusal(capsys, number: str, *words: object) -> tuple[str, int]:
    """Run a script that must fail; give its last line and its status."""
    with pytest.raises(SystemExit) as stop:
        run_command(load(number)["main"], list(map(str, words)))
    assert isinstance(stop.value.code, int)
    return capsys.readouterr().err.splitlines()[-1], stop.value.code


@pytest.mark.parametrize(
    ["number", "words", "said"],
    [
        ("07", "--modes ST,XXX", "Invalid value for '--modes': must be some of ST,SSS,SSC,SCC,CCC"),
        ("07", "--sizes 16 0 16", "Invalid value for '--sizes': 0 is not in the range"),
        ("07", "--rubric none.toml", "Invalid value for '--rubric': Path 'none.toml' does not"),
        ("07", "--data none.csv", "none.csv"),
        ("05", "--steps 0", "Invalid value for '--steps': 0 is not in the range"),
        ("03", "--limit 0", "Invalid value for '--limit': 0 is not in the range"),
        ("03", "--judge none.json", "Invalid value for '--judge': File 'none.json' does not exist"),
        ("03", "--judge broken.json", "broken.json"),
        ("03", "--out .", "--out must be a new or empty folder; . holds files"),
        ("06", "--trials 0", "Invalid value for '--trials': 0 is not in the range"),
        ("06", "--max-calls 0", "Invalid value for '--max-calls': 0 is not in the range"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_before_a_call_is_paid(
    number, words, said, server, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    model = ("--lm", "openai/toy", "--api-base", server.url)
    line, status = refusal(capsys, number, *model, *words.split())
    assert status == 2
    assert line.startswith("Error: ") and said in line
    assert server.calls.total() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]


@pytest.mark.slow
def test_a_server_that_is_down_is_said_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    nobody = ("--lm", "openai/toy", "--api-base", "http://127.0.0.1:9/v1")
    line, status = refusal(capsys, "05", *nobody, "--steps", 1)
    assert status == 1
    assert line.startswith("Error: The provider failed")


def test_every_script_puts_its_errors_on_a_line():
    for script in SCRIPTS:
        assert "\n    run_command(main)  #" in script.read_text(encoding="utf-8"), script.name


def test_replies_that_are_there_are_neither_paid_for_again_nor_lost(run, server, capsys):
    run("03", "--limit", 1)
    kept = Path("replies/scores.csv").read_bytes()
    server.reset()
    line, status = refusal(capsys, "03", "--lm", "openai/toy", "--api-base", server.url)
    assert (line, status) == (
        "Error: --out must be a new or empty folder; replies holds files.",
        2,
    )
    assert server.calls.total() == 0
    assert Path("replies/scores.csv").read_bytes() == kept


@pytest.mark.slow
def test_the_search_shows_its_summary_and_the_study_by_optuna(run, server):
    said = run("06", "--trials", 2, "--steps", 1, "--max-calls", 120)
    assert server.calls.total() <= 120
    assert "did best" in said
    assert "params_editor_temperature" in said
    assert len(re.findall(r"^\d .* COMPLETE$", said, re.MULTILINE)) == 2
    assert Path("support-search/best.toml").exists()


@pytest.mark.parametrize("path", sorted(RUBRICS.glob("*.toml")), ids=lambda path: path.name)
def test_a_rubric_reads_and_names_its_source(path):
    rubric = Rubric.from_toml(path)
    comment = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))
    assert comment is not None
    assert re.search(r"(TACL|COLING|ACL) 20\d\d|summeval\.toml|by the\n# authors", comment[0])
    for criterion in rubric.criteria:
        levels = [score for score, _ in criterion.levels]
        low, high = criterion.scale.low, criterion.scale.high
        # All levels, or the two ends and the middle, or none at all.
        assert levels in ([], [low, (low + high) // 2, high], list(criterion.scale.values))


@pytest.mark.parametrize(
    ["name", "texts", "documents"],
    [
        ("summeval", 932, 60),  # 960 rows; some systems wrote the same summary
        ("summeval_text", 932, 60),
        ("hanna", 638, 58),
        ("topical_chat", 216, 36),
        ("summeval_op", 247, 19),
    ],
)
def test_a_rubric_fits_its_data(name, texts, documents):
    table = SHARED / f"{name.removesuffix('_text')}.dev.parquet"
    if not table.exists():
        pytest.skip(f"the development ratings are not at {table}")
    rubric = Rubric.from_toml(RUBRICS / f"{name}.toml")
    examples = load_examples(table, rubric)
    assert len(examples) == texts
    assert len({example.group for example in examples}) == documents
    assert set(missing_human(examples, rubric).values()) == {0}


def test_the_brighter_rubric_reads_the_columns_of_the_hub(tmp_path):
    rubric = Rubric.from_toml(RUBRICS / "brighter.toml")
    assert rubric.names == ("anger", "fear", "joy", "sadness", "surprise")
    assert {criterion.scale for criterion in rubric.criteria} == {Scale(0, 3)}
    table = tmp_path / "eng.csv"
    table.write_text("id,text,anger,fear,joy,sadness,surprise\n1,Oh no!,0,2,0,1,3\n")
    (example,) = load_examples(table, rubric)
    assert [example[criterion.human] for criterion in rubric.criteria] == [0, 2, 0, 1, 3]


def test_the_two_rubrics_of_summeval_ask_the_same():
    ours, hub = (Rubric.from_toml(RUBRICS / f"{n}.toml") for n in ("summeval", "summeval_hub"))
    assert ours.inputs == ("source", "output")
    assert ours.group == "doc_id"
    assert [(c.name, c.definition, c.scale) for c in ours.criteria] == [
        (c.name, c.definition, c.scale) for c in hub.criteria
    ]
    assert [c.human for c in ours.criteria] == [f"human_{c.human}" for c in hub.criteria]
    assert ours.names == ("coherence", "consistency", "fluency", "relevance")


def test_the_support_table_is_what_its_rubric_says():
    rubric = Rubric.from_toml(RUBRICS / "support.toml")
    examples = load_examples(SUPPORT, rubric)
    assert Counter(Counter(example.group for example in examples).values()) == {4: 10}
    assert len({example.reply for example in examples}) == 40
    for criterion in rubric.criteria:
        scores = [example[criterion.human] for example in examples]
        assert {min(scores), max(scores)} == {1, 5}
        # Means of three whole ratings, to two digits.
        assert all(abs(3 * score - round(3 * score)) < 0.02 for score in scores)
