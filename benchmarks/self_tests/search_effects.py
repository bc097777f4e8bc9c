"""Simulated searches with planted effects of the modes, and how often intervals hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import optuna

from benchmarks.worlds.simulated import Array
from mogradjudge.agreement import Interval, Undefined
from mogradjudge.agreement.bootstrap import draw
from mogradjudge.search.analysis.effects import mode_effects
from mogradjudge.search.analysis.linear_model import Setting

RESAMPLES = 300
MODES = {"SSS": 0.03, "SSC": 0.01, "SCC": -0.01, "CCC": -0.03}


@dataclass(frozen=True)
class Search:
    """The trials of one simulated search: parameters, values, and values on resamples."""

    params: list[dict[str, Setting]]
    values: Array
    resampled: Array

    def distinct(self) -> Search:
        """Give the first trial of each configuration."""
        first: dict[tuple[Setting, ...], int] = {}
        for place, each in enumerate(self.params):
            first.setdefault(tuple(each.values()), place)
        kept = list(first.values())
        params = [self.params[place] for place in kept]
        return Search(params, self.values[kept], self.resampled[:, kept])


def simulate_search(
    trials: int,
    documents: int,
    *,
    adaptive: bool,
    rng: np.random.Generator,
    spread: float = 1.0,
    most_steps: int = 16,
) -> Search:
    """Run a study over simulated documents; a mode, like a trial, has luck with single documents.

    A configuration that was run before has the same value again, document by document, as one that
    is answered from kept replies has.

    Args:
        trials: How many to run.
        documents: How many documents all of them are measured on.
        adaptive: Whether Optuna's TPE sampler draws the parameters, or chance.
        rng: All that is random.
        spread: How many times as far as the others' the runs of CCC scatter.
        most_steps: The most steps, from 4 on; with few, many configurations repeat.
    """
    common = 0.2 * rng.normal(size=documents)
    taste = {mode: 0.06 * rng.normal(size=documents) for mode in MODES}
    params: list[dict[str, Setting]] = []
    columns: list[Array] = []
    known: dict[tuple[Setting, ...], Array] = {}

    def value(trial: optuna.Trial) -> float:
        mode = trial.suggest_categorical("mode", list(MODES))
        batch = trial.suggest_categorical("batch_size", [1, 3, 8])
        steps = trial.suggest_int("steps", 4, most_steps)
        momentum = trial.suggest_categorical("momentum", [True, False])
        run = 0.02 * (spread if mode == "CCC" else 1.0) * rng.normal()
        level = 0.3 + MODES[mode] + 0.004 * steps + 0.01 * (batch == 3) + 0.005 * momentum + run
        column = level + common + taste[mode] + 0.15 * rng.normal(size=documents)
        column = known.setdefault(tuple(trial.params.values()), column)
        params.append(dict(trial.params))
        columns.append(column)
        return float(column.mean())

    seed = int(rng.integers(2**31))
    sampler = (
        optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, trials // 2))
        if adaptive
        else optuna.samplers.RandomSampler(seed=seed)
    )
    optuna.create_study(direction="maximize", sampler=sampler).optimize(value, n_trials=trials)
    table = np.array(columns).T
    weights = draw(rng, documents, RESAMPLES)
    return Search(params, table.mean(axis=0), weights @ table / documents)


@dataclass(frozen=True)
class Planted:
    """How often intervals held the planted effects, their width, and the effects' largest bias."""

    held: float
    held_without_documents: float
    lowest: float
    width: float
    bias: float
    adjusted: float


def simulate_effects(
    trials: int,
    simulations: int,
    *,
    adaptive: bool,
    spread: float = 1.0,
    documents: int = 40,
    most_steps: int = 16,
    collapsed: bool = True,
) -> Planted:
    """Estimate planted effects of the modes from simulated searches that tried all of them.

    ``collapsed`` says whether a repeated configuration counts once, as it should.
    """
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[float, ...]]] = {mode: [] for mode in MODES}
    for _ in range(simulations):
        found = simulate_search(
            trials, documents, adaptive=adaptive, rng=rng, spread=spread, most_steps=most_steps
        )
        found = found.distinct() if collapsed else found
        full = mode_effects(found.params, found.values, found.resampled, documents=documents)
        runs = mode_effects(found.params, found.values)
        if isinstance(full, Undefined) or isinstance(runs, Undefined) or len(full.levels) < 4:
            continue
        for each, alone in zip(full.levels, runs.levels, strict=True):
            one, other, mode = each.effect.interval, alone.effect.interval, str(each.level)
            if isinstance(one, Interval) and isinstance(other, Interval):
                true = MODES[mode]
                rows[mode].append(
                    (
                        one.low <= true <= one.high,
                        other.low <= true <= other.high,
                        one.high - one.low,
                        each.effect.value - true,
                        full.unadjusted is None,
                    )
                )
    means = np.array([np.mean(each, axis=0) for each in rows.values()])
    held, without, width, bias, adjusted = means.T
    return Planted(
        float(held.mean()),
        float(without.mean()),
        float(held.min()),
        float(width.mean()),
        float(bias[np.abs(bias).argmax()]),
        float(adjusted.mean()),
    )
