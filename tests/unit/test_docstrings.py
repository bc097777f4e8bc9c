"""The examples in docstrings: they run, and each public door has one."""

import ast
import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import mogradjudge

PACKAGE = Path(mogradjudge.__file__).parent
WITH_EXAMPLES = [
    path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text("utf-8")
]
MADE_BY_A_SEARCH = {"SearchResult", "TrialRecord"}  # the example of `search` would take LM calls


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def doors() -> dict[str, object]:
    """Give what the package and its rooms export, by name."""
    exported = {name: getattr(mogradjudge, name) for name in mogradjudge.__all__}
    for path in PACKAGE.glob("*/__init__.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                room = importlib.import_module(name_of(path))
                exported |= {name: getattr(room, name) for name in ast.literal_eval(node.value)}
    return {
        name: door
        for name, door in exported.items()
        if name not in MADE_BY_A_SEARCH
        and (inspect.isfunction(door) or inspect.isclass(door))
        and not (inspect.isclass(door) and issubclass(door, Exception))
    }


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_the_examples_of_a_module_run(path):
    module = importlib.import_module(name_of(path))
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert done.attempted and not done.failed


@pytest.mark.parametrize(["name", "door"], doors().items(), ids=doors())
def test_a_public_door_has_an_example(name, door):
    assert ">>> " in inspect.getsource(door), name
