"""Step scores of a trial at equal numbers of calls, so that running trials can be compared.

A step in one mode or layout takes more calls than in another, so trials are not compared by their
number of steps. A rung is as many calls as one step of the search's default configuration; a
trial's value at a rung is the best validation agreement that it had found by then.

A trial is judged by its steps and never by its initial instructions, which are the user's and in
some layouts far from the result: the pruner is not asked before the rung of the first step's end.

A run that ended is still compared. Its value counts at all later rungs, up to the last one
that the most expensive configuration can reach. For example, a cheap mode that ended with .9 on
rung 2 is compared with an expensive one on rung 4. A run that its user or a budget stopped may be
resumed, so its later rungs are left open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.trial import Trial

from mogradjudge.criteria.decomposition import DecompositionMode
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import scope_of
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.events import Event, RunEnded, SeedScored, StepEnded
from mogradjudge.programs.judged_text import Values
from mogradjudge.search.ranges import Range
from mogradjudge.search.space import SearchSpace
from mogradjudge.stages.conflicts import most_calls

_CUT_SHORT = ("interrupted", "stop_file", "budget")


def calls_per_step(config: MOGradConfig, judge: MultiCriteriaJudge, validation: int) -> int:
    """Count the calls of one step, when nothing is cached, skipped or asked again.

    Args:
        config: The run's settings.
        judge: The judge.
        validation: The number of validation texts.
    """
    batch, criteria = config.batch_size, judge.rubric.names
    written = config.mode.calls(batch, criteria, config.pool).total
    written += most_calls(config.resolve, criteria)
    return written + (batch + validation) * judge.calls_per_text


def last_rung(
    space: SearchSpace, base: MOGradConfig, judge: MultiCriteriaJudge, validation: int
) -> int:
    """Give the last rung that a run of the space can reach; a rung is a step of ``base``.

    Args:
        space: What may be tried.
        base: What is not searched.
        judge: The judge with the settings that are not searched.
        validation: The number of validation texts.
    """
    criteria, settings = judge.rubric.names, judge.settings
    layouts = space.layout or (settings.layout,)
    rules = space.score_rule or (settings.score_rule,)
    samples = _most(space.n, settings.n) if "mean_of_n" in rules else 1
    per_text = samples * max(len(scope_of(layout).groups(criteria)) for layout in layouts)
    modes = [DecompositionMode.parse(name, routing=True) for name in space.mode or ()]
    batch = _most(space.batch_size, base.batch_size)
    pools = (base.pool,) if space.pool is None else space.pool
    written = max(
        mode.calls(batch, criteria, pool).total for mode in modes or [base.mode] for pool in pools
    )
    written += max(most_calls(it, criteria) for it in space.resolve or (base.resolve,))
    step = written + (batch + validation) * per_text
    return _most(space.steps, base.steps) * step // calls_per_step(base, judge, validation)


def _most(domain: tuple[int, ...] | Range | None, otherwise: int) -> int:
    if isinstance(domain, Range):
        return int(domain.high)
    return max(domain or (otherwise,))


@dataclass
class Rungs:
    """An observer that reports a run's progress to its trial, and ends it if it has no chance.

    Args:
        trial: The trial.
        step: Calls of one step of this run.
        rung: Calls of one rung.
        last: The last rung of any run, by `last_rung`; None leaves those after the run's end open.
    """

    trial: Trial
    step: int
    rung: int
    last: int | None = None

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
        match event:
            case SeedScored():
                self._note(0, event.agreement)
            case StepEnded():
                self._note(event.step, event.agreement)
                trained = (self._next - 1) * self.rung >= self.step
                if trained and self.trial.should_prune():
                    raise optuna.TrialPruned
            case RunEnded() if self.last is not None and event.stop_reason not in _CUT_SHORT:
                self._best = self._better(event.agreement)
                while self._next <= self.last:
                    self._report()

    def _note(self, steps: int, agreement: Values) -> None:
        while self._next * self.rung < steps * self.step:  # what stood until this step ended
            self._report()
        self._best = self._better(agreement)
        if self._next * self.rung == steps * self.step:
            self._report()

    def _better(self, agreement: Values) -> float:
        mean = agreement["mean"]
        return self._best if mean is None else max(self._best, mean)

    def _report(self) -> None:
        if self._best > float("-inf"):
            self.trial.report(self._best, self._next)
        self._next += 1
