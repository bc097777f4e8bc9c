"""The values that a search tries, by parameter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast

from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import JudgeSettings, judge_values, settings_with
from mogradjudge.optimize.config import (
    MOGradConfig,
    as_written,
    check_value,
    config_values,
    config_with,
)
from mogradjudge.search.ranges import Range
from mogradjudge.search.space_toml import domains_from_toml, domains_to_toml, read_table
from mogradjudge.settings import (
    CONFIG_PARAMETERS,
    GATES,
    JUDGE_PARAMETERS,
    PARAMETERS,
    Setting,
    Value,
)

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Domain: TypeAlias = tuple[Value, ...] | Range | None
S = TypeVar("S", bound=type)


def _usual(setting: Setting) -> Domain:
    return Range(*setting.between) if setting.between else setting.tried or None


_LARGEST_GRID = 100_000
PARENTS = frozenset(it.condition.parent for it in PARAMETERS.values() if it.condition)
"""The parameters that others have a meaning with."""
_USUAL = MappingProxyType({name: _usual(setting) for name, setting in PARAMETERS.items()})


def _with_a_field_per_parameter(cls: S) -> S:
    cls.__annotations__ = dict.fromkeys(PARAMETERS, "Domain")
    for name, domain in _USUAL.items():
        setattr(cls, name, domain)
    return cast("S", dataclass(frozen=True)(cls))


@_with_a_field_per_parameter
class SearchSpace:
    """The values that a search tries, by parameter: a tuple of choices, or a `Range` of numbers.

    A parameter that is None is not searched and keeps the base's value. The default space searches
    mode, layout, batch size, gate and the editor's temperature.

    The parameters are the `mogradjudge.settings.PARAMETERS`, of a run and of a judge. Those with a
    condition are searched only where they have a meaning: ``tolerance`` with the gate
    ``"criterion"``, ``edit_preamble`` with a combined optimizer, ``n`` with ``"mean_of_n"`` (where
    it must have values of at least 2) and ``fallback`` with ``"expected"``. Modes, layouts and
    gates go by their names, or a partition's text. None among the choices is a value like any
    other, where the setting may be None.

    Raises:
        SetupError: If a parameter cannot have a value, or has one twice.

    >>> SearchSpace(steps=(6, 12), gate=None).searched
    ('mode', 'steps', 'batch_size', 'tolerance', 'editor_temperature', 'layout')
    """

    if TYPE_CHECKING:

        def __init__(self, **domains: Domain) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    def __post_init__(self) -> None:
        for name in self.searched:
            _check_domain(name, getattr(self, name))
            if PARAMETERS[name].other:
                written = [as_written(name, value) for value in getattr(self, name)]
                object.__setattr__(self, name, tuple(dict.fromkeys(written)))
        if "mean_of_n" in (self.score_rule or ()) and self.n is None:
            raise SetupError(
                "`n` must have values >= 2 to choose from where `score_rule` may be 'mean_of_n', "
                "got none."
            )

    @property
    def searched(self) -> tuple[str, ...]:
        """The parameters that have values to choose from."""
        return tuple(name for name in PARAMETERS if getattr(self, name) is not None)

    def suggest(self, trial: BaseTrial, base: MOGradConfig) -> MOGradConfig:
        """Ask a trial for the searched parameters of a run; the others stay as in ``base``."""
        values = self._ask(trial, CONFIG_PARAMETERS, config_values(base))
        return config_with(values, base)

    def suggest_settings(self, trial: BaseTrial, base: JudgeSettings) -> JudgeSettings:
        """Ask a trial for the searched parameters of a judge; the others stay as in ``base``."""
        return settings_with(self._ask(trial, JUDGE_PARAMETERS, judge_values(base)), base)

    def ask(self, trial: BaseTrial, base: MOGradConfig, settings: JudgeSettings) -> None:
        """Ask a trial for all searched parameters."""
        self._ask(trial, CONFIG_PARAMETERS, config_values(base))
        self._ask(trial, JUDGE_PARAMETERS, judge_values(settings))

    def params_of(self, config: MOGradConfig, settings: JudgeSettings) -> dict[str, Any]:
        """Return a trial's parameters for this config and these settings.

        ``study.enqueue_trial(space.params_of(config, settings))`` queues it.

        Raises:
            SetupError: If the space does not hold one of the values; `including` adds it.
        """
        params = self._searched_values(config, settings)
        self.check(params)
        return params

    def check(self, params: Mapping[str, Any]) -> None:
        """Check that the space holds each of some parameters.

        >>> SearchSpace().check({"batch_size": 0})
        Traceback (most recent call last):
        mogradjudge.errors.SetupError: `batch_size` must lie in the range 1 to 8, got 0: widen it.

        Raises:
            SetupError: If a parameter is not searched, or cannot have its value.
        """
        for name, value in params.items():
            if name not in self.searched:
                searched = ", ".join(self.searched)
                raise SetupError(f"`{name}` is not searched; the space has {searched}.")
            domain = getattr(self, name)
            if isinstance(domain, Range):
                _check_held(name, domain, value)
            elif not any(_is_same(value, choice) for choice in domain):
                raise SetupError(
                    f"`{name}` must be one of the space's values {list(domain)}, got {value!r}: "
                    "add it."
                )

    def searched_in(self, values: Mapping[str, Value]) -> list[str]:
        """Name the searched parameters that have a meaning beside these values."""
        return [name for name in self.searched if _has_meaning(name, values)]

    def choices(self, name: str) -> Sequence[Value] | None:
        """Return all values of a searched parameter; None if there is no end of them."""
        domain = getattr(self, name)
        return domain.choices(PARAMETERS[name].kind) if isinstance(domain, Range) else domain

    def count(self, values: Mapping[str, Value]) -> float:
        """Count the configurations that have these values; infinite with a range without steps.

        Args:
            values: Those of all parameters that are not searched, and of any that are.

        >>> SearchSpace(gate=None, editor_temperature=None, layout=("separate",)).count(
        ...     {"gate": "mean"}
        ... )
        32
        """
        undecided = [name for name in self.searched if name not in values]
        if parent := next((name for name in undecided if name in PARENTS), None):
            return sum(self.count({**values, parent: value}) for value in getattr(self, parent))
        meant = [name for name in undecided if _has_meaning(name, values)]
        return math.prod(self._size(name) for name in meant)

    def including(self, config: MOGradConfig, settings: JudgeSettings) -> Self:
        """Return the space with this config and these settings added to its choices.

        A default range is widened to hold the config's number; if the config has None, which no
        range holds, the parameter is not searched. A range that the user has given stays as it is.

        Raises:
            SetupError: If a given range does not hold the config's value, or the gate has no name.
        """
        changes: dict[str, Any] = {}
        if self.score_rule is not None and settings.score_rule == "mean_of_n" and self.n is None:
            changes["n"] = (settings.n,)
        for name, value in self._searched_values(config, settings).items():
            changes[name] = _including(name, getattr(self, name), value)
        return type(self)(**{name: getattr(self, name) for name in PARAMETERS} | changes)

    def grid(self) -> dict[str, list[Value]]:
        """Return all choices; the sampler ``"grid"`` tries each of their combinations once.

        Conditions are ignored here: combinations that differ only in a parameter without a meaning
        are one configuration, which the sampler tries once.

        Raises:
            SetupError: If a parameter has a range without steps, or there are too many of them.
        """
        sizes = {name: self._size(name) for name in self.searched if self._reachable(name)}
        if endless := [f"`{name}`" for name, size in sizes.items() if size == math.inf]:
            raise SetupError(
                f"A grid needs choices, or a range with a step: for {', '.join(endless)} give "
                "choices, as (1, 2, 4)."
            )
        if (size := math.prod(sizes.values())) > _LARGEST_GRID:
            raise SetupError(
                f"A grid can have {_LARGEST_GRID:,} combinations at most, got {size:,}: give fewer "
                "values, or another `sampler`."
            )
        return {name: list(self.choices(name) or ()) for name in sizes}

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a space from a TOML file, a line per searched parameter.

        Choices are an array; a range is ``{ low = 1, high = 8 }``, with ``step`` and ``log`` if
        need be; None is ``"none"``. A parameter without a line is not searched.

        Raises:
            SetupError: If the file cannot be read or describes no space.
        """
        try:
            domains: dict[str, Any] = dict.fromkeys(PARAMETERS)
            return cls(**domains | domains_from_toml(read_table(Path(path))))
        except SetupError as error:
            raise SetupError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """Write the space as TOML that `from_toml` reads back to an equal one."""
        return domains_to_toml({name: getattr(self, name) for name in self.searched})

    def _ask(
        self, trial: BaseTrial, names: Iterable[str], base: Mapping[str, Value]
    ) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name in names:
            condition = PARAMETERS[name].condition
            if condition is not None and not _has_meaning(name, values):
                values[name] = condition.otherwise
            elif getattr(self, name) is None:
                values[name] = base[name]
            else:
                values[name] = _suggest(trial, name, getattr(self, name))
        return values

    def _searched_values(self, config: MOGradConfig, settings: JudgeSettings) -> dict[str, Value]:
        """Return the values of the searched parameters that have a meaning in this config."""
        values = {**config_values(config), **judge_values(settings)}
        if self.gate is not None and values["gate"] is None:
            raise SetupError(
                f"`gate` can be searched from one of {', '.join(GATES)} only, got {config.gate!r}."
            )
        return {name: values[name] for name in self.searched_in(values)}

    def _size(self, name: str) -> float:
        domain = getattr(self, name)
        return domain.count(PARAMETERS[name].kind) if isinstance(domain, Range) else len(domain)

    def _reachable(self, name: str) -> bool:
        condition = PARAMETERS[name].condition
        parents = None if condition is None else getattr(self, condition.parent)
        return condition is None or parents is None or any(map(condition.holds, parents))


