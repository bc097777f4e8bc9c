"""The settings of one optimization run, as a value."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

from mogradjudge.agreement import Level
from mogradjudge.criteria.decomposition import MODES, DecompositionMode, Scope
from mogradjudge.errors import SetupError
from mogradjudge.lm.budget import Budget
from mogradjudge.stages.gate import Gate, NoMeanRegression, gate_as_dict

T = TypeVar("T")

Auto: TypeAlias = Literal["light", "medium", "heavy"]
Predictors: TypeAlias = Literal["all", "round_robin"] | Sequence[str]
FREE = ("budget", "target", "patience", "num_threads", "max_rpm")
"""The settings that say how fast a run goes and where it ends, not what it finds on the way."""

AUTO_STEPS = MappingProxyType({"light": 6, "medium": 12, "heavy": 24})
"""Steps by level of effort; the paper runs 12."""


@dataclass(frozen=True)
class MOGradConfig:
    """All that decides a run's result, beside the data, the program and the LMs.

    Args:
        mode: What the three stages share across criteria.
        steps: Optimization steps, at least 1.
        batch_size: Training examples per step, at least 1 (the paper: 3).
        seed: Seeds the batches and every sampled reply; 0 is a seed like any other.
        gate: Decides whether a candidate replaces the current instructions.
        skip_tolerance: No critique is written where an example's score is at least
            ``1 - skip_tolerance``; in [0, 1]. None writes all of them, as in the paper.
        critic_temperature: None leaves the LM's own; so for the other roles.
        coach_temperature: The paper: 0.3, as for the critic.
        editor_temperature: The paper: 0.7.
        edit_preamble: Whether the editor may rewrite the preamble too; needs a combined optimizer.
        predictors: Whose sections a step edits, as GEPA's ``component_selector``: ``"all"``; each
            in turn, one a step (``"round_robin"``); or those of these names (the paths that
            `named_predictors` gives). The whole program is run and scored all the same.
        reply_retries: Further tries after a reply that cannot be used, at least 0.
        max_section_chars: The longest section that an editor may write, in characters.
        level: How agreement is taken, over all texts or as the mean over groups. It holds for a
            rubric's own objectives.
        budget: Caps on calls, tokens, dollars and time; the run ends in order at one of them.
        target: The run ends once the best mean agreement is at least this; in [-1, 1] for a rank
            correlation. None for no target.
        patience: The run ends after so many steps that found nothing better, at least 1. None takes
            all steps.
        num_threads: The most LM calls in flight. It changes the time, never the result.
        max_rpm: The most LM calls to send in any 60 seconds; None for no limit.

    Raises:
        SetupError: If a field has a value that it cannot have.
    """

    mode: DecompositionMode = MODES["SSC"]
    steps: int = AUTO_STEPS["light"]
    batch_size: int = 3
    seed: int = 0
    gate: Gate = field(default_factory=NoMeanRegression)
    skip_tolerance: float | None = None
    critic_temperature: float | None = 0.3
    coach_temperature: float | None = 0.3
    editor_temperature: float | None = 0.7
    edit_preamble: bool = False
    predictors: Predictors = "all"
    reply_retries: int = 2
    max_section_chars: int = 2000
    level: Level = "pooled"
    budget: Budget = field(default_factory=Budget)
    target: float | None = None
    patience: int | None = None
    num_threads: int = 8
    max_rpm: int | None = None

    def __post_init__(self) -> None:
        lowest = {"steps": 1, "batch_size": 1, "seed": 0, "reply_retries": 0}
        lowest |= {"max_section_chars": 1, "num_threads": 1}
        lowest |= {name: 1 for name in ("patience", "max_rpm") if getattr(self, name) is not None}
        for name, least in lowest.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise SetupError(f"`{name}` must be a whole number >= {least}, got {value!r}.")
        _check_range("skip_tolerance", self.skip_tolerance, 0, 1)
        _check_range("target", self.target, -1, 1)
        for name in ("critic_temperature", "coach_temperature", "editor_temperature"):
            _check_range(name, getattr(self, name), 0, math.inf)
        if not isinstance(self.budget, Budget):
            raise SetupError(f"`budget` must be a Budget(...), got {self.budget!r}.")
        _check_gate(self.gate)
        if self.predictors not in ("all", "round_robin"):
            object.__setattr__(self, "predictors", _names(self.predictors))
        if self.level not in ("pooled", "group"):
            raise SetupError(f"`level` must be 'pooled' or 'group', got {self.level!r}.")
        _check_preamble(self.edit_preamble, self.mode)

    def as_dict(self) -> dict[str, Any]:
        """Give the settings as `result.json` holds them."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        named = self.predictors
        return {
            **plain,
            "mode": self.mode.name,
            "predictors": list(named) if isinstance(named, tuple) else named,
            "gate": gate_as_dict(self.gate),
            "budget": self.budget.as_dict(),
        }


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if value is not None and not (number and low <= value <= high):
        rule = f"be >= {low} or None" if high == math.inf else f"lie in [{low}, {high}]"
        raise SetupError(f"`{name}` must {rule}, got {value!r}.")


def _check_preamble(edited: object, mode: DecompositionMode) -> None:
    if not isinstance(edited, bool):
        raise SetupError(f"`edit_preamble` must be True or False, got {edited!r}.")
    if edited and mode.optimizer is Scope.SEPARATE:
        raise SetupError(
            "`edit_preamble` needs a mode whose optimizer is combined (SSC, SCC, CCC), "
            f"got {mode}: the preamble belongs to no single criterion."
        )


def _check_gate(gate: object) -> None:
    if not callable(gate) or isinstance(gate, type):
        raise SetupError(f"`gate` must be a gate, as NoMeanRegression(), got {gate!r}.")


def _names(names: object) -> tuple[str, ...]:
    if isinstance(names, (list, tuple)) and names and all(isinstance(each, str) for each in names):
        return tuple(dict.fromkeys(names))
    raise SetupError(
        f"`predictors` must be 'all', 'round_robin' or a list of predictors' names, got {names!r}."
    )


def resolve_steps(auto: str | None, steps: int | None) -> int:
    """Choose the number of steps from a level of effort or an explicit number.

    Raises:
        SetupError: If both are given, or the level is unknown.
    """
    if auto is not None and steps is not None:
        raise SetupError(f"Give `auto` or `steps`, not both, got {auto!r} and {steps!r}.")
    if steps is not None:
        return steps
    if auto is not None and auto not in AUTO_STEPS:
        raise SetupError(f"`auto` must be one of {', '.join(AUTO_STEPS)}, got {auto!r}.")
    return AUTO_STEPS[auto or "light"]


def batches(examples: Sequence[T], size: int, rng: random.Random) -> Iterator[tuple[T, ...]]:
    """Yield batches for ever, in a new order on each pass over the examples.

    A pass that does not divide evenly ends with a smaller batch, so that each example is used once
    in every pass.
    """
    while True:
        order = rng.sample(examples, len(examples))
        yield from (tuple(order[start : start + size]) for start in range(0, len(order), size))
