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
from mogradjudge.files import LineLog
from mogradjudge.interruption import interruptible
from mogradjudge.ledger import Ledger
from mogradjudge.runs import CALLS, RunDirectory

CELLS = "cells.jsonl"
WORK = "work"

Values: TypeAlias = Mapping[str, Any]
"""Plain JSON values by name."""


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
    cells = list(_read(folder / CELLS).values())
    if not cells:
        raise SetupError(f"{folder} holds no measured cells. Run a benchmark with --out first.")
    return cells


@contextmanager
def known_format(cells: Sequence[Cell]) -> Iterator[None]:
    """Tell which cells are to blame where a block that reads them finds a part missing.

    Raises:
        SetupError: If a name is missing: the cells come from a version that kept other parts.
    """
    try:
        yield
    except KeyError as error:
        benchmarks = sorted({cell.benchmark for cell in cells})
        versions = {f"{name} {v}" for cell in cells for name, v in cell.versions.items()}
        raise SetupError(
            f"A cell of {', '.join(benchmarks)} holds no {error}: it has the result format of "
            f"another version (it was measured with {', '.join(sorted(versions))}). Take its line "
            f"out of {CELLS}, or measure with another --out."
        ) from error


class Grid:
    """Measures cells into a folder; one that is there already is given as it is.

    Two processes may take turns at one folder, but only one measures at a time.

    Args:
        folder: Where the cells are kept; made if it is not there.
        setting: What they are measured on, as plain JSON values.
        num_threads: The most calls in flight.
        max_calls: The most calls that all cells of the folder together may take, with those of
            cells that were cut short.

    Raises:
        SetupError: If the folder cannot be made, or holds a damaged cell.
    """

    def __init__(
        self, folder: Path, setting: Values, num_threads: int = 8, max_calls: int | None = None
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"--out must be a folder that can be made, got {folder}: {error.strerror}."
            ) from error
        self.folder, self.setting = folder, setting
        self.num_threads, self.max_calls = num_threads, max_calls
        self._has_measured = False
        self._log = LineLog(folder / CELLS)
        self._cells: dict[str, Cell] = {}
        self._size = 0  # of the file that the cells were read from
        self._update()
        self._tidy()

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
            ledger = Ledger(self._budget(place), self.num_threads)
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
            result, ledger = measure(place, self._budget(place))
            return result, ledger, sum(row["calls"] + row["failed"] for row in ledger)

        return self._cell(benchmark, key, work)

    def _cell(
        self,
        benchmark: str,
        key: Values,
        work: Callable[[Path], tuple[Values, Sequence[Values], int]],
    ) -> Cell:
        identity = identity_of(benchmark, key, self.setting)
        if identity not in self._cells:
            with self._alone():
                self._update()
                if identity not in self._cells:  # nor has another process measured it meanwhile
                    self._measure(self.folder / WORK / identity, benchmark, key, work)
        return self._cells[identity]

    def _measure(
        self,
        place: Path,
        benchmark: str,
        key: Values,
        work: Callable[[Path], tuple[Values, Sequence[Values], int]],
    ) -> None:
        place.parent.mkdir(exist_ok=True)
        started = time.perf_counter()
        try:
            result, ledger, calls = work(place)
        except BudgetExhausted as error:
            raise self._spent() from error
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
        self._has_measured = True
        self._update()
        self._tidy()

    def _update(self) -> None:
        """Read the file again, if it is not as it was: another process may have added to it."""
        path = self.folder / CELLS
        size = path.stat().st_size if path.exists() else 0
        if size != self._size:
            self._cells, self._size = _read(path), size

    def _tidy(self) -> None:
        """Remove the work of cells that are measured: they hold all that was found."""
        for place in (self.folder / WORK).glob("*"):
            if place.name in self._cells:
                shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Whoever slips in between two cells makes us wait, and does not end us.
        timeout = -1 if self._has_measured else 0
        try:
            with FileLock(self.folder / "cells.lock", timeout=timeout):
                yield
        except Timeout as error:
            raise SetupError(
                f"Another process is measuring into {self.folder}. Wait for it, or give another "
                "--out."
            ) from error

    def _budget(self, place: Path) -> Budget:
        if self.max_calls is None:
            return Budget()
        others = [
            each
            for each in (self.folder / WORK).glob("*")
            if each != place and each.name not in self._cells
        ]
        cut_short = sum(_paid(journal) for other in others for journal in other.rglob(CALLS))
        left = self.max_calls - sum(cell.calls for cell in self.cells) - cut_short
        if left < 1:
            raise self._spent()
        return Budget(max_calls=left)

    def _spent(self) -> BudgetExhausted:
        return BudgetExhausted(
            f"--max-calls {self.max_calls}: the cells in {self.folder} have taken them all. "
            "Raise it to go on; nothing that is there is paid again."
        )


def _paid(journal: Path) -> int:
    ledger = Ledger()
    with ledger.kept_in(LineLog(journal)):
        return ledger.calls


def _read(path: Path) -> dict[str, Cell]:
    """Read the whole lines of a file; of equal cells the last one counts."""
    cells: dict[str, Cell] = {}
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):  # cut short by a crash
            break
        try:
            cell = Cell(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise SetupError(
                f"{path} is damaged: line {number} is no cell ({error}). Take that line out, and "
                "the cell is measured again."
            ) from error
        cells[cell.identity] = cell
    return cells
