"""Options from a TOML file; the command line takes precedence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from click.types import FloatParamType, IntParamType

from mogradjudge.errors import SetupError
from mogradjudge.settings import PROTOCOLS

NONE = "none"
"""The word for None."""
_AUTO = ("auto", "steps")  # either of them says how many steps are taken


class OrNames(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """Another type's values, or one of some names; the name "none" stands for None."""

    name = "or names"

    def __init__(self, inner: click.ParamType[Any], *names: str) -> None:
        self.inner = inner
        self.names = names

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str | None:
        if value is None or self.is_name(value):
            return None if value is None or value.lower() == NONE else str(value).lower()
        converted: float | str = self.inner.convert(value, param, ctx)
        return converted

    def is_name(self, value: object) -> bool:
        """Return whether a value is one of the names, in any case."""
        return isinstance(value, str) and value.lower() in self.names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer the other type's values, and the names."""
        names = [CompletionItem(name) for name in self.names if name.startswith(incomplete)]
        return [*self.inner.shell_complete(ctx, param, incomplete), *names]


def _read_defaults(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    # Imported here, as they are slow and only needed with a file.
    from mogradjudge.search.config_file import check_table
    from mogradjudge.search.space_toml import read_table

    try:
        table = read_table(Path(path))
        options = {option.name: option for option in _options(ctx.command)}
        for name, value in table.items():
            if name not in options:
                raise SetupError(f"Unknown key {name!r}. Known keys: {', '.join(options)}.")
            _check_kind(options[name], value)
        check_table(table)
        for name, value in table.items():
            _check_click(options[name], value, ctx)
    except SetupError as error:
        raise SetupError(f"{path}: {error}") from error
    ctx.default_map = {**(ctx.default_map or {}), **table}


def _preset(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        values = {key: NONE if value is None else value for key, value in PROTOCOLS[name].items()}
        ctx.default_map = {**values, **(ctx.default_map or {})}


protocol_option = click.option(
    "--protocol",
    type=click.Choice(tuple(PROTOCOLS)),
    is_eager=True,
    expose_value=False,
    callback=_preset,
    help="paper: the paper's settings in place of the defaults; other options override them.",
)

config_option = click.option(
    "--config",
    type=click.Path(),
    metavar="TOML",
    is_eager=True,
    expose_value=False,
    callback=_read_defaults,
    help="Read options from this file (batch_size = 4); CLI options override it.",
)


def with_precedence(ctx: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """Drop a file's values that have no meaning with the command line's.

    ``--gate mean`` wins over a file's ``gate = "criterion"``, and so over its ``tolerance``.
    """
    values = dict(options)
    if ctx.default_map is None:
        return values
    from mogradjudge.settings import PARAMETERS

    def is_overruled(name: str, by: str) -> bool:
        sources = ctx.get_parameter_source(name), ctx.get_parameter_source(by)
        return sources == (ParameterSource.DEFAULT_MAP, ParameterSource.COMMANDLINE)

    for name, parameter in PARAMETERS.items():
        condition = parameter.condition
        if condition is not None and is_overruled(name, condition.parent):
            has_meaning = condition.holds(values[condition.parent])
            values[name] = values[name] if has_meaning else condition.otherwise
    for name, by in (_AUTO, _AUTO[::-1]):
        if is_overruled(name, by):
            values[name] = None
    return values


def _options(command: click.Command) -> Iterator[click.Option]:
    """Yield the options that a file may set: not the output's place or form."""
    from mogradjudge.cli.job import Options

    names = {field.name for field in fields(Options)}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in names:
            yield parameter


def _check_kind(option: click.Option, value: object) -> None:
    """Refuse what click would convert to another type: 2.5 steps to 2, true to 1."""
    kind = option.type
    if isinstance(kind, OrNames):
        if kind.is_name(value):
            return
        kind = kind.inner
    if option.is_flag:
        rule, right = "true or false", isinstance(value, bool)
    elif isinstance(kind, IntParamType):
        rule, right = "a whole number", type(value) is int
    elif isinstance(kind, FloatParamType):
        rule, right = "a number", type(value) in (int, float)
    else:
        rule, right = "a text", isinstance(value, str)
    if not right:
        raise SetupError(f"`{option.name}` must be {rule}, got {value!r}.")


def _check_click(option: click.Option, value: object, ctx: click.Context) -> None:
    try:
        option.type.convert(value, option, ctx)
    except click.BadParameter as error:
        raise SetupError(f"`{option.name}`: {error.message}") from error
