"""What is built is the whole package and nothing else, and to import it does nothing else."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import tomllib
from collections.abc import Mapping
from email.message import Message
from email.parser import Parser
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mogradjudge
from mogradjudge.cli import main

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mogradjudge"
TESTS = ROOT / "tests"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"mogradjudge-{PROJECT['version']}"

OUR_OWN = {"mogradjudge", "benchmarks", "tests"} | {path.stem for path in TESTS.glob("*.py")}
# What is imported and not declared, and what requires it with a version that is new enough.
BROUGHT = {
    "filelock": "datasets",
    "pyarrow": "datasets",
    "markupsafe": "jinja2",
    "orjson": "dspy",
    "pydantic": "dspy",
    "tiktoken": "litellm",
    "packaging": "pytest",
    "pydantic-core": "pydantic",
}

# Modules that need an extra as they are imported, which is only where they are used.
WITH_AN_EXTRA = {"mogradjudge.scoring.ray.dataset"}


def build(root: Path, out: Path) -> tuple[Path, Path]:
    """Build the wheel and the sdist of the tree at a root."""
    wheels = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    from hatchling.builders.sdist import SdistBuilder

    (wheel,) = wheels.WheelBuilder(str(root)).build(directory=str(out), versions=["standard"])
    (sdist,) = SdistBuilder(str(root)).build(directory=str(out), versions=["standard"])
    return Path(wheel), Path(sdist)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    return built[0]


def files_in(folder: Path) -> set[str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


def metadata_of(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode("utf-8"))


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert names == files_in(PACKAGE) | {f"{NAME}.dist-info/{name}" for name in info}
    data = {"py.typed", "demo/replies.jsonl", "demo/rubric.toml"}
    assert {f"mogradjudge/{name}" for name in data} <= names


@pytest.mark.slow
def test_the_sdist_builds_into_the_same_wheel(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        folders = {Path(name).parts[1] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    folder = {"mogradjudge", "benchmarks", "examples", "tests"}
    assert folders == folder | {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
    again, _ = build(tmp_path / NAME, tmp_path / "dist")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_image_takes_what_the_wheel_is_built_of_and_no_more(wheel, tmp_path):
    image = (ROOT / "examples" / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.*)$", image, re.MULTILINE):
        *sources, target = line.split()
        for source in map(ROOT.joinpath, sources):
            assert source != ROOT  # it holds keys and environments
            if source.is_dir():
                shutil.copytree(source, tmp_path / target.strip("/"))
            else:
                (tmp_path / target.strip("/")).mkdir(exist_ok=True)
                shutil.copy(source, tmp_path / target.strip("/"))
    again, _ = build(tmp_path / "source", tmp_path / "dist")
    with ZipFile(wheel) as ours, ZipFile(again) as built:
        assert ours.namelist() == built.namelist()


def test_what_the_wheel_says_of_itself(wheel):
    said = metadata_of(wheel)
    assert said["Name"] == "mogradjudge"
    assert said["Version"] == PROJECT["version"]
    assert said["License-Expression"] == "MIT"
    assert said["License-File"] == "LICENSE"
    assert said["Requires-Python"] == PROJECT["requires-python"]
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert said.get_all("Provides-Extra") == sorted(PROJECT["optional-dependencies"])


def test_what_it_requires_comes_from_the_package_index_and_has_a_floor(wheel):
    required = [Requirement(text) for text in metadata_of(wheel).get_all("Requires-Dist", ())]
    others = [each for each in required if each.name != "mogradjudge"]
    assert len(others) > 20
    assert all(each.url is None for each in others)
    floors = {"==", ">="}
    assert [str(each) for each in others if not floors & {s.operator for s in each.specifier}] == []


@cache
def owners_of_modules() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def imported_in(folder: Path) -> set[str]:
    """Give the distributions that a folder's files import, wherever in a file they do."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    modules |= {
        str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    }
    tops = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    owners = owners_of_modules()
    # What is not installed goes by its module's name. The whole mlflow has mlflow-skinny's modules
    # too: the longest name is the part that is asked for.
    names = (max(owners.get(top, [top]), key=len) for top in tops - OUR_OWN)
    return {canonicalize_name(name) for name in names}


def declared(*extras: str) -> set[str]:
    """Give the distributions that the package requires, and those of extras, ours unfolded."""
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    required = [Requirement(text) for text in texts]
    names = {canonicalize_name(each.name) for each in required}
    inner = {more for each in required if each.name == "mogradjudge" for more in each.extras}
    return names | (declared(*inner) if inner else set())


@pytest.mark.slow
@pytest.mark.parametrize(
    ["folder", "extras"],
    [
        ("mogradjudge", ("figures", "local", "mlflow", "postgres", "ray", "web")),
        ("benchmarks", ("bench", "peers", "test")),
        ("examples", ("test",)),
        ("tests", ("test", "local")),
    ],
)
def test_what_is_imported_is_declared(folder, extras):
    found = imported_in(ROOT / folder)
    assert "dspy" in found
    known = declared(*extras)
    others = {name for name, by in BROUGHT.items() if by in known | {*BROUGHT}}
    assert found - known <= others


@pytest.mark.parametrize("name", BROUGHT)
def test_what_is_not_declared_is_required_by_what_is(name):
    required = map(Requirement, importlib.metadata.requires(BROUGHT[name]) or ())
    plain = {canonicalize_name(each.name) for each in required if "extra" not in str(each.marker)}
    assert name in plain


