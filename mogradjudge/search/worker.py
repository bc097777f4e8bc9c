"""One worker of a search: it pulls trials until none is left, and never makes a failure a score."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import dspy
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from mogradjudge.errors import BudgetExhausted, ReplyError, RunStopped
from mogradjudge.runs import Pool
from mogradjudge.search.job import Job, calls_kept_back
from mogradjudge.search.purse import SharedPurse
from mogradjudge.search.queue import TASK, Queue
from mogradjudge.search.shared import SCORES, Shared
from mogradjudge.search.trial import TakenAway, TrialPurse, Unfinished, run_trial, spent_by

SearchStop: TypeAlias = Literal["trials", "budget", "interrupted"]

_MOST_IN_A_ROW = 2  # trials that the provider failed
_LOOK_EVERY = 0.5  # seconds between two looks at what other workers do


@dataclass
class Worker:
    """Pulls trials of a job.

    Args:
        job: What the trials work on.
        queue: Where they are.
        shared: What workers share.
        deadline: When the search ends, on the monotonic clock; None for no end.
        prunes: Whether the study has a pruner.
        waiting: Told now and then, while others work on the last trials, how many there are.
    """

    job: Job
    queue: Queue
    shared: Shared
    deadline: float | None = None
    prunes: bool = False
    waiting: Callable[[int], None] = lambda left: None

    def __post_init__(self) -> None:
        budget, kept_back = self.job.budget, calls_kept_back(self.job)
        if budget.max_calls is not None:
            budget = replace(budget, max_calls=budget.max_calls - kept_back)
        self.purse = SharedPurse(self.shared, budget)
        self._failures = 0

    def work(self) -> SearchStop:
        """Work until all trials are over, here or elsewhere.

        Raises:
            dspy.LMError: If the provider refuses what no other try can help, or fails trial after
                trial. What was paid for is kept, and the trials are queued again.
        """
        try:
            while (trial := self.queue.pull()) is not None or self._others_work():
                if trial is not None and (stop := self._do(trial)):
                    return stop
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            self.purse.flush()
        return "budget" if self._late() and self.queue.unfinished() else "trials"

    def _others_work(self) -> bool:
        """Wait a little for what other workers have; False once nothing is left to wait for."""
        left = self.queue.unfinished()
        if not left or self._late() or not self.queue.sees_the_dead:
            return False
        self.waiting(left)
        time.sleep(_LOOK_EVERY)
        return True

    def _do(self, trial: Trial) -> SearchStop | None:
        """Do one trial; gives why the worker must stop, if it must."""
        task = str(trial.user_attrs[TASK])
        try:
            with self.queue.at_work(trial) as lost:
                pool = Pool(TrialPurse(self.purse, lost), self.shared.replies())
                found = run_trial(self.job, trial, task, pool, self.deadline, prunes=self.prunes)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the trial is not lost by it
            return self._ended(trial, error)
        self._failures = 0
        self.shared.note(f"{SCORES}/{task}", found.scores)
        if found.values is None:
            why = "; ".join(
                f"{name}: {what}" for name, what in found.attributes["undefined"].items()
            )
            self.queue.give_back(trial, "error", f"no agreement: {why}", found.attributes)
        else:
            self.queue.finish(trial, found.values, found.attributes)
        return None

    def _ended(self, trial: Trial, error: BaseException) -> SearchStop | None:
        """End an attempt that did not come to its end."""
        back = partial(self.queue.give_back, trial, why=str(error), attributes=spent_by(trial))
        match error:
            case optuna.TrialPruned():
                self.queue.finish(trial, None, spent_by(trial))
            case TakenAway() | UpdateFinishedTrialError():
                pass  # another worker has the trial now
            case BudgetExhausted() | Unfinished(reason="budget"):
                back("budget")
                return "budget"
            case RunStopped() | Unfinished() | KeyboardInterrupt():
                back("interrupted")
                return "interrupted"
            case ReplyError():
                back("error")
            case dspy.LMError():
                self._failures += 1
                hopeless = not dspy.is_retryable_lm_error(error)
                # A missing key is no fault of the trial's: it comes back as often as need be.
                back("interrupted" if hopeless else "provider")
                if hopeless or self._failures >= _MOST_IN_A_ROW:
                    raise error
            case _:
                back("interrupted")
                raise error
        return None

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline
