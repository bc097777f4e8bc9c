"""DSPy's own optimizers: MIPROv2 without demonstrations, COPRO, and GEPA in three forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import dspy

from benchmarks.peers.budget import CapReached
from benchmarks.peers.method import GEPA, SIDE_BY_SIDE, Found, Method, Task
from benchmarks.peers.tried import Tried, instructions_of

_REFLECTION = 3  # examples per reflection, GEPA's default
_DEPTH = 3  # rounds of COPRO, its default
_MOST_CANDIDATES = 18  # of MIPROv2, as its auto="heavy"
# Calls that MIPROv2 takes for an instruction: 3 demonstrations, 2 descriptions, itself.
_DRAFTING = 6
_SUMMING_UP = 10  # calls that MIPROv2 takes to describe the data


def mipro(task: Task) -> Found:
    """Run MIPROv2 with as many candidates as the cap pays for, and its own number of trials."""
    candidates, trials = mipro_size(task.meter.cap, len(task.validation))
    tried = Tried(task.objectives, task.validation)

    def compiled() -> dspy.Module:
        optimizer = dspy.MIPROv2(
            metric=tried.score,
            auto=None,
            num_candidates=candidates,
            num_threads=task.num_threads,
            max_bootstrapped_demos=0,
            max_labeled_demos=0,
            seed=task.seed,
        )
        return optimizer.compile(
            task.judge(),
            trainset=list(task.training),
            valset=list(task.validation),
            num_trials=trials,
            minibatch=False,
        )

    return _found(task, tried, compiled, f"{candidates} candidates, {trials} trials")


def copro(task: Task) -> Found:
    """Run COPRO on the validation texts, the only set that it takes, with the breadth paid for."""
    depth = min(_DEPTH, max(1, task.meter.cap // (2 * (len(task.validation) + 1))))
    breadth = max(2, task.meter.cap // (depth * (len(task.validation) + 1)))
    tried = Tried(task.objectives, task.validation)

    def compiled() -> dspy.Module:
        optimizer = dspy.COPRO(metric=tried.score, breadth=breadth, depth=depth)
        settings = {"num_threads": task.num_threads, "display_progress": False}
        return optimizer.compile(task.judge(), trainset=list(task.validation), eval_kwargs=settings)

    return _found(task, tried, compiled, f"breadth {breadth}, depth {depth}")


def gepa(task: Task, frontier: str = "instance", proposals: int = 1) -> Found:
    """Run GEPA until the calls left could not pay for a whole iteration.

    Of several proposals from one parent, each on a minibatch of its own, the one that gains most
    on its minibatch goes on to the validation texts.
    """
    from gepa.strategies.proposal_sampling import SameParentSampling
    from gepa.strategies.proposal_selection import BestImprovement

    tried = Tried(task.objectives, task.validation)
    iteration = proposals * (2 * _REFLECTION + 1) + len(task.validation)

    def is_spent(state: Any) -> bool:
        return task.meter.left < iteration

    def compiled() -> dspy.Module:
        optimizer = dspy.GEPA(
            metric=tried.score,
            max_metric_calls=task.meter.cap,
            reflection_minibatch_size=_REFLECTION,
            reflection_lm=task.lm.copy(temperature=1.0),
            num_threads=task.num_threads,
            log_dir=None,
            seed=task.seed,
            gepa_kwargs={
                "frontier_type": frontier,
                "stop_callbacks": [is_spent],
                "sampling_strategy": SameParentSampling(proposals),
                "selection_strategy": BestImprovement(),
            },
        )
        return optimizer.compile(
            task.judge(), trainset=list(task.training), valset=list(task.validation)
        )

    return _found(task, tried, compiled, "")


def mipro_size(cap: int, validation: int) -> tuple[int, int]:
    """Give the most candidates that a cap pays for by MIPROv2's formulas, and their trials."""

    def calls(candidates: int) -> int:
        scored = (_trials(candidates) + 1) * validation
        return _DRAFTING * candidates + _SUMMING_UP + scored

    fitting = [n for n in range(2, _MOST_CANDIDATES + 1) if calls(n) <= cap]
    if fitting:
        return fitting[-1], _trials(fitting[-1])
    return 2, max(1, (cap - 2 * _DRAFTING - _SUMMING_UP) // validation - 1)


def _trials(candidates: int) -> int:
    return int(max(2 * math.log2(candidates), 1.5 * candidates))


def _found(task: Task, tried: Tried, compiled: Callable[[], dspy.Module], notes: str) -> Found:
    try:
        with dspy.context(lm=task.lm):
            return Found(instructions_of(compiled()), notes)
    except CapReached:
        task.meter.settle()
        cut = ", ".join(filter(None, [notes, "cut off"]))
        return Found(tried.best() or task.seed_prompt, cut)


def _import_optuna() -> None:
    import optuna  # noqa: F401 - only its import's time matters


def _import_gepa() -> None:
    import gepa  # noqa: F401


METHODS = (
    Method("MIPROv2", mipro, _import_optuna),
    Method("COPRO", copro),
    Method(GEPA, gepa, _import_gepa),
    Method("GEPA, objectives", partial(gepa, frontier="objective"), _import_gepa),
    Method(
        f"GEPA, {SIDE_BY_SIDE} side by side", partial(gepa, proposals=SIDE_BY_SIDE), _import_gepa
    ),
)
