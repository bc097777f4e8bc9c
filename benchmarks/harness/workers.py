"""Cells that any number of processes measure, anywhere: each is a task of a queue in a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import dspy
import optuna
import sqlalchemy as sa
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.tasks import Unmeasurable
from mogradjudge import SetupError
from mogradjudge.errors import BudgetExhausted, RunStopped
from mogradjudge.hashing import digest
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.directory import InUse
from mogradjudge.search.workers.budget import SharedBudget
from mogradjudge.search.workers.existing import TASK, WHY
from mogradjudge.search.workers.queue import Failure, Queue, Task
from mogradjudge.search.workers.shared import Shared
from mogradjudge.search.workers.storage import opened
from mogradjudge.secrets import redact

CELL, UNMEASURABLE = "cell", "unmeasurable"
"""User attributes: the cell as it is kept in a folder; that there can be none."""
HEARTBEAT = 10  # seconds
_GRACE = 3  # heartbeats
_POLL = 0.1  # heartbeats between two looks at what others do

Measure: TypeAlias = Callable[[SharedBudget], Cell]
"""Measures one cell; its calls are taken from the purse too."""


@dataclass(frozen=True)
class Workers:
    """What all processes have in common that measure in one setting.

    A batch of cells is a study of its own, named by its setting and its cells: whoever pulls from
    it knows how all of its tasks are done. What another batch has measured is taken from there. A
    cell tells what its measurement took, so replies are not shared: another process measures a dead
    one's cell from its start, unless both have the same folder.

    Args:
        storage: The database's URL, as Optuna takes it.
        heartbeat: Seconds between two signs of life; a worker that gave none for three times as
            long is dead, and its cell is measured by another one.
    """

    storage: str
    heartbeat: int = HEARTBEAT

    @contextmanager
    def batch(
        self, folder: Path, setting: Values, names: list[str], max_calls: int | None
    ) -> Iterator[Batch]:
        """Open a batch of cells.

        Args:
            folder: Where this process keeps its own cells.
            setting: What they are measured on; the cap holds for all cells of it.
            names: The cells' identities.
            max_calls: The most calls that all workers together may send.

        Raises:
            SetupError: If the database cannot be opened, or goes away.
        """
        ours = f"benchmarks-{digest(setting)[:16]}"
        study = f"{ours}-{digest(sorted(names))[:16]}"
        patience = float(_GRACE * self.heartbeat)
        with _database_stays(), opened(self.storage, folder) as (storage, engine):
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            queue = Queue(
                optuna.create_study(
                    storage=storage,
                    sampler=optuna.samplers.RandomSampler(),
                    study_name=study,
                    load_if_exists=True,
                ),
                storage,
                Shared(engine, study, patience),
            )
            purse = SharedBudget(Shared(engine, ours, patience), Budget(max_calls=max_calls))
            try:
                elsewhere = _cells_of(storage, ours, set(names), besides=study)
                yield Batch(queue, purse, elsewhere, _POLL * self.heartbeat)
            finally:
                purse.flush()


@dataclass(frozen=True)
class Batch:
    """The queue of one batch, and those of its cells that another batch has measured.

    ``poll`` are seconds between two looks at what others do.
    """

    queue: Queue
    purse: SharedBudget
    elsewhere: Mapping[str, Cell]
    poll: float

    def measure(self, tasks: Mapping[str, Measure], known: Mapping[str, Cell]) -> None:
        """Measure until each task is over, here or elsewhere.

        Args:
            tasks: How each cell is measured, by its identity.
            known: Cells that are measured already: no worker measures these, unless one has begun.

        Raises:
            BudgetExhausted: At the cap on calls.
        """
        known = {**self.elsewhere, **known}
        self._fill(tasks, known)
        while self.queue.unfinished():
            trial = self.queue.pull()
            if trial is None:
                time.sleep(self.poll)
                continue
            name = trial.user_attrs[TASK]
            with self.queue.at_work(trial):
                cell = known.get(name) or self._measured(trial, tasks[name])
                if cell is not None:
                    self.queue.finish(trial, [0.0], {CELL: vars(cell)})
            self.purse.flush()

    def found(self) -> dict[str, Cell]:
        """Give the cells that are measured, by identity."""
        return _cells_in(self.queue.trials(TrialState.COMPLETE))

    def why_not(self) -> dict[str, str]:
        """Say of each task that is over without a cell why it could not be measured.

        Raises:
            SetupError: If it failed for another reason.
        """
        missing = {}
        for name, attempts in self._attempts().items():
            if any(each.state == TrialState.COMPLETE for each in attempts):
                continue
            said = attempts[-1].user_attrs
            if UNMEASURABLE not in said:
                raise SetupError(
                    f"Cell {name} was given up after {len(attempts)} attempts, the last one ended "
                    f"with: {said.get(WHY, 'the worker died')}. The same command tries it again."
                )
            missing[name] = str(said[WHY])
        return missing

    def _fill(self, tasks: Mapping[str, Measure], known: Mapping[str, Cell]) -> None:
        """Queue what nobody has queued, and what has failed before this process was started."""
        for name in tasks:
            if name in known:
                self.queue.add_done(Task(name), [0.0], {CELL: vars(known[name])})
        self.queue.fill([Task(name) for name in tasks], failed=True)

    def _measured(self, trial: Trial, measure: Measure) -> Cell | None:
        """Measure a cell; None, and the task is over, where there is nothing to measure."""
        try:
            return measure(self.purse)
        except Unmeasurable as error:
            self.queue.give_back(trial, "error", str(error), {UNMEASURABLE: True})
            return None
        except BaseException as error:
            why = redact(f"{type(error).__name__}: {error}")
            self.queue.give_back(trial, _failure(error), why)
            raise

    def _attempts(self) -> dict[str, list[FrozenTrial]]:
        found: dict[str, list[FrozenTrial]] = {}
        for trial in self.queue.trials():
            found.setdefault(trial.user_attrs[TASK], []).append(trial)
        return found


def _cells_of(storage: BaseStorage, ours: str, names: set[str], besides: str) -> dict[str, Cell]:
    """Give the cells of these names that other studies of the setting hold."""
    found: dict[str, Cell] = {}
    for study in optuna.get_all_study_names(storage):
        if study.startswith(ours) and study != besides:
            trials = optuna.load_study(study_name=study, storage=storage).get_trials(
                deepcopy=False, states=(TrialState.COMPLETE,)
            )
            found |= _cells_in([each for each in trials if each.user_attrs[TASK] in names])
    return found


def _cells_in(trials: Sequence[FrozenTrial]) -> dict[str, Cell]:
    return {each.user_attrs[TASK]: Cell(**each.user_attrs[CELL]) for each in trials}


def _failure(error: BaseException) -> Failure:
    match error:
        case BudgetExhausted():
            return "budget"
        case RunStopped() | KeyboardInterrupt() | InUse():
            return "interrupted"
        case dspy.LMError():
            return "provider"
    return "error"


@contextmanager
def _database_stays() -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise SetupError(
            f"The database of --storage cannot be reached ({type(error).__name__}). Start again "
            "when it is there; nothing that is in it is paid again."
        ) from error


storage_option = click.option(
    "--storage",
    metavar="URL",
    help="A database, as postgresql://user@host/name: whoever is started with it and the same "
    "options, anywhere, measures a part of the cells.",
)


def workers_of(storage: str | None) -> Workers | None:
    """Give what the processes share that name a database; None where none is named."""
    return None if storage is None else Workers(storage)
