"""Samplers and pruners by name, each seeded."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FixedTrial

from mogradjudge.config import MOGradConfig
from mogradjudge.digests import digest
from mogradjudge.errors import SetupError
from mogradjudge.scores import JudgeSettings
from mogradjudge.search.space import SearchSpace

SAMPLERS = ("tpe", "nsga2", "random", "grid")
PRUNERS = ("none", "median")
_GENERATIONS = 4  # that NSGA-II has in a search: its own 50 trials for each would be all at random


def sampler_for(
    sampler: str | BaseSampler | None, seed: int, trials: int, values: int
) -> Callable[[int], BaseSampler]:
    """Give the sampler of each trial, by the trial's number.

    A named one is seeded by ``seed`` and the number, so that two workers never draw the same.

    Raises:
        SetupError: If there is no such sampler.
    """
    if isinstance(sampler, BaseSampler):
        return lambda number: sampler
    name = sampler or ("tpe" if values == 1 else "nsga2")
    if name not in SAMPLERS:
        raise SetupError(
            f"`sampler` must be one of {', '.join(SAMPLERS)}, or one of Optuna's, got {sampler!r}."
        )

    def make(number: int) -> BaseSampler:
        own = int(digest([seed, number])[:8], 16)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            match name:
                case "tpe":
                    # Trials that other workers are at count as bad ones: they are not tried twice.
                    return TPESampler(seed=own, constant_liar=True)
                case "nsga2":
                    return NSGAIISampler(population_size=max(4, trials // _GENERATIONS), seed=own)
                case _:
                    return RandomSampler(seed=own)

    return make


def pruner_of(pruner: str | BasePruner | None, values: int) -> BasePruner:
    """Give a pruner.

    Raises:
        SetupError: If there is no such pruner, or the study has several values.
    """
    made = {"none": NopPruner, "median": MedianPruner}
    if isinstance(pruner, str) and pruner not in made:
        raise SetupError(
            f"`pruner` must be one of {', '.join(PRUNERS)}, or one of Optuna's, got {pruner!r}."
        )
    found = made[pruner or "none"]() if isinstance(pruner, str | None) else pruner
    if values > 1 and not isinstance(found, NopPruner):
        raise SetupError(
            f"`pruner` needs a search with one value, got {values} values: Optuna prunes no other."
        )
    return found


def grid_of(
    space: SearchSpace, base: MOGradConfig, settings: JudgeSettings, seed: int
) -> list[dict[str, Any]]:
    """Give all configurations of a space, each once, in a random order.

    Raises:
        SetupError: If a parameter has a range.
    """
    grid = space.grid()
    found: dict[str, dict[str, Any]] = {}
    for choice in itertools.product(*grid.values()):
        trial = FixedTrial(dict(zip(grid, choice, strict=True)))
        config, judge = space.suggest(trial, base), space.suggest_settings(trial, settings)
        params = space.params_of(config, judge)
        found[digest(params)] = params
    order = list(found.values())
    random.Random(seed).shuffle(order)
    return order
