"""Samplers and pruners by name, each seeded."""

from __future__ import annotations

import copy
import itertools
import random
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    GridSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FixedTrial

from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.search.space import SearchSpace
from mogradjudge.settings import PRUNERS, SAMPLERS

_POPULATION = 8  # of NSGA-II: a search has tens of trials, and Optuna's 50 would be all at random

Factory: TypeAlias = Callable[[int], BaseSampler]
"""Makes the sampler of one trial, from the trial's number."""


def sampler_for(
    sampler: str | BaseSampler | Factory | None, seed: int, trials: int, values: int
) -> Factory:
    """Give the sampler of each trial, by the trial's number.

    A named one is seeded by ``seed`` and the number: a resumed search repeats no draw, and
    two workers never draw the same. A sampler object is copied for each trial and reseeded, at
    random, since its own seed would make all trials equal; for draws that are the same in
    another search give a name, or a factory that seeds by the number.

    Args:
        sampler: One of `SAMPLERS`, a sampler of Optuna's, or a factory, which is called once
            beforehand with 0; None for ``"tpe"``, or ``"nsga2"`` with several values.
        seed: Of the search.
        trials: Of the study; nothing that is drawn depends on it, since it may be raised.
        values: Of the study.

    Raises:
        SetupError: If there is no such sampler, or it cannot work with trials that are queued.
    """
    if isinstance(sampler, BaseSampler):
        return _reseeded(_usable(sampler))
    if callable(sampler):
        _usable(sampler(0))
        return sampler
    name = sampler or ("tpe" if values == 1 else "nsga2")
    if name not in SAMPLERS:
        raise SetupError(
            f"`sampler` must be one of {', '.join(SAMPLERS)}, one of Optuna's, or a function that "
            f"gives one for a trial's number, got {sampler!r}."
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
                    return NSGAIISampler(population_size=_POPULATION, seed=own)
                case _:
                    return RandomSampler(seed=own)

    return make


def _usable(sampler: object) -> BaseSampler:
    if not isinstance(sampler, BaseSampler):
        raise SetupError(
            "`sampler` must give one of Optuna's samplers when it is called with a trial's number, "
            f"got {sampler!r}."
        )
    if isinstance(sampler, GridSampler | BruteForceSampler):
        raise SetupError(
            f"`sampler` cannot be Optuna's {type(sampler).__name__}, which ignores queued "
            'trials: give sampler="grid".'
        )
    return sampler


def _reseeded(sampler: BaseSampler) -> Factory:
    def make(number: int) -> BaseSampler:
        own = copy.deepcopy(sampler)
        own.reseed_rng()
        return own

    return make


def pruner_of(pruner: str | BasePruner | None, values: int) -> BasePruner:
    """Return a pruner by its name.

    >>> type(pruner_of("median", 1)).__name__
    'MedianPruner'

    Raises:
        SetupError: If there is no such pruner, or the study has several values.
    """
    makers = {"none": NopPruner, "median": _median}
    if isinstance(pruner, str) and pruner not in makers:
        raise SetupError(
            f"`pruner` must be one of {', '.join(PRUNERS)}, or one of Optuna's, got {pruner!r}."
        )
    chosen = makers[pruner or "none"]() if isinstance(pruner, str | None) else pruner
    if values > 1 and not isinstance(chosen, NopPruner):
        raise SetupError(
            f"`pruner` needs a search with one value, got {values} values: Optuna needs just one."
        )
    return chosen


def _median() -> MedianPruner:
    # Rung 0 holds only the initial instructions' score, which says nothing about the run.
    return MedianPruner(n_startup_trials=5, n_warmup_steps=1)


def grid_of(
    space: SearchSpace, base: MOGradConfig, settings: JudgeSettings, seed: int
) -> list[dict[str, Any]]:
    """Return all configurations of a space, each once, in a random order.

    Raises:
        SetupError: If a parameter has a range without steps.
    """
    grid = space.grid()
    configurations: dict[str, dict[str, Any]] = {}
    for choice in itertools.product(*grid.values()):
        trial = FixedTrial(dict(zip(grid, choice, strict=True)))
        config, judge = space.suggest(trial, base), space.suggest_settings(trial, settings)
        params = space.params_of(config, judge)
        configurations[digest(params)] = params
    order = list(configurations.values())
    random.Random(seed).shuffle(order)
    return order
