"""What can be searched: the settings that decide a run's result, each a plain value with a name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from mogradjudge.criteria.decomposition import MODES, DecompositionMode, Scope
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import LAYOUTS, SCORE_RULES, JudgeSettings
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.stages.gate import GATES, NoCriterionRegression, gate_name, make_gate

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Condition:
    """Says when a parameter means anything: while ``parent`` has one of ``values``.

    Otherwise it has the value ``otherwise``, which is the only one that is legal then.
    """

    parent: str
    values: tuple[str, ...]
    otherwise: Value


@dataclass(frozen=True)
class Parameter:
    """The values that a parameter may have.

    ``names`` are all of them where it is a text; ``optional`` says that None is a value too.
    """

    kind: type[str] | type[int] | type[float] | type[bool]
    names: tuple[str, ...] = ()
    optional: bool = False
    condition: Condition | None = None


_TEMPERATURE = Parameter(float, optional=True)
_COMBINED = tuple(name for name, mode in MODES.items() if mode.optimizer is Scope.COMBINED)

# A parameter stands after the one that its condition asks about.
CONFIG_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "mode": Parameter(str, tuple(MODES)),
        "steps": Parameter(int),
        "batch_size": Parameter(int),
        "seed": Parameter(int),
        "gate": Parameter(str, GATES),
        "tolerance": Parameter(float, condition=Condition("gate", ("criterion",), 0.0)),
        "skip_tolerance": Parameter(float, optional=True),
        "critic_temperature": _TEMPERATURE,
        "coach_temperature": _TEMPERATURE,
        "editor_temperature": _TEMPERATURE,
        "edit_preamble": Parameter(bool, condition=Condition("mode", _COMBINED, otherwise=False)),
        "reply_retries": Parameter(int),
        "max_section_chars": Parameter(int),
    }
)
"""Those of a `MOGradConfig`, named as its fields; ``tolerance`` is the gate's."""

JUDGE_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "layout": Parameter(str, tuple(LAYOUTS)),
        "score_rule": Parameter(str, SCORE_RULES),
        "n": Parameter(int, condition=Condition("score_rule", ("mean_of_n",), 1)),
        "rationale": Parameter(bool),
        "fallback": Parameter(
            str,
            ("integer",),
            optional=True,
            condition=Condition("score_rule", ("expected",), None),
        ),
    }
)
"""Those of a `JudgeSettings`, named as its fields."""

PARAMETERS: Mapping[str, Parameter] = MappingProxyType({**CONFIG_PARAMETERS, **JUDGE_PARAMETERS})


def config_values(config: MOGradConfig) -> dict[str, Value]:
    """Give a config's parameters as plain values; ``gate`` is None for a gate without a name."""
    gate = config.gate
    named = {
        "mode": config.mode.name,
        "gate": gate_name(gate),
        "tolerance": gate.tolerance if isinstance(gate, NoCriterionRegression) else 0.0,
    }
    return {
        name: named[name] if name in named else getattr(config, name) for name in CONFIG_PARAMETERS
    }


def judge_values(settings: JudgeSettings) -> dict[str, Value]:
    """Give a judge's parameters as plain values."""
    return {name: getattr(settings, name) for name in JUDGE_PARAMETERS}


def config_with(values: Mapping[str, Any], base: MOGradConfig) -> MOGradConfig:
    """Give the config that differs from ``base`` in the values named.

    Raises:
        SetupError: If there is no such config.
    """
    changes = dict(values)
    tolerance = changes.pop("tolerance", 0.0)
    if "mode" in changes:
        changes["mode"] = DecompositionMode.parse(changes["mode"])
    if (name := changes.pop("gate", None)) is not None:
        changes["gate"] = make_gate(name, tolerance)
    return replace(base, **changes)


def settings_with(values: Mapping[str, Any], base: JudgeSettings) -> JudgeSettings:
    """Give the judge's settings that differ from ``base`` in the values named.

    Raises:
        SetupError: If there are no such settings.
    """
    return replace(base, **values)


def check_value(name: str, value: object) -> None:
    """Pass a value that the parameter can have.

    Raises:
        SetupError: If it cannot; the line names the parameter.
    """
    parameter = PARAMETERS[name]
    if value is None and parameter.optional:
        return
    if parameter.names:
        if value not in parameter.names:
            names = [*parameter.names, "None"] if parameter.optional else parameter.names
            raise SetupError(f"`{name}` must be one of {', '.join(names)}, got {value!r}.")
        return
    if not _is_kind(value, parameter.kind):
        rule = {int: "a whole number", float: "a finite number", bool: "True or False"}
        or_none = " or None" if parameter.optional else ""
        raise SetupError(f"`{name}` must be {rule[parameter.kind]}{or_none}, got {value!r}.")
    condition = parameter.condition
    values = {name: value} | ({} if condition is None else {condition.parent: condition.values[0]})
    if name in CONFIG_PARAMETERS:
        config_with(values, MOGradConfig())
    else:
        settings_with(values, JudgeSettings())


def _is_kind(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is kind
