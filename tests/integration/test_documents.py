"""What the pages show runs: their Python and their commands."""

import ast
import inspect
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import dspy
import pytest

from benchmarks.__main__ import main as benchmarks
from benchmarks.peers.textgrad_methods import prepare
from benchmarks.worlds.server import serving
from mogradjudge import MODES, MultiCriteriaJudge, Rubric
from mogradjudge.cli import cli
from mogradjudge.cli import main as mogradjudge
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.search import SearchSpace
from tests import processes
from tests.unit.test_architecture import ROOMS

ROOT = Path(__file__).parents[2]
HOW_TO = ("README.md", "examples/README.md")  # their commands are run here, one after another
FOLDERS = ("examples", "mogradjudge", "benchmarks")
PAGES = dict.fromkeys(
    (*HOW_TO, *(str(p.relative_to(ROOT)) for f in FOLDERS for p in sorted((ROOT / f).glob("*.md"))))
)
TEXTS = {page: (ROOT / page).read_text("utf-8") for page in PAGES}


def ratings(*rows: int) -> str:
    """Write a table with a document in each row."""
    head = "source,output,human_coherence,human_consistency,doc_id\n"
    scores = [(row, 2 + row % 4, 2 + row // 4 % 4) for row in rows]
    return head + "".join(
        f"article {row},summary {row} coherence={first} consistency={second},"
        f"{first},{second},{row}\n"
        for row, first, second in scores
    )


TABLES = {
    "ratings": ratings(*range(60)),  # enough to confirm a result
    "held_out": ratings(*range(100, 124)),
    "new_texts": ratings(*range(200, 224)),
}
# Where a command of a page runs: in this file, or in another one by words that it holds.
HERE = ""
RUNS = {
    "examples/02_csv_start.sh": ("tests/integration/test_examples.py", "02_csv_start.sh"),
    "examples/05_rag_pipeline.py": ("tests/integration/test_examples.py", 'run("05")'),
    "uv run --extra test pytest": (".ci/run", "uv run --extra test pytest"),
    "mogradjudge demo": (".ci/run", "mogradjudge demo"),
    "mogradjudge init": ("tests/unit/cli/test_first_contact.py", 'call("init"'),
    "mogradjudge check": HERE,
    "mogradjudge estimate": HERE,
    "mogradjudge compile": HERE,
    "mogradjudge evaluate": HERE,
    "mogradjudge compare": HERE,
    "mogradjudge score": HERE,
    "mogradjudge calibrate": HERE,
    "mogradjudge compose": ("tests/unit/cli/test_saved_judge_cli.py", '"compose", *runs'),
    "mogradjudge search": HERE,
    "mogradjudge report": HERE,
    "mogradjudge show": HERE,
    "mogradjudge serve": ("tests/unit/web/test_web_server.py", 'command("serve"'),
    "python -m benchmarks all": (".ci/run", "python -m benchmarks all --smoke"),
    "python -m benchmarks noise": (".ci/run", "python -m benchmarks all --smoke"),
    "python -m benchmarks interference": HERE,
    "python -m benchmarks report": HERE,
}
# What would take a test too long.
FEWER = {
    "--trials 40": "--trials 3",
    "--out results": "--out results --steps 1 --seeds 1 --repeats 1",
}
NOT_IN_CI = re.compile(r"#.*\bnot in CI: \w")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXTS[page], re.DOTALL | re.MULTILINE)


# The rubric that the README shows: its own commands and blocks read it.
(RUBRIC,) = blocks("README.md", "toml")


def numbered(kind: str, chosen: Callable[[str], bool] = lambda _: True) -> list[object]:
    return [
        pytest.param(block, id=f"{page}-{number}")
        for page in TEXTS
        for number, block in enumerate(blocks(page, kind))
        if chosen(block)
    ]


def commands(page: str) -> list[tuple[str, bool]]:
    """Give the commands of a page's shell blocks, and whether it says why one is not in CI."""
    found = []
    for block in blocks(page, "sh"):
        lines = block.replace("\\\n", " ").splitlines()
        whole = NOT_IN_CI.match(lines[0])
        for line in lines:
            command = line.split(" #")[0].strip()
            if command and not command.startswith("#"):
                found.append((command, bool(whole or NOT_IN_CI.search(line))))
    return found


def named(command: str) -> str:
    """Name a command as `RUNS` does: without the extras it runs with, and without options."""
    ours = re.search(r"(mogradjudge|python -m benchmarks) [\w-]+|examples/\w+\.(?:py|sh)", command)
    return ours.group() if ours else command


def words_of(command: str) -> list[str]:
    return shlex.split(command.partition(named(command).rpartition(" ")[0])[2])


def fewer(found: re.Match[str]) -> str:
    return FEWER[found.group()]


def run(folder: Path, url: str, function: Callable[..., None], *arguments: object) -> str:
    """Call a function in a process of its own, in a folder, with a server as its provider."""
    return processes.start(folder, _at, folder, url, function, arguments).ended()[0]


def _at(folder: Path, url: str, function: Callable[..., None], arguments: Sequence[object]) -> None:
    os.chdir(folder)
    os.environ.update(OPENAI_API_BASE=url, OPENAI_BASE_URL=url, OPENAI_API_KEY="none")
    dspy.configure_cache(disk_cache_dir=str(folder / "cache"))
    function(*arguments)


def execute(block: str) -> None:
    exec(compile(block, "<block>", "exec"), {"__name__": "__main__"})


def one_by_one(lines: Sequence[tuple[str, list[str]]]) -> None:
    """Run commands by the name of their program and their words."""
    programs = {"python": benchmarks, "mogradjudge": mogradjudge}
    for name, words in lines:
        try:
            programs[name](words)
        except SystemExit as stop:
            if stop.code:
                raise SystemExit(f"{words}: status {stop.code}") from stop


# Python


@pytest.fixture
def folder(tmp_path):
    """Give a folder with the files that the pages name."""
    for name, table in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(table)
    (tmp_path / "rubric.toml").write_text(RUBRIC)
    MultiCriteriaJudge(Rubric.from_toml(tmp_path / "rubric.toml")).save(tmp_path / "judge.json")
    return tmp_path


def test_the_pages_have_blocks_of_known_kinds():
    for page in (*HOW_TO, "examples/MIGRATION.md", "mogradjudge/README.md"):
        assert blocks(page, "python"), page
    opened = re.findall(r"^```(.+)$", "".join(TEXTS.values()), re.MULTILINE)
    assert set(opened) <= {"python", "python not-run", "sh", "text", "toml", "mermaid"}


@pytest.mark.slow
@pytest.mark.parametrize("block", numbered("python"))
def test_a_python_block_runs(block, folder):
    if "import mlflow" in block:
        pytest.importorskip("mlflow")
    with serving() as server:
        run(folder, server.url, execute, block)
        asked = server.calls["judge"] + server.calls["other"]  # a program that is no judge
        assert bool(asked) == ("dspy.LM(" in block)


@pytest.mark.parametrize("block", numbered("toml", lambda block: block != RUBRIC))
def test_another_toml_block_is_a_search_space(block, tmp_path):
    (tmp_path / "space.toml").write_text(block)
    assert SearchSpace.from_toml(tmp_path / "space.toml").searched


def imported_by(tree: ast.AST) -> dict[str, object]:
    """Give what a block imports, by the names that it has there."""
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names |= {it.asname or it.name: pytest.importorskip(it.name) for it in aliases}
            case ast.ImportFrom(module=str(module), names=aliases):
                library = pytest.importorskip(module)
                names |= {it.asname or it.name: getattr(library, it.name) for it in aliases}
    return names


def called_by(tree: ast.AST, imported: Mapping[str, Any]) -> Iterator[tuple[Any, ast.Call]]:
    """Give each call of what a block imports, with what is called."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in imported:
                yield imported[name], node
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute)) if (
                name in imported
            ):
                yield getattr(imported[name], attribute), node


@pytest.mark.parametrize("block", numbered("python not-run"))
def test_a_block_that_is_not_run_calls_what_its_library_has(block):
    if "import textgrad" in block and find_spec("textgrad"):
        prepare()  # its import opens a log file
    tree = ast.parse(block)
    calls = list(called_by(tree, imported_by(tree)))
    assert calls
    for function, call in calls:
        by_name = dict.fromkeys(keyword.arg for keyword in call.keywords)
        inspect.signature(function).bind_partial(*call.args, **by_name)


def anchors(text: str) -> set[str]:
    """Give the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_a_link_inside_of_the_repository_leads_somewhere():
    for page, text in TEXTS.items():
        for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", text):
            path = ROOT / page if not target else (ROOT / page).parent / target
            assert path.exists(), (page, target)
            if anchor:
                assert anchor in anchors(path.read_text("utf-8")), (page, target, anchor)


@cache
def functions_in(file: str) -> set[str]:
    (path,) = (ROOT / "tests").rglob(file)
    tree = ast.parse(path.read_text("utf-8"))
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in tree.body if isinstance(node, functions)}


