"""Draws a trial's configuration: one that no other trial has had."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import JudgeSettings, judge_values
from mogradjudge.optimize.config import MOGradConfig, config_values
from mogradjudge.search.ranges import rounded
from mogradjudge.search.samplers import Factory
from mogradjudge.search.space import PARENTS, SearchSpace
from mogradjudge.search.trial import DETAILS
from mogradjudge.search.workers.existing import FAILED
from mogradjudge.settings import PARAMETERS

Params: TypeAlias = Mapping[str, Any]

_TRIES = 10  # draws of one parameter, before any value is taken that leads to something new


@dataclass(frozen=True)
class Draws:
    """Draws the configurations of a study's trials.

    Args:
        space: The values to try.
        base: The settings of a run that are not searched.
        settings: The settings of a judge that are not searched.
        sampler: Makes the sampler of one trial, from the trial's place.
    """

    space: SearchSpace
    base: MOGradConfig
    settings: JudgeSettings
    sampler: Factory

    @cached_property
    def others(self) -> dict[str, Any]:
        """The values of the parameters that are not searched."""
        values = {**config_values(self.base), **judge_values(self.settings)}
        return {name: value for name, value in values.items() if name not in self.space.searched}

    @cached_property
    def size(self) -> int | None:
        """The number of configurations in the space; None if there is no end of them."""
        count = self.space.count(self.others)
        return None if count == float("inf") else int(count)

    def is_exhausted(self, study: Study) -> bool:
        """Return whether trials have or had each configuration of the space."""
        return self.size is not None and len(self._taken(study)) >= self.size

    def prepare(self, study: Study, place: int) -> None:
        """Give a study the sampler of its next trial."""
        taken = self._taken(study)
        study.sampler = Unmeasured(self.sampler(place), self, taken, random.Random(place))

    def draw(self, trial: Trial) -> None:
        """Ask a trial for all of its parameters, so that other workers see them.

        Raises:
            SetupError: If it was enqueued with parameters that the space does not have.
        """
        # Optuna's own key, of `Study.enqueue_trial`
        fixed = trial.storage.get_trial(trial._trial_id).system_attrs.get("fixed_params", {})
        self.space.check(fixed)
        self.space.ask(trial, self.base, self.settings)
        for name in fixed:
            if name not in trial.params:
                condition = PARAMETERS[name].condition
                assert condition is not None
                values = {**self.others, **trial.params}
                raise SetupError(
                    f"`{name}` needs `{condition.parent}` = {' or '.join(condition.values)} "
                    f"but got {values[condition.parent]!r}."
                )

    def is_full(self, params: Params, taken: Sequence[Params]) -> bool:
        """Return whether each configuration with these parameters is taken."""
        count = sum(params.items() <= it.items() for it in taken)
        return count > 0 and count >= self.space.count({**self.others, **params})

    def _taken(self, study: Study) -> list[Params]:
        """Return the configurations that trials have or had, each once."""
        trials = study.get_trials(deepcopy=False)
        begun = [rounded(it.params) for it in trials if _takes(it)]
        # A worker that died while it drew has left a part of one.
        whole = [params for params in begun if self._is_whole(params)]
        return list({tuple(sorted(params.items())): params for params in whole}.values())

    def _is_whole(self, params: Params) -> bool:
        values = {**self.others, **params}
        return set(values) >= PARENTS and set(params) == {*self.space.searched_in(values)}


@dataclass
class Unmeasured(BaseSampler):
    """Lets a sampler draw each parameter, but no value that leads only to what others have had.

    Args:
        inner: The sampler that draws.
        draws: The study's draws.
        taken: The configurations that other trials have had.
        rng: Draws where the sampler insists.
    """

    inner: BaseSampler
    draws: Draws
    taken: Sequence[Params]
    rng: random.Random
    _relative: dict[str, Any] = field(default_factory=dict)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return none: what the sampler draws together is given one by one, too."""
        space = self.inner.infer_relative_search_space(study, trial)
        self._relative = dict(self.inner.sample_relative(study, trial, space))
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing, as there is no such space."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Draw one parameter."""

        def drawn() -> Any:
            if param_name in self._relative:
                return self._relative[param_name]
            return self.inner.sample_independent(study, trial, param_name, param_distribution)

        known = rounded(trial.params)
        for _ in range(_TRIES):
            value = drawn()
            if not self._leads_nowhere(known, param_name, value):
                return value
        choices = self.draws.space.choices(param_name) or []
        others = [it for it in choices if not self._leads_nowhere(known, param_name, it)]
        return self.rng.choice(others) if others else value

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the sampler prepare."""
        self.inner.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Let the sampler take note of a trial's end."""
        self.inner.after_trial(study, trial, state, values)

    def _leads_nowhere(self, known: Params, name: str, value: Any) -> bool:
        return self.draws.is_full({**known, **rounded({name: value})}, self.taken)


def _takes(trial: FrozenTrial) -> bool:
    """Say whether a trial has or had its configuration: not if the space refused it unrun."""
    refused = trial.user_attrs.get(FAILED) == "error" and DETAILS not in trial.user_attrs
    return trial.state != TrialState.WAITING and not refused
