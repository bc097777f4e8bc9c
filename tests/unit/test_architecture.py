"""The order of the rooms is the order of the data: each imports only from those above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mogradjudge"

LEAVES = ("errors", "files", "hashing", "secrets", "concurrency")
ROOMS = [
    *(*LEAVES, "settings", "display", "criteria", "agreement", "data", "lm", "judge", "objectives"),
    *("programs", "stages", "scoring", "optimize", "search", "tracking", "demo", "report", "cli"),
    "__main__",
]


def rooms() -> set[str]:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return files - {"__init__"} | folders


def rooms_imported_by(room: str) -> set[str]:
    file = PACKAGE / f"{room}.py"
    paths = [file] if file.exists() else sorted((PACKAGE / room).rglob("*.py"))
    imported = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "mogradjudge":
                imported |= {name.name for name in node.names} & set(ROOMS)
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("mogradjudge."):
                imported.add(str(node.module).split(".")[1])
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import: {path}"
    return imported - {room}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_above(room):
    assert rooms_imported_by(room) <= set(ROOMS[: ROOMS.index(room)])


def test_every_room_has_a_place():
    assert rooms() == set(ROOMS)


def test_the_top_of_the_package_stays_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_a_file_stays_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
