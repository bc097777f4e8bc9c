"""A worker of a search, which runs trials until none is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import dspy
import optuna
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial

from mogradjudge.errors import BudgetExhausted, ReplyError, ResourceError, RunStopped, SetupError
from mogradjudge.optimize.directory import Pool
from mogradjudge.search.job import Job, reserved_calls
from mogradjudge.search.selection import RivalFor
from mogradjudge.search.trial import Outcome, TakenAway, TrialPurse, Unfinished, run_trial, spent_by
from mogradjudge.search.workers.budget import SharedBudget
from mogradjudge.search.workers.database import reason
from mogradjudge.search.workers.existing import TASK
from mogradjudge.search.workers.queue import Failure, Queue
from mogradjudge.search.workers.shared import SCORES, Shared

logger = logging.getLogger(__name__)

SearchStop: TypeAlias = Literal["trials", "space", "budget", "interrupted", "failed"]
"""Why a search ended. After ``"space"`` each configuration of the space was tried. After
``"failed"``, the next start tries the trials again that died too often or whose provider was
down."""

_MOST_IN_A_ROW = 2  # trials that the provider failed
# A missing or empty account is no trial's fault, nor is a full disk.
_UNUSABLE = (dspy.LMAuthError, dspy.LMBillingError, dspy.LMConfigurationError, ResourceError)
_LOOK_EVERY = 0.5  # seconds between two looks at what other workers do


@dataclass
class Worker:
    """Runs trials of a job.

    Args:
        job: What the trials work on.
        queue: Where they are.
        shared: What workers share.
        deadline: When the search ends, on the monotonic clock; None for no end.
        prunes: Whether the study has a pruner.
        rival_for: Gives the trial that another one races against on the selection texts.
    """

    job: Job
    queue: Queue
    shared: Shared
    deadline: float | None = None
    prunes: bool = False
    rival_for: RivalFor = lambda costs: None

    def __post_init__(self) -> None:
        budget, reserved = self.job.budget, reserved_calls(self.job)
        if budget.max_calls is not None:
            budget = replace(budget, max_calls=budget.max_calls - reserved)
        self.purse = SharedBudget(self.shared, budget)
        self._failures = 0

    def work(self) -> SearchStop:
        """Work until all trials are over, here or elsewhere.

        Raises:
            dspy.LMError: If the provider refuses a call for good, or fails trial after trial. Paid
                replies are kept, and the trials are queued again.
        """
        try:
            while (trial := self.queue.pull()) is not None or self._others_work():
                if trial is not None and (stop := self._do(trial)):
                    return stop
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            self._flush()
        if self.queue.given_up():
            return "failed"
        return "budget" if self._late() and self.queue.unfinished() else "trials"

    def _others_work(self) -> bool:
        """Wait a little for other workers' trials; return False if there are none."""
        left = self.queue.unfinished()
        if not left or self._late():
            return False
        self._flush()  # what was taken and not spent is for those who still work
        time.sleep(_LOOK_EVERY)
        return True

    def _do(self, trial: Trial) -> SearchStop | None:
        """Run one trial; return why the worker must stop, if it must."""
        task = str(trial.user_attrs[TASK])
        try:
            replies = self.shared.replies()
            with self.queue.at_work(trial, replies.renew) as lost:
                pool = Pool(TrialPurse(self.purse, lost), replies)
                outcome = run_trial(
                    *(self.job, trial, task, pool, self.deadline),
                    prunes=self.prunes,
                    rival_for=self.rival_for,
                )
                if not lost.is_set():
                    self._keep(trial, task, outcome)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the trial is not lost by it
            return self._ended(trial, task, error)
        self._failures = 0
        return None

    def _keep(self, trial: Trial, task: str, outcome: Outcome) -> None:
        if outcome.values is None:
            reasons = outcome.attributes["details"]["undefined"]
            why = "; ".join(f"{name}: {what}" for name, what in reasons.items())
            self.queue.give_back(trial, "error", f"no agreement: {why}", outcome.attributes)
            return
        self.shared.note(f"{SCORES}/{task}", outcome.scores)
        self.queue.finish(trial, outcome.values, outcome.attributes)

    def _ended(self, trial: Trial, task: str, error: BaseException) -> SearchStop | None:
        """End an attempt that failed, and return why the worker must stop, if it must."""
        back = partial(self._give_back, trial, error)
        if (stop := _stop(error)) is not None:
            back(stop)
            return stop
        match error:
            case optuna.TrialPruned():
                self.queue.finish(trial, None, spent_by(trial))
            case TakenAway() | UpdateFinishedTrialError():
                pass  # another worker has the trial now
            case ReplyError():
                back("error")
            case dspy.LMError() if dspy.is_retryable_lm_error(error):
                self._failures += 1
                back("provider")
                if self._failures >= _MOST_IN_A_ROW:
                    raise error
            case dspy.LMError() | SetupError() if not (
                isinstance(error, _UNUSABLE) or _is_first(task)
            ):
                back("error")  # this configuration cannot be run, and others can
            case _:
                back("interrupted")
                raise error
        return None

    def _give_back(self, trial: Trial, error: BaseException, failure: Failure) -> None:
        with _unless_away("The trial's end is not noted, so it counts as a dead worker's"):
            self.queue.give_back(trial, failure, str(error), spent_by(trial))

    def _flush(self) -> None:
        with _unless_away("The study's spending is not written"):
            self.purse.flush()

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


@contextmanager
def _unless_away(what: str) -> Iterator[None]:
    """Warn if the database fails: that must not hide what ended the work."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, StorageInternalError) as error:
        logger.warning("%s: %s", what, reason(error))


def _stop(error: BaseException) -> Literal["budget", "interrupted"] | None:
    """Return why an error stops the search without a failure, if it does."""
    match error:
        case BudgetExhausted() | Unfinished(reason="budget"):
            return "budget"
        case RunStopped() | Unfinished() | KeyboardInterrupt():
            return "interrupted"
        case _:
            return None


def _is_first(task: str) -> bool:
    return task.isdigit() and int(task) == 0
