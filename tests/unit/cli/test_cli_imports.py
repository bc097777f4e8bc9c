"""Who asks for help, a version or a completed word does not wait for DSPy."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mogradjudge
from report_runs import told, written

SLOW = {"dspy", "litellm", "numpy", "scipy", "datasets", "pyarrow", "optuna", "rich"}
TELL = "import atexit, sys\natexit.register(lambda: print(sorted(sys.modules), file=sys.stderr))\n"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        capture_output=True,
        text=True,
    )


def modules(code: str, **environment: str) -> set[str]:
    """Give what a new Python has imported after some code."""
    done = run(TELL + code, **environment)
    assert done.returncode == 0, done.stderr
    return set(eval(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["completion", "zsh"],
        *(
            [name, "--help"]
            for name in ("demo", "compile", "search", "score", "evaluate", "serve", "label")
        ),
    ],
    ids=" ".join,
)
def test_help_and_version_import_nothing_slow(words):
    found = modules(f"from mogradjudge.cli import main; main({words})")
    assert "click" in found
    assert found & SLOW == set()


@pytest.mark.parametrize("typed", ["mogradjudge ", "mogradjudge compile --mode "])
def test_a_completion_imports_nothing_slow(typed):
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()))}
    found = modules(
        "from mogradjudge.cli import main; main([])",
        _MOGRADJUDGE_COMPLETE="bash_complete",
        **asked,
    )
    assert found & SLOW == set()


@pytest.mark.slow
def test_the_package_imports_what_is_asked_for():
    assert "dspy" not in modules("import mogradjudge")
    for code in (
        "from mogradjudge import MOGrad",
        "import mogradjudge; mogradjudge.MultiCriteriaJudge",
        "from mogradjudge import *; MOGrad",
        "from mogradjudge import search; search.search",
    ):
        # What cannot be imported shows that it is asked for, without the wait for it.
        refused = run(f"import sys; sys.modules['dspy'] = None\n{code}")
        assert "import of dspy halted" in refused.stderr


def test_the_package_gives_what_is_exported():
    stub = Path(mogradjudge.__file__).with_name("__init__.pyi").read_text("utf-8")
    typed = next(line for line in ast.parse(stub).body if isinstance(line, ast.Assign))
    assert sorted(mogradjudge.__all__) == sorted(ast.literal_eval(typed.value))
    assert set(mogradjudge.__all__) <= set(dir(mogradjudge))
    assert all(hasattr(mogradjudge, name) for name in mogradjudge.__all__)


@pytest.mark.parametrize("name", ["nothing", "__wrapped__"])
def test_what_is_not_there_is_said(name):
    with pytest.raises(AttributeError, match=name):
        getattr(mogradjudge, name)


@pytest.mark.slow
def test_the_report_of_a_run_imports_nothing_of_a_search(tmp_path):
    folder = written(tmp_path / "run", told(1, ("fluency",), "A text."))
    found = modules(f"from mogradjudge.cli import main; main(['report', {str(folder)!r}])")
    assert (folder / "report.html").exists()
    assert found & {"optuna", "sqlalchemy", "sklearn", "scipy.stats", "mogradjudge.search"} == set()