def _has_meaning(name: str, values: Mapping[str, Value]) -> bool:
    condition = PARAMETERS[name].condition
    return condition is None or condition.holds(values[condition.parent])


def _suggest(trial: BaseTrial, name: str, domain: tuple[Value, ...] | Range) -> Value:
    if not isinstance(domain, Range):
        return trial.suggest_categorical(name, domain)
    if PARAMETERS[name].kind is int:
        low, high, step = int(domain.low), int(domain.high), int(domain.step or 1)
        return trial.suggest_int(name, low, high, step=step, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)


def _check_domain(name: str, domain: object) -> None:
    kind = PARAMETERS[name].kind
    if isinstance(domain, Range):
        if kind not in (int, float):
            raise SetupError(f"`{name}` takes a tuple of choices and no range, got {domain}.")
        if kind is int and not domain.whole:
            raise SetupError(f"`{name}` needs a range of whole numbers, got {domain}.")
        check_value(name, domain.low)
        check_value(name, domain.high)
        return
    if not isinstance(domain, tuple):
        raise SetupError(f"`{name}` must be a tuple of choices, a Range or None, got {domain!r}.")
    if not domain:
        raise SetupError(f"`{name}` must hold at least one choice, got none: leave it out.")
    for place, value in enumerate(domain):
        check_value(name, value)
        if value in domain[:place]:
            raise SetupError(f"`{name}` must hold each choice once, got {value!r} twice.")


def _including(name: str, domain: tuple[Value, ...] | Range, value: Value) -> Domain:
    """Return a domain that holds the value too; None if no range does, as for a name."""
    if not isinstance(domain, Range):
        return domain if value in domain else (*domain, value)
    if domain is _USUAL[name]:
        return _widened(domain, value) if isinstance(value, int | float) else None
    _check_held(name, domain, value)
    return domain


def _widened(domain: Range, value: Any) -> Range:
    low, high = min(domain.low, value), max(domain.high, value)
    return domain if domain.holds(value) else replace(domain, low=low, high=high)


def _check_held(name: str, domain: Range, value: Value) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SetupError(f"`{name}` is {value!r}, which is no number: give choices instead.")
    if not domain.holds(value):
        raise SetupError(f"`{name}` must lie in the range {domain}, got {value!r}: widen it.")
    if PARAMETERS[name].kind is int and value != int(value):
        raise SetupError(f"`{name}` must be a whole number, got {value!r}.")


def _is_same(value: object, choice: Value) -> bool:
    """Compare as Optuna does, but True is not 1."""
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)
