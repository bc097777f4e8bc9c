"""A search's best configuration as a file for ``mogradjudge compile --config``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import JudgeSettings, judge_values
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.config import MOGradConfig, check_value, config_values
from mogradjudge.search.space_toml import NONE, value_from_toml
from mogradjudge.settings import GATES, PARAMETERS, RUN_SETTINGS

_CAPS: Mapping[str, str] = MappingProxyType(
    {
        "max_calls": "max_calls",
        "max_total_tokens": "max_tokens",  # --max-tokens is the longest reply
        "max_cost": "max_cost",
        "max_seconds": "max_seconds",
    }
)
"""The fields of a `Budget`, by compile's options."""

_OTHERS = tuple(
    name for name, setting in RUN_SETTINGS.items() if setting.option and not setting.searched
)


def config_toml(config: MOGradConfig, settings: JudgeSettings) -> str:
    """Write a config and a judge's settings as TOML, by the names of compile's options.

    It holds all values but None, also the budget and the number of threads, so that compile builds
    an equal config and equal settings from it.

    Raises:
        SetupError: If the gate has no name.
    """
    import tomli_w

    values = {**config_values(config), **judge_values(settings)}
    if values["gate"] is None:
        raise SetupError(
            f"`gate` must be one of {', '.join(GATES)} to be written to a file, "
            f"got {config.gate!r}."
        )
    table: dict[str, Any] = {}
    for name, parameter in PARAMETERS.items():
        condition = parameter.condition
        if condition is None or condition.holds(values[condition.parent]):
            table[name] = NONE if values[name] is None else values[name]
    table |= {name: getattr(config, name) for name in _OTHERS}
    table |= {option: getattr(config.budget, field) for option, field in _CAPS.items()}
    return tomli_w.dumps({name: value for name, value in table.items() if value is not None})


def check_table(table: Mapping[str, Any]) -> None:
    """Check the values of a file as by `config_toml`; unknown names are ignored.

    Raises:
        SetupError: If a setting cannot have its value, alone or with another value in the table.
    """
    for name, value in table.items():
        if name in PARAMETERS:
            _check_parameter(name, value_from_toml(name, value), table)
        elif name in _OTHERS:
            replace(MOGradConfig(), **{name: value})
        elif name in _CAPS:
            _check_cap(name, value)
    if "auto" in table and "steps" in table:
        raise SetupError(
            f"Give `auto` or `steps`, not both, got {table['auto']!r} and {table['steps']!r}."
        )


def _check_cap(name: str, value: Any) -> None:
    try:
        replace(Budget(), **{_CAPS[name]: value})
    except SetupError as error:
        raise SetupError(str(error).replace(f"`{_CAPS[name]}`", f"`{name}`")) from error


def _check_parameter(name: str, value: object, table: Mapping[str, Any]) -> None:
    condition = PARAMETERS[name].condition
    if condition is None:
        check_value(name, value)
        return
    parent = table.get(condition.parent)
    if value == condition.otherwise and not condition.holds(parent):
        return
    check_value(name, value)
    if parent is not None and not condition.holds(parent):
        raise SetupError(
            f"`{name}` needs `{condition.parent}` = {' or '.join(condition.values)} "
            f"but got {parent!r}."
        )
