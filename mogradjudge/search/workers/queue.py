"""Tasks that any number of workers pull: one table in the study's database.

An attempt at a task is a trial of the Optuna study, which begins when a worker is free. The worker
renews its hold on the task as long as it works. One that has not done so for a while is dead, and
its task comes back; so does one that failed on the provider, was interrupted or ran out of budget.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import optuna
import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest
from mogradjudge.search.draws import Draws
from mogradjudge.search.workers.database import TASKS, reason
from mogradjudge.search.workers.existing import EXTRA, FAILED, TASK, WHY, OwnTrials, check_version
from mogradjudge.search.workers.shared import Shared
from mogradjudge.secrets import redact

logger = logging.getLogger(__name__)

WORKER = "worker"
"""User attribute: who made an attempt at a task."""
MOST_ATTEMPTS = 3
"""Attempts at a task that may end with a dead worker or a provider that is down."""

Failure: TypeAlias = Literal["died", "provider", "error", "interrupted", "budget"]
_COUNTED: tuple[Failure, ...] = ("died", "provider")
_AGAIN: tuple[Failure, ...] = (*_COUNTED, "interrupted", "budget")
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)

_WAITING, _RUNNING, _OVER, _FAILED, _GIVEN_UP = "waiting", "running", "over", "failed", "given up"
"""States of a task: one that failed by an error of its own is not tried again, and one that was
given up is tried again at the next start."""
_TO_DRAW = b"{}"  # the parameters of a task whose trial draws all of them
_SIGNS = 3  # of life, in the time after which a worker without one is dead


@dataclass(frozen=True)
class Task:
    """Something to do, known by its name; ``params`` are the parameters that are not sampled."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


