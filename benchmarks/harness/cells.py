"""What a cell holds, and the file that cells are kept in: one JSON line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mogradjudge import SetupError
from mogradjudge.hashing import digest

CELLS = "cells.jsonl"

Values: TypeAlias = Mapping[str, Any]
"""Plain JSON values by name."""

_KINDS = {**dict.fromkeys(("key", "setting", "result", "versions"), dict), "ledger": list}


@dataclass(frozen=True)
class Cell:
    """One measurement.

    ``key`` tells it from the other cells of its benchmark, ``setting`` names what it was measured
    on: models, data, rubric. ``ledger`` holds what it paid, by role and criteria, ``calls`` counts
    all that were sent, and ``seconds`` are those of its last start.
    """

    benchmark: str
    key: Values
    setting: Values
    result: Values
    ledger: Sequence[Values]
    calls: int
    seconds: float
    versions: Mapping[str, str]

    @property
    def identity(self) -> str:
        """Name what was asked."""
        return identity_of(self.benchmark, self.key, self.setting)


def identity_of(benchmark: str, key: Values, setting: Values) -> str:
    """Name a cell by what it asks; the versions it was measured with are not part of it."""
    return digest([benchmark, key, setting])[:16]


def read_cells(folder: Path) -> list[Cell]:
    """Read what a folder holds.

    Raises:
        SetupError: If it holds none, or one that is damaged.
    """
    cells = list(whole_lines(folder / CELLS).values())
    if not cells:
        raise SetupError(f"{folder} holds no measured cells. Run a benchmark with --out first.")
    return cells


def whole_lines(path: Path) -> dict[str, Cell]:
    """Read the whole lines of a file, by the cells' identities; of equal cells the last counts.

    Raises:
        SetupError: If a line is no cell.
    """
    cells: dict[str, Cell] = {}
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):  # cut short by a crash
            break
        try:
            cell = _cell(json.loads(line))
        except (TypeError, ValueError) as error:
            raise SetupError(
                f"{path} is damaged: line {number} is no cell ({error}). Take that line out, and "
                "the cell is measured again."
            ) from error
        cells[cell.identity] = cell
    return cells


def _cell(values: Values) -> Cell:
    cell = Cell(**values)
    for name, kind in _KINDS.items():
        if not isinstance(getattr(cell, name), kind):
            raise TypeError(f"{name} is no {'object' if kind is dict else 'list'}")
    return cell


@contextmanager
def known_format(cells: Sequence[Cell]) -> Iterator[None]:
    """Tell which cells are to blame where a block that reads them finds a part missing.

    Raises:
        SetupError: If a part is missing or of another type: the cells were edited, or come from a
            version that kept other parts.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        benchmarks = sorted({cell.benchmark for cell in cells})
        versions = {f"{name} {v}" for cell in cells for name, v in cell.versions.items()}
        raise SetupError(
            f"A cell of {', '.join(benchmarks)} {_lack(error)}: it was edited, or has the result "
            f"format of another version ({', '.join(sorted(versions))}). Take its line "
            f"out of {CELLS}, or measure with another --out."
        ) from error


def _lack(error: Exception) -> str:
    return f"holds no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
