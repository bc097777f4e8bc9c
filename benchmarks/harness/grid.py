"""A folder of measured cells: none is measured twice.

A cell that was cut short keeps its paid replies until it is measured to its end.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import dspy
from filelock import FileLock, Timeout

from benchmarks.harness.cells import CELLS, Cell, Values, identity_of, whole_lines
from benchmarks.harness.tasks import Means, Task, Unmeasurable
from benchmarks.harness.workers import Workers
from mogradjudge import SetupError
from mogradjudge.errors import BudgetExhausted
from mogradjudge.files import LineLog, to_json, write_text
from mogradjudge.lm.budget import Budget, Purse
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.lm.stop import interruptible
from mogradjudge.optimize.directory import CALLS, RunDirectory
from mogradjudge.optimize.progress import row_progress
from mogradjudge.secrets import redact

WORK, UNFINISHED = "work", "unfinished.json"


class Grid:
    """Measures cells into a folder; one that is there already is given as it is.

    Two processes may take turns at one folder, but only one measures at a time, unless there are
    workers: these share the cells, and each one's folder ends with all of them.

    Args:
        folder: Where the cells are kept; made if it is not there.
        setting: What they are measured on, as plain JSON values.
        num_threads: The most calls in flight.
        max_calls: The most calls that all cells of the folder together may take, with those of
            cells that were cut short; with workers, what all of them send in this setting.
        workers: What this process has in common with others that measure the same.

    Raises:
        SetupError: If the folder cannot be made, or holds a damaged cell.
    """

    def __init__(
        self,
        folder: Path,
        setting: Values,
        num_threads: int = 8,
        max_calls: int | None = None,
        workers: Workers | None = None,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"--out must be a folder that can be made, got {folder}: {error.strerror}."
            ) from error
        self.folder, self.setting = folder, setting
        self.num_threads, self.max_calls, self.workers = num_threads, max_calls, workers
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

    def task(self, benchmark: str, key: Values, measure: Callable[[Ledger], Values]) -> Task:
        """Make a task whose calls are booked in a ledger."""

        def work(means: Means) -> tuple[Values, Sequence[Values]]:
            ledger = Ledger(means.budget, self.num_threads, purse=means.purse)
            question = {"benchmark": benchmark, **self.setting, **key}
            with (
                RunDirectory(means.folder).at_work(question, ledger),
                interruptible(ledger.stop_signal),
            ):
                result = measure(ledger)
            return result, [row.as_dict() for row in ledger.rows]

        return Task(benchmark, key, work)

    def measure(self, tasks: Sequence[Task]) -> list[Cell]:
        """Give the tasks' cells, in their order; those that are not there are measured.

        No task may need the cell of another one: they may be measured in any order. A cell that
        cannot be measured is given without being kept, its result a ``status`` that says why; the
        next start tries it again.

        Raises:
            BudgetExhausted: At the cap on calls.
            SetupError: If another process measures into the folder, or the workers' database
                cannot be reached, or one of them has failed at a cell.
        """
        by_name = {self._identity(task): task for task in tasks}
        with self._noted(tasks), self._progress(by_name) as advance:
            if self.workers is None:
                return [self._given(task, self._identity(task), advance) for task in tasks]
            why_not = self._measured_together(self.workers, by_name, advance)
            return [
                self._cells.get(name) or self._cell(task, {"status": why_not[name]}, [], 0.0)
                for name, task in ((self._identity(task), task) for task in tasks)
            ]

    def few(self, texts: Sequence[dspy.Example]) -> Sequence[dspy.Example]:
        """Give the texts that are really scored: all."""
        return texts

    @contextmanager
    def _noted(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Keep a note of what is missing where the block is cut short."""
        name = tasks[-1].benchmark if tasks else ""
        try:
            yield
        except BaseException as error:
            missing = [task for task in tasks if self._identity(task) not in self._cells]
            self._note(name, _cut_short(name, tasks, missing, error))
            raise
        self._note(name, "")

    def _note(self, name: str, what: str) -> None:
        notes = unfinished_in(self.folder)
        if notes.get(name, "") != what:
            notes = {**notes, name: what} if what else {n: w for n, w in notes.items() if n != name}
            write_text(self.folder / UNFINISHED, to_json(notes) + "\n")

    @contextmanager
    def _progress(self, tasks: Mapping[str, Task]) -> Iterator[Callable[[int], None]]:
        """Show how many cells are done, and their calls; yields who counts one more."""
        known = [self._cells[name] for name in tasks if name in self._cells]
        done, calls, what = len(known), 0, "cells"
        with row_progress(what=what, state=lambda: f"{calls:,} calls") as show:
            show(done, len(tasks))

            def advance(sent: int) -> None:
                nonlocal done, calls
                done, calls = done + 1, calls + sent
                show(done, len(tasks))

            yield advance

    def _measured_together(
        self, workers: Workers, tasks: Mapping[str, Task], advance: Callable[[int], None]
    ) -> dict[str, str]:
        """Keep the tasks' cells, whoever measures them; says of the others why there are none."""

        def measure(purse: Purse, name: str) -> Cell:
            means = Means(self.folder / WORK / name, Budget(), purse)
            cell = self._measured(tasks[name], means)
            advance(cell.calls)
            return cell

        self._update()
        with workers.batch(self.folder, self.setting, list(tasks), self.max_calls) as batch:
            try:
                batch.measure({name: partial(measure, name=name) for name in tasks}, self._cells)
            finally:
                measured = batch.found()
                with self._alone():
                    self._update()
                    new = measured.keys() - self._cells.keys()
                    self._keep([measured[name] for name in tasks if name in new])
            return batch.why_not()

    def _identity(self, task: Task) -> str:
        return identity_of(task.benchmark, task.key, self.setting)

    def _given(self, task: Task, identity: str, advance: Callable[[int], None]) -> Cell:
        if identity not in self._cells:
            with self._alone():
                self._update()
                if identity not in self._cells:  # nor has another process measured it meanwhile
                    place = self.folder / WORK / identity
                    try:
                        cell = self._measured(task, Means(place, self._budget(place)))
                        self._keep([cell])
                        advance(cell.calls)
                    except Unmeasurable as error:
                        return self._cell(task, {"status": str(error)}, [], 0.0)
        return self._cells[identity]

    def _measured(self, task: Task, means: Means) -> Cell:
        means.folder.parent.mkdir(exist_ok=True)
        started = time.perf_counter()
        try:
            result, ledger = task.work(means)
        except BudgetExhausted as error:
            raise self._spent() from error
        return self._cell(task, result, ledger, round(time.perf_counter() - started, 3))

    def _cell(self, task: Task, result: Values, ledger: Sequence[Values], seconds: float) -> Cell:
        return Cell(
            *(task.benchmark, task.key, self.setting, result, ledger),
            calls=sum(row["calls"] + row["failed"] for row in ledger),
            seconds=seconds,
            versions={name: version(name) for name in ("dspy", "mogradjudge")},
        )

    def _keep(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._log.add(vars(cell))
        self._log.close()
        self._has_measured = True
        self._update()
        self._tidy()

    def _update(self) -> None:
        """Read the file again, if it is not as it was: another process may have added to it."""
        path = self.folder / CELLS
        size = path.stat().st_size if path.exists() else 0
        if size != self._size:
            self._cells, self._size = whole_lines(path), size

    def _tidy(self) -> None:
        """Remove the work of cells that are measured: they hold all that was found."""
        for place in (self.folder / WORK).glob("*"):
            if place.name in self._cells:
                shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Whoever slips in between two cells makes us wait, and does not end us.
        timeout = -1 if self._has_measured or self.workers is not None else 0
        try:
            with FileLock(self.folder / "cells.lock", timeout=timeout):
                yield
        except Timeout as error:
            raise SetupError(
                f"Another process is measuring into {self.folder}. Wait for it, or give another "
                "--out."
            ) from error

    def cut_short(self) -> dict[str, list[LedgerRow]]:
        """Give what cells that were cut short have paid, by their identities."""
        places = (self.folder / WORK).glob("*")
        return {place.name: _paid(place) for place in places if place.name not in self._cells}

    def left(self, beside: str = "") -> int | None:
        """Count the calls that the cap leaves, whatever the cell ``beside`` has paid."""
        if self.max_calls is None:
            return None
        others = [rows for name, rows in self.cut_short().items() if name != beside]
        paid = sum(row.calls + row.failed for rows in others for row in rows)
        return self.max_calls - sum(cell.calls for cell in self.cells) - paid

    def _budget(self, place: Path) -> Budget:
        left = self.left(beside=place.name)
        if left is not None and left < 1:
            raise self._spent()
        return Budget(max_calls=left)

    def _spent(self) -> BudgetExhausted:
        who = f"the cells in {self.folder}" if self.workers is None else "the setting's workers"
        return BudgetExhausted(
            f"--max-calls {self.max_calls}: {who} have taken them all. "
            "Raise it to go on; nothing that is there is paid again."
        )


def unfinished_in(folder: Path) -> dict[str, str]:
    """Read what was cut short in a folder, and why, by benchmark."""
    path = folder / UNFINISHED
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _cut_short(
    name: str, tasks: Sequence[Task], missing: Sequence[Task], error: BaseException
) -> str:
    first = (
        ", ".join(f"{part} {value}" for part, value in missing[0].key.items()) if missing else ""
    )
    why = redact(str(error)) or type(error).__name__
    return (
        f"{name}: {len(tasks) - len(missing)} of {len(tasks)} cells are measured; the first that "
        f"is missing: {first}. {why}"
    )


def _paid(place: Path) -> list[LedgerRow]:
    rows: list[LedgerRow] = []
    for journal in place.rglob(CALLS):
        ledger = Ledger()
        with ledger.kept_in(LineLog(journal)):
            rows += ledger.rows
    return rows
