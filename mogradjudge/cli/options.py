"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from mogradjudge.cli.config_file import NONE, OrNames, protocol_option
from mogradjudge.errors import SetupError
from mogradjudge.settings import (
    AUTO_STEPS,
    JUDGE_SETTINGS,
    RUN_SETTINGS,
    SETTINGS,
    TIMEOUT,
    RunFields,
    Setting,
)

if TYPE_CHECKING:
    from mogradjudge.data import ReadOptions

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.Path()
"""A file or another source of data; shells complete it as a file."""
FOLDER = click.Path(file_okay=False)

_TYPES: Mapping[type, click.ParamType[Any]] = {
    str: click.STRING,
    int: click.INT,
    float: click.FLOAT,
}


class Names(click.ParamType):  # type: ignore[type-arg]  # generic in new versions only
    """A text; shells offer the known ones."""

    name = "text"

    def __init__(self, *known: str) -> None:
        self.known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer the known names that begin with ``incomplete``."""
        return [CompletionItem(name) for name in self.known if name.startswith(incomplete)]


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


def lm_option_that(*, is_required: bool, default: str = "") -> Decorator:
    """Make the option of the judge's model; ``default`` says what is used without it."""
    return click.option(
        "--lm",
        type=MODEL,
        required=is_required,
        metavar="MODEL",
        help="The judge's model: PROVIDER/MODEL as litellm names it, or local/PATH.gguf, "
        "local/smollm2 or local/hf:REPO/FILE for a model in this process."
        + (f"  [default: {default}]" if default else ""),
    )


data_argument = click.argument("data", type=FILE)

rubric_option = rubric_option_that(is_required=True)


def setting_options(*names: str, **changes: Any) -> Decorator:
    """Make the options of settings, with type, range and help from `SETTINGS`.

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
    names = setting.names
    if setting.other:
        return {"type": Names(*names), "metavar": f"[{'|'.join((*names, setting.other))}]"}
    if setting.kind is str and names:
        kind, names = click.Choice(names), ()
    # None can be said where it is a choice; elsewhere it means that the option is left out.
    if setting.optional and setting.searched:
        names = (*names, NONE)
    if not names:
        return {"type": kind}
    first = kind.choices if isinstance(kind, click.Choice) else (kind.name.upper(),)
    return {"type": OrNames(kind, *names), "metavar": f"[{'|'.join((*first, *names))}]"}


call_options = together(
    click.option("--api-base", metavar="URL", help="An OpenAI-compatible server's URL."),
    click.option(
        "--temperature",
        type=OrNames(click.FloatRange(0), NONE),
        default=0.0,
        show_default=True,
        metavar="[FLOAT|none]",
        help="The judge's temperature; none sends no temperature, for models that refuse it.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(1),
        help="Maximum tokens of a reply  [default: the provider's]",
    ),
    setting_options("num_threads", "max_rpm"),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="Retry a call that gets no data for this long.",
    ),
)

lm_options = together(lm_option_that(is_required=True), call_options)
saved_lm_options = together(
    lm_option_that(is_required=False, default="the one that the judge was saved with"), call_options
)

reading_options = together(
    click.option("--limit", type=int, help="Read at most this many rows of DATA."),
    click.option(
        "--sep",
        metavar="CHARACTER",
        help="What separates the fields of a CSV or TSV file, or `tab`  [default: found]",
    ),
    click.option(
        "--encoding", help="The encoding of a text file, e.g. cp1252  [default: UTF-8 or UTF-16]"
    ),
    click.option(
        "--skip-bad", is_flag=True, help="Leave out, and count, rows of DATA that cannot be used."
    ),
)
"""How DATA is read; `reading_of` makes one value of it."""


def reading_of(options: Mapping[str, Any]) -> ReadOptions:
    """Return how DATA is read."""
    from mogradjudge.data import ReadOptions

    return ReadOptions(options["sep"], options["encoding"], options["skip_bad"])


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")

agreement_options = setting_options("measure", "level")
layout_option = setting_options("layout")
judge_options = setting_options(*JUDGE_SETTINGS)

_steps_option = setting_options(
    "steps",
    default=None,
    show_default=False,
    help=f"Optimization steps  [default: {RunFields.steps}]",
)
step_options = together(_steps_option, setting_options("batch_size", "gate", "tolerance"))

_EFFORTS = ", ".join(map(str, AUTO_STEPS.values()))
_OTHERS = ("steps", "num_threads", "max_rpm")  # which stand elsewhere
config_options = together(
    protocol_option,
    click.option(
        "--auto", type=click.Choice(tuple(AUTO_STEPS)), help=f"Effort: sets --steps to {_EFFORTS}."
    ),
    _steps_option,
    setting_options(
        *(name for name in RUN_SETTINGS if RUN_SETTINGS[name].option and name not in _OTHERS)
    ),
    click.option(
        "--prompt-lm",
        type=MODEL,
        metavar="MODEL",
        help="The model of critic, coach and editor  [default: same as --lm]",
    ),
)


def cap_options_for(whom: str = "") -> Decorator:
    """Make the options of a budget; ``whom`` says in the help whose calls count."""
    return together(
        click.option(
            "--max-calls",
            type=int,
            help=f"Send at most this many LM calls{whom}, retries included.",
        ),
        click.option(
            "--max-total-tokens",
            type=int,
            help=f"Use at most this many tokens{whom}, prompts and replies.",
        ),
        click.option(
            "--max-cost",
            type=float,
            metavar="USD",
            help=f"Spend at most this many US dollars{whom}.",
        ),
        click.option("--max-seconds", type=float, help="Send no call after this many seconds."),
    )


keep_going_option = click.option(
    "--keep-going",
    is_flag=True,
    help="Continue even if none of the first 20 texts has a score.",
)


fallback_option = click.option(
    "--fallback",
    type=click.Choice(["integer"]),
    help="What replaces an expected score that cannot be computed  [default: as saved]",
)


def _share(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0 <= value < 1:
        raise SetupError(f"`--test-share` must be in [0, 1), got {value!r}.")
    return value


def test_share_option_with(use: str) -> Decorator:
    """Make the option of the held-out share; ``use`` says in the help what it is for."""
    return click.option(
        "--test-share",
        type=float,
        default=0.0,
        show_default=True,
        callback=_share,
        help=f"Share of the texts to hold out, in whole groups; {use}",
    )


run_options = together(
    config_options,
    cap_options_for(),
    test_share_option_with("the initial and the best instructions are scored on it at the end."),
)