def test_each_row_of_the_compatibility_tables_names_tests_that_are_there():
    lines = TEXTS["examples/COMPATIBILITY.md"].splitlines()
    rows = [line for line in lines if line.startswith("| ") and line != "| what works | test |"]
    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)?::(test_\w+)`", row)
        assert named, row
        file = ""
        for where, test in named:
            file = where or file
            assert test in functions_in(file), row


def test_the_package_page_names_files_that_are_there():
    page = TEXTS["mogradjudge/README.md"]
    named = re.findall(r"`(\w[\w/]*/(?:\w+\.py)?)`", page)
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "mogradjudge" / path).exists(), path


def test_the_package_page_lists_the_rooms_in_their_order():
    listed = re.findall(r"^\| `(\w+)(?:\.py|/)`", TEXTS["mogradjudge/README.md"], re.MULTILINE)
    assert [*listed, "__main__"] == ROOMS


# Numbers


def test_the_calls_by_mode_are_those_of_the_modes():
    row = r"^\| (\w{3}) \|.*\| ([^|]+) \| (\d+) \| ([^|]+) = (\d+) \|$"
    page = TEXTS["examples/README.md"]
    rows = re.findall(row, page, re.M)
    table = {name: (text, int(n)) for name, text, n, _, _ in rows}
    papers = {name: (text, int(n)) for name, _, _, text, n in rows}
    assert [*table] == [*MODES]
    for pool, by_mode in (("batch", table), ("example", papers)):
        for name, (formula, number) in by_mode.items():
            product = re.sub(r"(?<=[\dBK])(?=[BK])", "*", formula)
            for texts, names in ((3, "abcd"), (5, "ab"), (1, "a")):
                count = eval(product, {}, {"B": texts, "K": len(names)})
                assert count == MODES[name].calls(texts, tuple(names), pool).total
            assert number == MODES[name].calls(3, tuple("abcd"), pool).total
    words = " ".join(page.split())
    numbers = (
        r"with (\d+) validation texts, B=(\d+) and K=4, "
        r"a step takes (\d+) calls in SSS and (\d+) in CCC"
    )
    validation, batch, *both = map(int, re.search(numbers, words).groups())
    assert batch == MOGradConfig().batch_size
    assert both == [
        validation + batch + MODES[name].calls(batch, tuple("abcd"), "batch").total
        for name in ("SSS", "CCC")
    ]


# Commands


@pytest.mark.parametrize("page", TEXTS)
def test_the_options_of_a_command_are_there(page):
    for command, _ in commands(page):
        group = {"mogradjudge": cli, "python": benchmarks}.get(named(command).split()[0])
        if group is None:
            continue
        parse(group, words_of(command))


def parse(group, command):
    name, *words = command
    parsed = group.commands[name]
    context = click.Context(parsed, info_name=name)
    given, rest, _ = parsed.make_parser(context).parse_args(list(words))
    assert not rest, command
    for parameter in parsed.params:
        value = given.get(parameter.name)
        if isinstance(value, str | tuple):  # click marks what is not given in its own way
            parameter.type_cast_value(context, value)


def test_the_commands_of_the_image_and_the_workflow_are_there():
    image = (ROOT / "examples" / "Dockerfile").read_text(encoding="utf-8")
    workflow = (ROOT / "examples" / "workflows" / "judge.yml").read_text(encoding="utf-8")
    entry = json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", image, re.MULTILINE)[1])
    evaluate = re.search(
        r"^ +mogradjudge (evaluate .*?)\n +env:", workflow, re.DOTALL | re.MULTILINE
    )[1]
    parse(cli, entry[1:])
    parse(cli, shlex.split(evaluate))


def test_every_command_of_a_page_runs_somewhere_or_says_why_not():
    shown = [line for page in TEXTS for line in commands(page)]
    for command, excused in shown:
        assert excused or named(command) in RUNS, f"nobody runs: {command}"
    for name, place in RUNS.items():
        assert any(named(command) == name and not excused for command, excused in shown), name
        if place is not HERE:
            file, words = place
            assert words in (ROOT / file).read_text("utf-8")


@pytest.mark.slow
def test_the_commands_of_the_pages_run_one_after_another(folder):
    shown = dict.fromkeys(
        re.sub("|".join(FEWER), fewer, command)
        for page in HOW_TO
        for command, excused in commands(page)
        if not excused and RUNS[named(command)] is HERE
    )
    lines = [(named(command).split()[0], words_of(command)) for command in shown]
    with serving() as server:
        printed = run(folder, server.url, one_by_one, lines)
    assert printed.count("Agreement") >= 2
    table = next(text for text in blocks("README.md", "text") if "confirmation initial" in text)
    assert set(table.splitlines()) <= set(printed.splitlines())
    (gain,) = re.findall(r"\*Confirmed\*, here (\+[\d.]+\d)", TEXTS["README.md"])
    assert gain in printed
    written = ("run/judge.json", "scores.parquet", "search/best.toml", "best/judge.json")
    for name in (*written, "run/report.html", "results/cells.jsonl", "results/report.md"):
        assert (folder / name).exists(), name
