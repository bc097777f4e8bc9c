"""Prints how the package is laid out, in numbers: ``python tests/figures.py [ROOT]``.

The rows are those that the project holds itself to; the goals stand beside them. Complexity is
McCabe's, with a branch for each boolean operator, comprehension and conditional expression, as
radon counts it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert)
BANNED = ("each", "found", "told", "kept", "asked", "made", "given")


class House:
    """A package's files, parsed once."""

    def __init__(self, root: Path) -> None:
        self.package = root / "mogradjudge"
        self.benchmarks = root / "benchmarks"
        self.trees = {
            path: ast.parse(path.read_text("utf-8")) for path in sorted(self.package.rglob("*.py"))
        }

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        for tree in self.trees.values():
            yield from (node for node in ast.walk(tree) if isinstance(node, kinds))

    def rows(self) -> list[tuple[str, object, str]]:
        """Give name, number and goal of each figure."""
        lengths = sorted(lines(path) for path in self.trees)
        functions = list(self.nodes(*FUNCTIONS))
        sizes = [node.end_lineno - node.lineno + 1 for node in functions]
        long = sum(size > 40 for size in sizes)
        public = [node for tree in self.trees.values() for node in public_parts(tree)]
        shown = sum(">>>" in (ast.get_docstring(node) or "") for node in public)
        names = [name for node in functions for name in locals_of(node)]
        return [
            ("flat .py files at the top", len(list(self.package.glob("*.py"))), "<= 8"),
            ("floors", floors(self.package), "<= 12"),
            ("files of the package", len(self.trees), "<= 165"),
            ("lines of the package", sum(lengths), "<= 22,000"),
            (
                "lines of the benchmarks",
                sum(map(lines, self.benchmarks.rglob("*.py"))),
                "<= 11,000",
            ),
            ("median lines of a file", int(median(lengths)), "100-160"),
            ("lines of the largest file", lengths[-1], "<= 400"),
            ("functions of more than 40 lines", f"{100 * long / len(sizes):.1f} %", "<= 2 %"),
            ("functions of more than 8 parameters", sum(map(is_wide, functions)), "<= 4"),
            (
                "functions of complexity above 10",
                sum(complexity(f) > 10 for f in functions),
                "<= 5",
            ),
            *((f"locals named {name}", names.count(name), "0") for name in BANNED),
            ("public functions and classes", len(public), ""),
            ("of these with an example", shown, "all"),
        ]


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def is_wide(function: ast.FunctionDef) -> bool:
    arguments = function.args
    return len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs) > 8


def complexity(function: ast.AST) -> int:
    """Count the ways through a function; functions inside of it count for themselves."""
    total, left = 1, list(ast.iter_child_nodes(function))
    while left:
        node = left.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            continue
        left += ast.iter_child_nodes(node)
        match node:
            case ast.BoolOp():
                total += len(node.values) - 1
            case ast.comprehension():
                total += 1 + len(node.ifs)
            case ast.match_case():
                total += 1
            case _ if isinstance(node, BRANCHES):
                total += 1
    return total


def public_parts(tree: ast.Module) -> list[ast.AST]:
    """Give the public functions and classes of a module."""
    parts = [node for node in tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    return [node for node in parts if not node.name.startswith("_")]


def locals_of(function: ast.AST) -> list[str]:
    """Give the names that a function binds, its arguments among them, each once."""
    bound = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return sorted(bound)


def floors(package: Path) -> int:
    """Give the longest chain of imports between the rooms at the top."""
    above: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        text = path.read_text("utf-8")
        imported = re.findall(r"^\s*from mogradjudge\.(\w+)", text, re.MULTILINE)
        above.setdefault(room, set()).update(set(imported) - {room})

    @cache
    def depth(room: str) -> int:
        return 1 + max((depth(other) for other in above.get(room, ())), default=0)

    return max(map(depth, above))


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    for name, number, goal in House(root).rows():
        print(f"{name:40} {number!s:>8}   {goal}")  # noqa: T201 - it is what the script is for
