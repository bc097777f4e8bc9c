"""Options from a file, for what the command line does not say."""

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

_AUTO = ("auto", "steps")  # either of them says how many steps are taken


class OrNone(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """What another type takes, or the word "none" for None."""

    name = "or none"

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str | None:
        if value is None or _is_none(value):
            return None
        converted: float | str = self.inner.convert(value, param, ctx)
        return converted

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer what the other type offers, and the word."""
        none = [CompletionItem("none")] if "none".startswith(incomplete) else []
        return [*self.inner.shell_complete(ctx, param, incomplete), *none]


def _is_none(value: object) -> bool:
    return isinstance(value, str) and value.lower() == "none"


def _take_up(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    # Only who gives a file waits for the imports.
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


config_option = click.option(
    "--config",
    type=click.Path(),
    metavar="TOML",
    is_eager=True,
    expose_value=False,
    callback=_take_up,
    help="Take options from this file, as batch_size = 4; those given here win.",
)


def with_precedence(ctx: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """Let go of a file's values that have no meaning with what the command line says.

    ``--gate mean`` wins over a file's ``gate = "criterion"``, and so over its ``tolerance``.
    """
    found = dict(options)
    if ctx.default_map is None:
        return found
    from mogradjudge.settings import PARAMETERS

    def is_overruled(name: str, by: str) -> bool:
        sources = ctx.get_parameter_source(name), ctx.get_parameter_source(by)
        return sources == (ParameterSource.DEFAULT_MAP, ParameterSource.COMMANDLINE)

    for name, parameter in PARAMETERS.items():
        condition = parameter.condition
        if condition is not None and is_overruled(name, condition.parent):
            meant = found[condition.parent] in condition.values
            found[name] = found[name] if meant else condition.otherwise
    for name, by in (_AUTO, _AUTO[::-1]):
        if is_overruled(name, by):
            found[name] = None
    return found


def _options(command: click.Command) -> Iterator[click.Option]:
    """Give the options that say what is run; where it is kept, and shown how, is no setting."""
    from mogradjudge.cli.job import Options

    names = {field.name for field in fields(Options)}
    for each in command.params:
        if isinstance(each, click.Option) and each.name in names:
            yield each


def _check_kind(option: click.Option, value: object) -> None:
    """Refuse what click would turn into another kind: 2.5 steps into 2, true into 1."""
    kind = option.type
    if isinstance(kind, OrNone):
        if _is_none(value):
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
