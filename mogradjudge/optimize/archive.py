"""The archive: what a step may start from beside the last accepted instructions."""

from __future__ import annotations

from random import Random

from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.result import Measured
from mogradjudge.optimize.state import State, rank_value
from mogradjudge.programs.evaluation import MEAN
from mogradjudge.stages.gate import measures_less


def parent_of(step: int, state: State, config: MOGradConfig) -> Measured:
    """Return the instructions that a step starts from.

    With ``parent="pareto"`` they are drawn from the archive, each as often as it is the best one on
    a criterion or in the mean. No other candidate is as good on all criteria as one of these and
    better on one. Source: the objective frontier of GEPA (Agrawal et al. 2025).

    Args:
        step: The step's number.
        state: The run before the step and those beside it.
        config: The run's settings.
    """
    if config.parent == "last":
        return state.measured[-1]
    return Random(f"{config.seed}/{step}/parent").choice(best_ones(state))


def best_ones(state: State) -> list[Measured]:
    """Return the best candidate of each criterion, and the best mean; one may come several times.

    Refused candidates count, too, if they were scored on all texts and measure no less than the
    initial instructions. Where no agreement is defined, it is what was accepted last.
    """
    names = [*state.measured[0].agreement.by_criterion, MEAN]
    best_on_each = [best for name in names if (best := _best_on(name, state)) is not None]
    return best_on_each or [state.measured[-1]]


def _best_on(name: str, state: State) -> Measured | None:
    scored = [
        (value, rank_value(measured.agreement), measured)
        for measured in _archive(state)
        if (value := measured.agreement.as_dict()[name]) is not None
    ]
    return max(scored, key=lambda it: it[:2])[2] if scored else None


def _archive(state: State) -> list[Measured]:
    return [
        it
        for _, it in sorted(by_step(state).items())
        if it.texts is None and not measures_less(state.measured[0].agreement, it.agreement)
    ]


def by_step(state: State) -> dict[int, Measured]:
    """Return each step's candidate, 0 for the initial one: the accepted one, else the proposal.

    >>> by_step(State())
    {}
    """
    proposals = [it for it in state.rejected if not it.sections]
    return {it.step: it for it in (*proposals, *state.measured)}