class Queue:
    """The tasks of one study.

    Args:
        study: The study.
        storage: The study's storage.
        shared: The study's tables; a worker that gave no sign of life for ``shared.patience``
            seconds is dead.
        draws: Draws the parameters of trials that are not given, so that what is drawn depends
            on the trials before and not on who asks. None leaves that to the study's sampler.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        shared: Shared,
        draws: Draws | None = None,
    ) -> None:
        self.study = OwnTrials(study.study_name, study._storage, study.sampler, study.pruner)
        self.storage, self.shared, self.draws = storage, shared, draws
        self._database = shared.database
        self._mine = TASKS.c.study == shared.study

    def fill(self, tasks: Sequence[Task], *, failed: bool = False) -> None:
        """Queue the tasks that nobody has queued yet, and those that were given up.

        Failures of earlier starts (a dead worker, a provider that was down) do not count.

        Args:
            tasks: The tasks, in their order.
            failed: Whether tasks that ended with an error of their own are queued again, too.

        Raises:
            SetupError: If an earlier version has made the study.
        """
        with self.shared.alone() as connection:
            check_version(connection, self.study)
            self._forget_lost_trials(connection)
            self._fail_unheld_trials(connection)
            known = set(connection.execute(sa.select(TASKS.c.name).where(self._mine)).scalars())
            again = TASKS.c.state.in_((_GIVEN_UP, _FAILED) if failed else (_GIVEN_UP,))
            afresh = {"state": _WAITING, "failures": 0, "since": self._database.clock()}
            connection.execute(sa.update(TASKS).where(self._mine, again).values(afresh))
            rows = [
                self._row(task, place, _WAITING)
                for place, task in enumerate(tasks)
                if task.name not in known
            ]
            if rows:
                connection.execute(sa.insert(TASKS).values(since=self._database.clock()), rows)

    def add_done(self, task: Task, values: Sequence[float], attributes: Mapping[str, Any]) -> None:
        """Enter a task that is done already; one that is queued stays as it is."""
        with self.shared.alone() as connection:
            there = sa.select(TASKS.c.name).where(self._named(task.name))
            if connection.execute(there).first() is None:
                row = self._row(task, 0, _OVER)
                connection.execute(sa.insert(TASKS).values(since=self._database.clock(), **row))
                done = {TASK: task.name, **attributes}
                self.study.add_trial(optuna.create_trial(values=list(values), user_attrs=done))

    def pull(self) -> Trial | None:
        """Take the next task; None if none is waiting.

        A task that is not there may still come back: `unfinished` says how many are at work.
        """
        return self._database.retry(self._pull)

    def _pull(self) -> Trial | None:
        with self.shared.alone() as connection:
            while (row := self._next(connection)) is not None:
                if (trial := self._take(connection, row)) is not None:
                    return trial
            return self._strangers(connection)

    @contextmanager
    def at_work(
        self, trial: Trial, renew: Callable[[], None] = lambda: None
    ) -> Iterator[threading.Event]:
        """Give signs of life while the block runs; the event tells that the task was taken away.

        ``renew`` is called with each of them.
        """
        over, lost = threading.Event(), threading.Event()

        def live() -> None:
            while not over.wait(self.shared.patience / _SIGNS):
                try:
                    if not self._settle(trial, {"since": self._database.clock()}):
                        lost.set()
                    renew()
                except Exception as error:  # noqa: BLE001 - a database that is away may come back
                    logger.warning("The study's storage cannot be reached: %s", reason(error))

        thread = threading.Thread(target=live, name="signs of life", daemon=True)
        thread.start()
        try:
            yield lost
        except KeyboardInterrupt:
            self._database.hurry()
            raise
        finally:
            over.set()
            thread.join()

    def finish(
        self, trial: Trial, values: Sequence[float] | None, attributes: Mapping[str, Any]
    ) -> bool:
        """End a task; ``values`` of None mean that it was pruned.

        Returns:
            False, and nothing is kept, if it was taken away in the meantime.
        """
        state = TrialState.PRUNED if values is None else TrialState.COMPLETE
        return self._end(trial, state, values, attributes) and self._settle(trial, {"state": _OVER})

    def give_back(
        self,
        trial: Trial,
        failure: Failure,
        why: str,
        attributes: Mapping[str, Any] = MappingProxyType({}),
    ) -> bool:
        """End an attempt that did not bring the task to its end."""
        reasons = {**attributes, FAILED: failure, WHY: redact(why)}
        if not self._end(trial, TrialState.FAIL, None, reasons):
            return False
        row = self._database.rows(
            sa.select(TASKS.c.failures).where(self._named(trial.user_attrs[TASK]))
        )
        return self._settle(trial, self._after_failure(failure, row[0].failures))

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Give the study's trials, attempts that failed among them, by number."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def waiting(self) -> list[str]:
        """Name the tasks that wait, in their order."""
        names = sa.select(TASKS.c.name).where(self._mine, TASKS.c.state == _WAITING)
        return [
            row.name for row in self._database.rows(names.order_by(TASKS.c.since, TASKS.c.place))
        ]

    def size(self) -> int:
        """Count the tasks."""
        return self._counts().total()

    def unfinished(self) -> int:
        """Count the tasks that wait or are at work, here or elsewhere."""
        counts = self._counts()
        return counts[_WAITING] + counts[_RUNNING]

    def running(self) -> int:
        """Count the tasks that are at work, here or elsewhere."""
        return self._counts()[_RUNNING]

    def given_up(self) -> int:
        """Count the tasks that failed too often by worker or provider; `fill` retries them."""
        return self._counts()[_GIVEN_UP]

    def stage(self) -> str:
        """Give a digest that changes when an attempt begins or a task changes its state."""
        attempts = sa.select(sa.func.sum(TASKS.c.attempts)).where(self._mine)
        begun = self._database.rows(attempts)[0][0]
        return digest([begun, sorted(self._counts().items())])

    def _forget_lost_trials(self, connection: sa.Connection) -> None:
        """Begin anew where the trials were in a memory that is gone."""
        begun = sa.select(TASKS.c.trial).where(self._mine, TASKS.c.trial.is_not(None)).limit(1)
        identity = connection.execute(begun).scalar()
        if identity is None:
            return
        try:
            self.storage.get_trial(identity)
        except KeyError:
            new = {"state": _WAITING, "trial": None, "attempts": 0, "failures": 0}
            connection.execute(sa.update(TASKS).where(self._mine).values(new))

    def _fail_unheld_trials(self, connection: sa.Connection) -> None:
        """Fail the trials whose worker died before it had noted that it holds their tasks."""
        mine = sa.select(TASKS.c.trial).where(self._mine, TASKS.c.state == _RUNNING)
        held = set(connection.execute(mine).scalars())
        for trial in self._attempts_in(TrialState.RUNNING):
            if TASK in trial.user_attrs and trial._trial_id not in held:
                self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _attempts_in(self, state: TrialState) -> list[FrozenTrial]:
        """Read the trials in a state, and no others as `trials` does."""
        study = self.study._study_id
        return self.storage.get_all_trials(study, deepcopy=False, states=(state,))

    def _row(self, task: Task, place: int, state: str) -> dict[str, Any]:
        params = json.dumps(dict(task.params)).encode()
        names = {"study": self.shared.study, "name": task.name, "place": place, "params": params}
        return {**names, "state": state, "trial": None, "attempts": 0, "failures": 0}

    def _next(self, connection: sa.Connection) -> Any:
        """Give the row of the task whose turn it is, or one of a worker that is dead."""
        rows = sa.select(TASKS).where(self._mine).order_by(TASKS.c.since, TASKS.c.place).limit(1)
        waiting = rows.where(TASKS.c.state == _WAITING)
        dead = TASKS.c.since < self._database.clock() - self.shared.patience
        held_by_the_dead = rows.where(TASKS.c.state == _RUNNING, dead)
        return connection.execute(waiting).first() or connection.execute(held_by_the_dead).first()

    def _take(self, connection: sa.Connection, row: Any) -> Trial | None:
        """Begin a trial of a row's task; None if there is nothing to begin."""
        if row.state == _RUNNING:
            # What its dead worker has left is not there to be pulled, or waits now.
            self._change(connection, row.name, self._after_death(row))
            return None
        is_new = row.trial is None and row.params == _TO_DRAW
        if is_new and self.draws is not None and self.draws.is_exhausted(self.study):
            new = TASKS.c.trial.is_(None) & (TASKS.c.params == _TO_DRAW)
            connection.execute(sa.delete(TASKS).where(self._mine, new))
            return None
        trial = self._begin(row)
        state = _RUNNING if self._draw(trial) else _FAILED
        attempt = {"trial": trial._trial_id, "attempts": row.attempts + 1}
        self._change(connection, row.name, {"state": state, **attempt})
        return trial if state == _RUNNING else None

    def _draw(self, trial: Trial) -> bool:
        """Draw a trial's parameters; False, and it has failed, if the space has no such trial."""
        if self.draws is None:
            return True
        try:
            self.draws.draw(trial)
        except SetupError as error:
            self._end(trial, TrialState.FAIL, None, {FAILED: "error", WHY: redact(str(error))})
            return False
        return True

    def _begin(self, row: Any) -> Trial:
        """Begin a trial of the study; one that was begun before has the parameters that it had."""
        who = {TASK: row.name, WORKER: f"{socket.gethostname()}:{os.getpid()}"}
        if row.trial is None:
            # As `Study.enqueue_trial` fixes parameters, without a trial that all workers read.
            template = optuna.create_trial(
                state=TrialState.RUNNING,
                user_attrs=who,
                system_attrs={"fixed_params": json.loads(row.params)},
            )
        else:
            last = self.storage.get_trial(row.trial)
            template = optuna.create_trial(
                state=TrialState.RUNNING,
                params=last.params,
                distributions=last.distributions,
                user_attrs={**who, "attempt": row.attempts + 1},
                system_attrs=last.system_attrs,
                intermediate_values=last.intermediate_values,
            )
        if self.draws is not None:
            self.draws.prepare(self.study, row.place)
        self.study._thread_local.cached_all_trials = None  # as `Study.ask` does
        identity = self.study._storage.create_new_trial(self.study._study_id, template)
        return Trial(self.study, identity)

    def _strangers(self, connection: sa.Connection) -> Trial | None:
        """Take a trial that somebody else has queued with Optuna; None if there is none."""
        for queued in self._attempts_in(TrialState.WAITING):
            self.trials()  # Optuna must have read a trial that it is asked to change
            if self.draws is not None:
                self.draws.prepare(self.study, queued.number)
            self.study._storage.set_trial_state_values(queued._trial_id, TrialState.RUNNING)
            trial = Trial(self.study, queued._trial_id)
            name = f"{EXTRA}{trial.number}"
            trial.set_user_attr(TASK, name)
            trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
            state = _RUNNING if self._draw(trial) else _FAILED
            row = self._row(Task(name), trial.number, state)
            hold = {"trial": trial._trial_id, "attempts": 1, "since": self._database.clock()}
            connection.execute(sa.insert(TASKS).values({**row, **hold}))
            if state == _RUNNING:
                return trial
        return None

    def _after_death(self, row: Any) -> dict[str, Any]:
        """End the attempt of a worker that is dead; gives what its task is then."""
        with suppress(UpdateFinishedTrialError):  # it may have died just after the trial's end
            self.storage.set_trial_state_values(row.trial, TrialState.FAIL)
        last = self.storage.get_trial(row.trial)
        if last.state in _DONE:
            return {"state": _OVER}
        return self._after_failure(failure_of(last), row.failures)

    def _after_failure(self, failure: Failure, failures: int) -> dict[str, Any]:
        """Give what a task is after an attempt that failed."""
        if failure not in _AGAIN:
            return {"state": _FAILED}
        failures += failure in _COUNTED
        state = _GIVEN_UP if failure in _COUNTED and failures >= MOST_ATTEMPTS else _WAITING
        return {"state": state, "failures": failures, "since": self._database.clock()}

    def _end(
        self,
        trial: Trial,
        state: TrialState,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
    ) -> bool:
        """End a trial; False if another worker has ended it."""
        try:
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial, values, state)
        except (UpdateFinishedTrialError, ValueError) as error:
            ended = self.storage.get_trial(trial._trial_id).state.is_finished()
            if isinstance(error, ValueError) and not ended:
                raise
            return False
        return True

    def _settle(self, trial: Trial, changes: Mapping[str, Any]) -> bool:
        """Change the task of a trial; False if it is not this trial's any more."""
        mine = self._named(trial.user_attrs[TASK]) & (TASKS.c.state == _RUNNING)
        row = sa.update(TASKS).where(mine, TASKS.c.trial == trial._trial_id)
        return self._database.change(row.values(changes)) == 1

    def _change(self, connection: sa.Connection, name: str, changes: Mapping[str, Any]) -> None:
        now = {"since": self._database.clock()}
        connection.execute(sa.update(TASKS).where(self._named(name)).values({**now, **changes}))

    def _counts(self) -> Counter[str]:
        counts = sa.select(TASKS.c.state, sa.func.count()).where(self._mine)
        return Counter(
            {row[0]: row[1] for row in self._database.rows(counts.group_by(TASKS.c.state))}
        )

    def _named(self, name: str) -> sa.ColumnElement[bool]:
        return self._mine & (TASKS.c.name == name)


def failure_of(trial: FrozenTrial) -> Failure:
    """Say why an attempt failed; a dead worker could not say."""
    failure: Failure = trial.user_attrs.get(FAILED, "died")
    return failure
