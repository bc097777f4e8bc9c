"""The settings of an optimization run, as a value."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from mogradjudge.criteria.decomposition import MODES, DecompositionMode
from mogradjudge.criteria.partition import Scope
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import JudgeSettings, settings_with
from mogradjudge.lm.budget import Budget
from mogradjudge.settings import (
    AUTO_STEPS,
    CONFIG_PARAMETERS,
    PARAMETERS,
    RUN_SETTINGS,
    GateFields,
    RunFields,
    Value,
    with_arguments,
)
from mogradjudge.stages.gate import Gate, gate_as_dict, gate_values, make_gate

T = TypeVar("T")


@with_arguments(RUN_SETTINGS)
@dataclass(frozen=True)
class MOGradConfig(RunFields):
    """The settings that decide a run's result, besides the data, the program and the LMs.

    The fields are those of `RunFields`, which holds the range and default of each. The mode, the
    gate and the budget, which have names there, are objects here; a mode may be given by its name.

    Raises:
        SetupError: If a field has an invalid value.

    >>> MOGradConfig(steps=12).max_section_chars
    2000
    """

    mode: DecompositionMode = MODES[RunFields.mode]
    gate: Gate = field(default_factory=lambda: make_gate(RunFields.gate))
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        for own in fields(self):
            if not RUN_SETTINGS[own.name].is_object:
                RUN_SETTINGS[own.name].check(getattr(self, own.name))
        object.__setattr__(self, "mode", _mode(self.mode, routing=self.routing))  # it is frozen
        if not isinstance(self.budget, Budget):
            raise SetupError(f"`budget` must be a Budget(...), got {self.budget!r}.")
        if not callable(self.gate) or isinstance(self.gate, type):
            raise SetupError(f"`gate` must be a gate, as NoMeanRegression(), got {self.gate!r}.")
        if self.predictors not in ("all", "round_robin"):
            object.__setattr__(self, "predictors", _names(self.predictors))
        if self.edit_preamble and self.mode.optimizer != Scope.COMBINED:
            raise SetupError(
                "`edit_preamble` needs a mode whose optimizer is combined (SSC, SCC, CCC), "
                f"got {self.mode}: the preamble belongs to all criteria."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as `result.json` holds them."""
        values = {own.name: getattr(self, own.name) for own in fields(self)}
        predictors = self.predictors
        return {
            **values,
            "mode": self.mode.name,
            "predictors": list(predictors) if isinstance(predictors, tuple) else predictors,
            "gate": gate_as_dict(self.gate),
            "budget": self.budget.as_dict(),
        }


def _mode(mode: str | DecompositionMode, *, routing: bool) -> DecompositionMode:
    if isinstance(mode, DecompositionMode):
        return replace(mode, routing=routing)
    return DecompositionMode.parse(mode, routing=routing)


def _names(names: object) -> tuple[str, ...]:
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return tuple(dict.fromkeys(names))
    raise SetupError(
        f"`predictors` must be 'all', 'round_robin' or a list of predictors' names, got {names!r}."
    )


def resolve_steps(auto: str | None, steps: int | None) -> int:
    """Return the number of steps of an effort level, or the explicit number.

    Raises:
        SetupError: If both are set, or the level is unknown.

    >>> resolve_steps("medium", None)
    12
    """
    if auto is not None and steps is not None:
        raise SetupError(f"Give `auto` or `steps`, not both, got {auto!r} and {steps!r}.")
    if steps is not None:
        return steps
    if auto is not None and auto not in AUTO_STEPS:
        raise SetupError(f"`auto` must be one of {', '.join(AUTO_STEPS)}, got {auto!r}.")
    return AUTO_STEPS[auto or "light"]


def batches(examples: Sequence[T], size: int, rng: random.Random) -> Iterator[tuple[T, ...]]:
    """Yield batches without end, in a new order on each pass over the examples.

    If the size does not divide the number of examples, a pass ends with a smaller batch: each
    example is used once in every pass.

    >>> drawn = batches("abcde", 2, random.Random(0))
    >>> [len(next(drawn)) for _ in range(4)]
    [2, 2, 1, 2]
    """
    while True:
        order = rng.sample(examples, len(examples))
        yield from (tuple(order[start : start + size]) for start in range(0, len(order), size))


def config_values(config: MOGradConfig) -> dict[str, Value]:
    """Return a config's parameters as plain values; ``gate`` is None for a user's own gate."""
    objects = {"mode": config.mode.name, **gate_values(config.gate)}
    return {
        name: objects[name] if name in objects else getattr(config, name)
        for name in CONFIG_PARAMETERS
    }


def config_with(values: Mapping[str, Any], base: MOGradConfig) -> MOGradConfig:
    """Return a copy of ``base`` with other values.

    Raises:
        SetupError: If a value is invalid.

    >>> config_with({"mode": "CCC", "gate": "none"}, MOGradConfig()).gate
    AlwaysAccept()
    """
    changes = dict(values)
    of_gate = {own.name: changes.pop(own.name) for own in fields(GateFields) if own.name in changes}
    if (name := changes.pop("gate", None)) is not None:
        changes["gate"] = make_gate(name, **of_gate)
    return replace(base, **changes)


def check_value(name: str, value: object) -> None:
    """Check that a search may try a value of a setting.

    Raises:
        SetupError: If it may not; the message names the setting.
    """
    setting = PARAMETERS[name]
    if value is None and setting.optional:
        return
    if setting.kind is str or value in setting.names:
        setting.check(value)
        as_written(name, value)
        return
    if not _is_kind(value, setting.kind):
        rule = {int: "a whole number", float: "a finite number", bool: "True or False"}
        or_none = " or None" if setting.optional else ""
        raise SetupError(f"`{name}` must be {rule[setting.kind]}{or_none}, got {value!r}.")
    condition = setting.condition
    values = {name: value} | ({} if condition is None else {condition.parent: condition.values[0]})
    if name in CONFIG_PARAMETERS:
        config_with(values, MOGradConfig())
    else:
        settings_with(values, JudgeSettings())


def as_written(name: str, value: Any) -> Any:
    """Return a setting's value as its config writes it: a partition in one order.

    Raises:
        SetupError: If a text is no mode, or no layout.

    >>> as_written("layout", "tone | style+fluency")
    'fluency+style | tone'
    """
    match name:
        case "mode":
            return DecompositionMode.parse(value, routing=True).name
        case "layout":
            return JudgeSettings(value).layout
    return value


def _is_kind(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is kind
