"""The order of the rooms is the order of the data: each imports only from those above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mogradjudge"

LEAVES = ("errors", "files", "hashing", "secrets", "concurrency")
ROOMS = [
    *(*LEAVES, "settings", "display", "lm", "criteria", "agreement", "data", "judge", "objectives"),
    *(
        "programs",
        "stages",
        "scoring",
        "optimize",
        "composition",
        "search",
        "tracking",
        "demo",
        "report",
        "web",
        "cli",
    ),
    "__main__",
]


BENCHMARKS = PACKAGE.parent / "benchmarks"
FLOORS = [  # of the benchmarks; those of one floor do not import each other
    *(["worlds"], ["harness"], ["noise", "peers"], ["dilution", "interference"]),
    *(["modes", "self_tests"], ["report"], ["__main__"]),
]


def rooms(package: Path = PACKAGE) -> set[str]:
    files = {path.stem for path in package.glob("*.py")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    return files - {"__init__"} | folders


def rooms_imported_by(room: str, package: Path = PACKAGE) -> set[str]:
    file = package / f"{room}.py"
    paths = [file] if file.exists() else sorted((package / room).rglob("*.py"))
    imported = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == package.name:
                imported |= {name.name for name in node.names} & rooms(package)
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(
                f"{package.name}."
            ):
                imported.add(str(node.module).split(".")[1])
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import: {path}"
    return imported - {room}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_above(room):
    assert rooms_imported_by(room) <= set(ROOMS[: ROOMS.index(room)])


def test_every_room_has_a_place():
    assert rooms() == set(ROOMS)
    assert rooms(BENCHMARKS) == {room for floor in FLOORS for room in floor}


@pytest.mark.parametrize("number", range(len(FLOORS)))
def test_a_benchmark_imports_only_from_the_floors_below(number):
    below = {room for floor in FLOORS[:number] for room in floor}
    for room in FLOORS[number]:
        assert rooms_imported_by(room, BENCHMARKS) <= below


def test_the_top_of_the_package_stays_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize(
    "path",
    [*sorted(PACKAGE.rglob("*.py")), *sorted(BENCHMARKS.rglob("*.py"))],
    ids=lambda path: path.name,
)
def test_a_file_stays_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