@pytest.mark.slow
def test_the_version_is_written_in_one_place(capsys):
    assert mogradjudge.__version__ == importlib.metadata.version("mogradjudge")
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert not stop.value.code
    assert capsys.readouterr().out.split()[-1] == mogradjudge.__version__
    texts = [
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    ]
    assert PROJECT["version"] not in texts


USER = """
    from typing import assert_type

    from mogradjudge import MOGrad, MultiCriteriaJudge, Rubric, Undefined, __version__, correlate

    rubric = Rubric.from_toml("rubric.toml")
    assert_type(rubric.names, tuple[str, ...])
    assert_type(MultiCriteriaJudge(rubric, layout="separate").rubric, Rubric)
    assert_type(MOGrad(mode="SSC", seed=0), MOGrad)
    assert_type(correlate([1, 2, 3], [1, 3, 2]).value, float | Undefined)
    assert_type(__version__, str)
    MOGrad(mode="SSC", sed=0)
"""


@pytest.mark.slow
def test_mypy_sees_the_types_of_what_is_installed(wheel, tmp_path):
    user = tmp_path / "user.py"
    user.write_text(textwrap.dedent(USER).lstrip(), encoding="utf-8")
    python = empty_environment(tmp_path / "environment", wheel)
    words = ["--strict", "--python-executable", python, "--cache-dir", tmp_path / "cache", user]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    misspelt = 'user.py:11: error: Unexpected keyword argument "sed" for "MOGrad"'
    assert [line for line in done.stdout.splitlines() if "error:" in line] == [
        f'{misspelt}; did you mean "seed"?  [call-arg]'
    ]


def empty_environment(folder: Path, wheel: Path) -> Path:
    """Give the interpreter of a new environment with the wheel unpacked in it."""
    import venv

    venv.create(folder, symlinks=True, with_pip=False)
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    return folder / "bin" / "python"


# Who does what is read off the stack: the innermost module whose import is under way did it.
PROBE = """
    import importlib, json, logging, os, pkgutil, signal, sys, threading, warnings
    import dspy, click, numpy, optuna, rich.console, scipy.stats, sklearn.ensemble

    LATE = "ray matplotlib mlflow textgrad xllamacpp psycopg litellm datasets".split()
    assert not {*LATE} & {*sys.modules}
    for name in LATE:
        sys.modules[name] = None

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    WATCHED = ("socket", "subprocess", "os", "shutil", "tempfile", "_thread", "sqlite3", "signal")
    HARMLESS = ("os.listdir", "os.scandir")
    done = []

    def importing():
        frame = sys._getframe(2)
        while frame and frame.f_code.co_name != "<module>":
            frame = frame.f_back
        return frame.f_globals["__name__"] if frame else ""

    def watch(event, arguments):
        kind = event.partition(".")[0]
        writes = event == "open" and (arguments[2] or 0) & WRITES
        if (kind in WATCHED and event not in HARMLESS) or writes:
            if importing().startswith("mogradjudge"):
                done.append(f"{importing()}: {event} {arguments}")

    def state():
        loggers = {name: log for name, log in logging.root.manager.loggerDict.items()
                   if isinstance(log, logging.Logger) and name in known}
        loggers["root"] = logging.root
        return {
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "loggers": {name: (log.level, log.disabled, log.propagate, len(log.handlers),
                               len(log.filters)) for name, log in loggers.items()},
            "settings": str(dspy.settings.config),
            "owner": sys.modules["dspy.dsp.utils.settings"].config_owner_thread_id,
            "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
            "hooks": [str(sys.excepthook), str(threading.excepthook), str(warnings.showwarning)],
            "warnings": [str(each) for each in warnings.filters],
            "threads": [thread.name for thread in threading.enumerate()],
        }

    start = threading.Thread.start

    def started(thread):  # before Python 3.13 no event tells of it
        watch("_thread.start", (thread.name,))
        start(thread)

    threading.Thread.start = started
    known = set(logging.root.manager.loggerDict)
    before = state()
    sys.addaudithook(watch)
    import mogradjudge
    unimportable, imported = [], []
    for module in pkgutil.walk_packages(mogradjudge.__path__, "mogradjudge."):
        try:
            importlib.import_module(module.name)
            imported.append(module.name)
        except ModuleNotFoundError:
            unimportable.append(module.name)
    after = state()
    ours = [name for name in logging.root.manager.loggerDict if name.startswith("mogradjudge")]
    handled = [name for name in ours if logging.getLogger(name).handlers]
    print(json.dumps({
        "done": done, "imported": imported, "unimportable": unimportable, "handled": handled,
        "changed": {key: [before[key], after[key]] for key in before if before[key] != after[key]},
    }))
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory) -> dict[str, list[str]]:
    """Tell what it does to import every module, in a process without extras and slow imports."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROBE)],
        cwd=tmp_path_factory.mktemp("empty"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_an_import_opens_no_file_and_no_socket_and_starts_nothing(probe):
    assert len(probe["imported"]) > 100
    assert probe["done"] == []


def test_an_import_changes_nothing_that_others_see(probe):
    assert probe["changed"] == {}
    assert probe["handled"] == []


def test_an_import_waits_for_no_extra_and_for_nothing_slow(probe):
    assert set(probe["unimportable"]) == WITH_AN_EXTRA
