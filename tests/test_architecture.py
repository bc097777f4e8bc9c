"""The order of the modules is the order of the data: each imports only from those above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mogradjudge"

LAYERS = [
    *("errors", "secrets", "digests", "files", "criteria", "decomposition", "data", "quoting"),
    *("media", "figures"),
    "instructions",
    "concurrency",
    *("scores", "thoughts", "endings", "written", "expected", "fields", "refusals"),
    *("predictor", "judge"),
    *("agreement", "claims", "objectives", "leftovers", "programs", "candidate"),
    *("saving", "prices", "tokens", "budget", "usage"),
    *("brake", "limiter", "reply_store", "replies", "ledger", "attempts", "histories", "metering"),
    *("evaluation", "roles"),
    *("loss", "gradient", "optimizer", "gate"),
    *("config", "examples", "events", "result", "state", "fingerprint", "runs"),
    *("workshop", "step", "terminal", "progress", "loop", "interruption", "teleprompter"),
    "exports",
    *("local", "models", "rehearsal", "estimate", "scoring", "search"),
    *("added", "outputs", "parts", "shards", "cluster", "scored_table"),
    *("tracking", "tables", "demo", "report", "cli", "__main__"),
]


def modules() -> set[str]:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return files - {"__init__"} | folders


def siblings_imported_by(module: str) -> set[str]:
    file = PACKAGE / f"{module}.py"
    paths = [file] if file.exists() else sorted((PACKAGE / module).glob("*.py"))
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mogradjudge."):
                found.add(node.module.split(".")[1])
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import: {path}"
    return found - {module}


@pytest.mark.parametrize("module", LAYERS)
def test_a_module_imports_only_from_above(module):
    assert siblings_imported_by(module) <= set(LAYERS[: LAYERS.index(module)])


def test_every_module_has_a_place():
    assert modules() == set(LAYERS)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_a_file_stays_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
