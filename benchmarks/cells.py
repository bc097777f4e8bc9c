"""A folder of measured cells: one JSON line for each, and none is measured twice.

A cell that was cut short keeps its paid replies until it is measured to its end.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout

from mogradjudge import SetupError
from mogradjudge.budget import Budget
from mogradjudge.digests import digest
from mogradjudge.errors import BudgetExhausted
from mogradjudge.files import LineLog, to_json
from mogradjudge.interruption import interruptible
from mogradjudge.ledger import Ledger
from mogradjudge.runs import RunDirectory

CELLS = "cells.jsonl"
WORK = "work"

Values: TypeAlias = Mapping[str, Any]
"""Plain JSON values by name."""


@dataclass(frozen=True)
class Cell:
    """One measurement.

    ``key`` tells it from the other cells of its benchmark, ``setting`` names what it was measured
    on: models, data, rubric. ``ledger`` holds what it paid, by role and criteria.
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

    def sum_of(self, column: str) -> float:
        """Add up a column of the ledger; a price that is unknown counts as 0."""
        return float(sum(row[column] or 0 for row in self.ledger))


def identity_of(benchmark: str, key: Values, setting: Values) -> str:
    """Name a cell by what it asks; the versions it was measured with are not part of it."""
    return digest([benchmark, key, setting])[:16]


def read_cells(folder: Path) -> list[Cell]:
    """Read what a folder holds.

    Raises:
        SetupError: If it holds none, or one that is damaged.
    """
    cells = list(_read(folder / CELLS))
    if not cells:
        raise SetupError(f"{folder} holds no measured cells. Run a benchmark with --out first.")
    return cells


class Grid:
    """Measures cells into a folder; one that is there already is given as it is.

    Args:
        folder: Where the cells are kept; made if it is not there.
        setting: What they are measured on, as plain JSON values.
        num_threads: The most calls in flight.
        max_calls: The most calls that all cells of the folder together may take.
    """

    def __init__(
        self, folder: Path, setting: Values, num_threads: int = 8, max_calls: int | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.setting = folder, setting
        self.num_threads, self.max_calls = num_threads, max_calls
        self._log = LineLog(folder / CELLS)
        self._cells = {cell.identity: cell for cell in _read(folder / CELLS)}

    @property
    def cells(self) -> list[Cell]:
        """All cells of the folder, in the order in which they were measured."""
        return list(self._cells.values())

    def cell(self, benchmark: str, key: Values, measure: Callable[[Ledger], Values]) -> Cell:
        """Give a cell; measure it, its calls booked in the ledger, if it is not there.

        Raises:
            BudgetExhausted: At the folder's cap on calls.
        """

        def work(place: Path) -> tuple[Values, Sequence[Values], int]:
            ledger = Ledger(self._budget(), self.num_threads)
            asked = {"benchmark": benchmark, **self.setting, **key}
            with RunDirectory(place).at_work(asked, ledger), interruptible(ledger.brake):
                result = measure(ledger)
            return result, [row.as_dict() for row in ledger.rows], ledger.calls

        return self._cell(benchmark, key, work)

    def run(
        self,
        benchmark: str,
        key: Values,
        measure: Callable[[Path, Budget], tuple[Values, Sequence[Values]]],
    ) -> Cell:
        """Give a cell that is a whole run: it keeps its own folder, and tells what it paid."""

        def work(place: Path) -> tuple[Values, Sequence[Values], int]:
            result, ledger = measure(place, self._budget())
            return result, ledger, sum(row["calls"] + row["failed"] for row in ledger)

        return self._cell(benchmark, key, work)

    def _cell(
        self,
        benchmark: str,
        key: Values,
        work: Callable[[Path], tuple[Values, Sequence[Values], int]],
    ) -> Cell:
        identity = identity_of(benchmark, key, self.setting)
        if identity in self._cells:
            return self._cells[identity]
        place = self.folder / WORK / identity
        place.parent.mkdir(exist_ok=True)
        with self._alone():
            started = time.perf_counter()
            result, ledger, calls = work(place)
            seconds = round(time.perf_counter() - started, 3)
            versions = {name: version(name) for name in ("dspy", "mogradjudge")}
            entry: dict[str, Any] = {
                "benchmark": benchmark,
                "key": key,
                "setting": self.setting,
                "result": result,
            }
            entry |= {"ledger": ledger, "calls": calls, "seconds": seconds, "versions": versions}
            self._log.add(entry)
            self._log.close()
        shutil.rmtree(place, ignore_errors=True)  # the cell holds all that was found
        self._cells[identity] = Cell(**json.loads(to_json(entry)))
        return self._cells[identity]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with FileLock(self.folder / "cells.lock", timeout=0):
                yield
        except Timeout as error:
            raise SetupError(
                f"Another process is measuring into {self.folder}. Wait for it, or give another "
                "--out."
            ) from error

    def _budget(self) -> Budget:
        if self.max_calls is None:
            return Budget()
        left = self.max_calls - sum(cell.calls for cell in self.cells)
        if left < 1:
            raise BudgetExhausted(
                f"--max-calls {self.max_calls}: the cells in {self.folder} have taken them all. "
                "Raise it to go on; nothing that is there is measured again."
            )
        return Budget(max_calls=left)


def _read(path: Path) -> Iterator[Cell]:
    try:
        for entry in LineLog(path).entries():
            yield Cell(**entry)
    except TypeError as error:
        raise SetupError(f"{path} is damaged: {error}. Give another folder.") from error
