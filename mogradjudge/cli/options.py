"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from mogradjudge.cli.config_file import OrNone
from mogradjudge.settings import (
    AUTO_STEPS,
    JUDGE_SETTINGS,
    RUN_SETTINGS,
    SETTINGS,
    TIMEOUT,
    RunFields,
    Setting,
)

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.Path()
"""A file, or what else stands in its place, so that shells complete it."""
FOLDER = click.Path(file_okay=False)

_TYPES: Mapping[type, click.ParamType[Any]] = {
    str: click.STRING,
    int: click.INT,
    float: click.FLOAT,
}


class Names(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """A text; shells offer those that are known."""

    name = "text"

    def __init__(self, *known: str) -> None:
        self.known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer the known names that go on from what is typed."""
        return [CompletionItem(each) for each in self.known if each.startswith(incomplete)]


MODEL = Names("local/smollm2", "local/hf:")


def together(*decorators: Decorator) -> Decorator:
    """Make one decorator of several; the first one's option comes first in the help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def rubric_option_that(*, is_required: bool) -> Decorator:
    """Make the option of the rubric."""
    return click.option(
        "--rubric",
        type=FILE,
        required=is_required,
        metavar="TOML",
        help="The rubric: inputs, criteria and scales.",
    )


def lm_option_that(*, is_required: bool) -> Decorator:
    """Make the option of the judge's model."""
    return click.option(
        "--lm",
        type=MODEL,
        required=is_required,
        metavar="MODEL",
        help="The judge's model: PROVIDER/MODEL as litellm names it, or local/PATH.gguf, "
        "local/smollm2, local/hf:REPO/FILE for one in this process.",
    )


data_argument = click.argument("data", type=FILE)

rubric_option = rubric_option_that(is_required=True)


def setting_options(*names: str, **changes: Any) -> Decorator:
    """Make the options of settings, which are typed, bounded and explained as in `SETTINGS`.

    ``changes`` are arguments of `click.option` to use instead.
    """
    return together(*(_setting_option(SETTINGS[name], **changes) for name in names))


def _setting_option(setting: Setting, **changes: Any) -> Decorator:
    word = setting.name.replace("_", "-")
    flag = f"--{word}/--no-{word}" if setting.kind is bool else f"--{word}"
    usual: dict[str, Any] = {"help": setting.help, "default": setting.default}
    usual["show_default"] = setting.default is not None and setting.kind is not bool
    if setting.kind is not bool:
        usual |= _type_of(setting)
    return click.option(flag, **usual | changes)


def _type_of(setting: Setting) -> dict[str, Any]:
    kind: click.ParamType[Any] = _TYPES[setting.kind]
    if setting.names:
        kind = click.Choice(setting.names)
    # None can be said where it is a choice; elsewhere it means that the option is left out.
    if not (setting.optional and setting.searched):
        return {"type": kind}
    shown = "|".join(setting.names) or kind.name.upper()
    return {"type": OrNone(kind), "metavar": f"[{shown}|none]"}


call_options = together(
    click.option("--api-base", metavar="URL", help="An OpenAI-compatible server's URL."),
    click.option(
        "--temperature",
        type=OrNone(click.FloatRange(0)),
        default=0.0,
        show_default=True,
        metavar="[FLOAT|none]",
        help="The judge's; none sends none, for models that take none.",
    ),
    click.option(
        "--max-tokens", type=click.IntRange(1), help="The longest reply  [default: the provider's]"
    ),
    setting_options("num_threads", "max_rpm"),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="A call that sends nothing for so long has failed and is tried again.",
    ),
)

lm_options = together(lm_option_that(is_required=True), call_options)

limit_option = click.option("--limit", type=int, help="Read only so many rows of DATA.")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")

level_option = setting_options("level")
layout_option = setting_options("layout")
judge_options = setting_options(*JUDGE_SETTINGS)

_steps_option = setting_options(
    "steps",
    default=None,
    show_default=False,
    help=f"Optimization steps  [default: {RunFields.steps}]",
)
step_options = together(_steps_option, setting_options("batch_size", "gate", "tolerance"))

_OTHERS = ("steps", "num_threads", "max_rpm")  # which have stood above
config_options = together(
    click.option(
        "--auto", type=click.Choice(tuple(AUTO_STEPS)), help="Effort, instead of --steps."
    ),
    _steps_option,
    setting_options(
        *(name for name in RUN_SETTINGS if RUN_SETTINGS[name].option and name not in _OTHERS)
    ),
    click.option(
        "--prompt-lm",
        type=MODEL,
        metavar="MODEL",
        help="For critic, coach, editor; else --lm.",
    ),
)


def cap_options_for(whom: str = "") -> Decorator:
    """Make the options of a budget; ``whom`` says in the help whose calls count."""
    return together(
        click.option(
            "--max-calls", type=int, help=f"Send no more LM calls{whom}, retries included."
        ),
        click.option(
            "--max-total-tokens", type=int, help=f"Use no more tokens{whom}, prompts and replies."
        ),
        click.option(
            "--max-cost", type=float, metavar="USD", help=f"Spend no more US dollars{whom}."
        ),
        click.option("--max-seconds", type=float, help=f"Send no call{whom} after this time."),
    )


keep_going_option = click.option(
    "--keep-going",
    is_flag=True,
    help="Go on though none of the first 20 texts has a score.",
)


fallback_option = click.option(
    "--fallback",
    type=click.Choice(["integer"]),
    help="What an expected score becomes where it cannot be had  [default: as it was saved]",
)


def test_share_option_with(use: str) -> Decorator:
    """Make the option of the share that is held out; ``use`` says what becomes of it."""
    return click.option(
        "--test-share",
        type=float,
        default=0.0,
        show_default=True,
        help=f"Share of the texts, by whole groups, that the run never sees; {use}",
    )


run_options = together(
    config_options,
    cap_options_for(),
    test_share_option_with("the seed and the final instructions are scored on it at the end."),
)
