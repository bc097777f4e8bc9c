"""Step scores of a trial at equal numbers of calls, so that modes can be compared in mid-run.

A step in one mode or layout takes more calls than in another, so what trials are compared at is not
a number of steps. A rung is as many calls as one step of the search's default configuration; a
trial's value at a rung is the best validation agreement that it had found by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.trial import Trial

from mogradjudge.config import MOGradConfig
from mogradjudge.events import Event, SeedScored, StepEnded
from mogradjudge.judge import MultiCriteriaJudge


def calls_per_step(config: MOGradConfig, judge: MultiCriteriaJudge, validation: int) -> int:
    """Count the calls of one step, when nothing is cached, skipped or asked again.

    Args:
        config: The run's settings.
        judge: The judge.
        validation: The number of validation texts.
    """
    mode, criteria, batch = config.mode, judge.rubric.names, config.batch_size
    about_examples = len(mode.loss.groups(criteria)) + len(mode.gradient.groups(criteria))
    judged = (batch + validation) * judge.calls_per_text
    return judged + batch * about_examples + len(mode.optimizer.groups(criteria))


@dataclass
class Rungs:
    """An observer that reports a run's progress to its trial, and ends it where that is hopeless.

    Args:
        trial: The trial.
        step: Calls of one step of this run.
        rung: Calls of one rung.
    """

    trial: Trial
    step: int
    rung: int

    def __post_init__(self) -> None:
        frozen = self.trial.storage.get_trial(self.trial._trial_id)
        known: Mapping[int, float] = frozen.intermediate_values  # of an attempt before this one
        self._best = max(known.values(), default=float("-inf"))
        self._next = max(known, default=-1) + 1

    def __call__(self, event: Event) -> None:
        """Take note of an event.

        Raises:
            optuna.TrialPruned: If the study's pruner gives the trial up.
        """
        if not isinstance(event, SeedScored | StepEnded):
            return
        steps = event.step if isinstance(event, StepEnded) else 0
        while self._next * self.rung < steps * self.step:  # what stood until this step ended
            self._report()
        mean = event.agreement["mean"]
        self._best = self._best if mean is None else max(self._best, mean)
        if self._next * self.rung == steps * self.step:
            self._report()
        if self.trial.should_prune():
            raise optuna.TrialPruned

    def _report(self) -> None:
        if self._best > float("-inf"):
            self.trial.report(self._best, self._next)
        self._next += 1
