"""Tasks that any number of workers pull: each is an enqueued trial of an Optuna study.

A worker that works on a task gives signs of life. One that gives none is dead, and its task is
queued again; so is one that failed on the provider, was interrupted or ran out of budget.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from mogradjudge.search.workers.shared import Shared
from mogradjudge.secrets import redact

logger = logging.getLogger(__name__)

TASK, FAILED, WHY, WORKER, AFRESH = "task", "failed", "why", "worker", "afresh"
"""User attributes: the task's name, how an attempt at it failed and why, who made it, and whether
the attempts before it count no more."""
MOST_ATTEMPTS = 3
"""Attempts at a task that may end with a dead worker or a provider that is down."""

Failure: TypeAlias = Literal["died", "provider", "error", "interrupted", "budget"]
_COUNTED: tuple[Failure, ...] = ("died", "provider")
_AGAIN: tuple[Failure, ...] = (*_COUNTED, "interrupted", "budget")
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Task:
    """Something to do, known by its name; ``params`` are the parameters that are not sampled."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


class Queue:
    """The tasks of one study.

    Args:
        study: The study; its storage must keep signs of life (`storage.opened` sees to it), or the
            tasks of dead workers stay with them.
        storage: The study's storage.
        shared: The study's tables.
        sampler: Gives the sampler for a trial's number, so that what is sampled depends on the
            trials that are over and not on who asks. None leaves the study's.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        shared: Shared,
        sampler: Callable[[int], BaseSampler] | None = None,
    ) -> None:
        self.study, self.storage, self.shared, self.sampler = study, storage, shared, sampler

    @property
    def sees_the_dead(self) -> bool:
        """Whether the storage keeps signs of life; without them a dead worker's task is lost."""
        return _interval(self.storage) is not None

    def fill(self, tasks: Sequence[Task]) -> None:
        """Queue the tasks that nobody has queued yet, and those that were given up.

        A new start has no part in it that earlier ones died or had a provider that was down.
        """
        with self.shared.alone():
            for attempts in self._attempts().values():
                if _is_given_up(attempts):
                    self._queue_again(attempts, {AFRESH: True})
            known = {each.user_attrs.get(TASK) for each in self.trials()}
            for task in tasks:
                if task.name not in known:
                    self.study.enqueue_trial(dict(task.params), user_attrs={TASK: task.name})

    def pull(self) -> Trial | None:
        """Take the next task; None if none is waiting.

        A task that is not there may still come back: `unfinished` says how many are at work.
        """
        with self.shared.alone():
            self._requeue()
            waiting = self.trials(TrialState.WAITING)
            if not waiting:
                return None
            # Before the task is taken: a worker that dies in between must be seen as dead.
            _give_sign(self.storage, waiting[0]._trial_id)
            if self.sampler is not None:
                self.study.sampler = self.sampler(waiting[0].number)
            with _quiet():
                trial = self.study.ask()
        if TASK not in trial.user_attrs:  # somebody has queued a trial of their own
            trial.set_user_attr(TASK, f"extra-{trial.number}")
        trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
        return trial

    @contextmanager
    def at_work(
        self, trial: Trial, renew: Callable[[], None] = lambda: None
    ) -> Iterator[threading.Event]:
        """Give signs of life while the block runs; the event tells that the task was taken away.

        ``renew`` is called with each of them.
        """
        over, lost = threading.Event(), threading.Event()
        interval = _interval(self.storage)
        if interval is None:
            yield lost
            return

        def live() -> None:
            while not over.wait(interval):
                try:
                    _give_sign(self.storage, trial._trial_id)
                    renew()
                    if self.storage.get_trial(trial._trial_id).state.is_finished():
                        lost.set()
                except Exception as error:  # noqa: BLE001 - a database that is away may come back
                    logger.warning("The study's storage cannot be reached: %s", error)
            self.storage.remove_session()  # it is the thread's own

        thread = threading.Thread(target=live, name="signs of life", daemon=True)
        thread.start()
        try:
            yield lost
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
        return self._end(trial, state, values, attributes)

    def give_back(
        self,
        trial: Trial,
        failure: Failure,
        why: str,
        attributes: Mapping[str, Any] = MappingProxyType({}),
    ) -> bool:
        """End an attempt that did not bring the task to its end."""
        told = {**attributes, FAILED: failure, WHY: redact(why)}
        return self._end(trial, TrialState.FAIL, None, told)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Give the study's trials, attempts that failed among them, by number."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def unfinished(self) -> int:
        """Count the tasks that wait or are at work, here or elsewhere."""
        return sum(not _is_over(attempts) for attempts in self._attempts().values())

    def given_up(self) -> int:
        """Count the tasks that died or met a provider that was down too often; `fill` revives."""
        return sum(_is_given_up(attempts) for attempts in self._attempts().values())

    def _end(
        self,
        trial: Trial,
        state: TrialState,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
    ) -> bool:
        with self.shared.alone():
            if self.storage.get_trial(trial._trial_id).state.is_finished():
                return False
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial, values, state)
            return True

    def _requeue(self) -> None:
        with _quiet():
            fail_stale_trials(self.study)
        for attempts in self._attempts().values():
            if attempts[-1].state == TrialState.FAIL and not _is_over(attempts):
                self._queue_again(attempts, {})

    def _queue_again(self, attempts: Sequence[FrozenTrial], told: Mapping[str, Any]) -> None:
        last = attempts[-1]
        kept = {TASK: last.user_attrs[TASK], "attempt": len(attempts) + 1, **told}
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=last.params,
                distributions=last.distributions,
                user_attrs=kept,
                system_attrs=last.system_attrs,
                intermediate_values=last.intermediate_values,
            )
        )

    def _attempts(self) -> dict[str, list[FrozenTrial]]:
        found: dict[str, list[FrozenTrial]] = {}
        for trial in self.trials():
            if TASK in trial.user_attrs:
                found.setdefault(trial.user_attrs[TASK], []).append(trial)
        return found


def failure_of(trial: FrozenTrial) -> Failure:
    """Say why an attempt failed; a dead worker could not say."""
    failure: Failure = trial.user_attrs.get(FAILED, "died")
    return failure


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # since 2021
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used with")
        yield


def _is_given_up(attempts: Sequence[FrozenTrial]) -> bool:
    done = any(each.state in _DONE for each in attempts)
    return not done and _is_over(attempts) and failure_of(attempts[-1]) in _AGAIN


def _is_over(attempts: Sequence[FrozenTrial]) -> bool:
    if any(each.state in _DONE for each in attempts):
        return True
    starts = [place for place, each in enumerate(attempts) if AFRESH in each.user_attrs]
    attempts = attempts[starts[-1] :] if starts else attempts
    failures = [failure_of(each) for each in attempts if each.state == TrialState.FAIL]
    if len(failures) < len(attempts):
        return False
    counted = sum(each in _COUNTED for each in failures)
    return failures[-1] not in _AGAIN or counted >= MOST_ATTEMPTS


def _interval(storage: BaseStorage) -> int | None:
    get = getattr(storage, "get_heartbeat_interval", None)
    interval: int | None = None if get is None else get()
    return interval


def _give_sign(storage: BaseStorage, trial_id: int) -> None:
    if _interval(storage) is not None:
        storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]
