"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from mogradjudge.cli import choices
from mogradjudge.cli.config_file import OrNone

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.Path()
"""A file, or what else stands in its place, so that shells complete it."""
FOLDER = click.Path(file_okay=False)


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
    click.option("--num-threads", type=int, default=8, show_default=True, help="Calls in flight."),
    click.option("--max-rpm", type=int, help="Send no more LM calls than this in any minute."),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=choices.TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="A call that sends nothing for so long has failed and is tried again.",
    ),
)

lm_options = together(lm_option_that(is_required=True), call_options)

limit_option = click.option("--limit", type=int, help="Read only so many rows of DATA.")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")

level_option = click.option(
    "--level",
    type=click.Choice(choices.LEVELS),
    default="pooled",
    show_default=True,
    help="Agreement over all texts, or the mean over groups.",
)

layout_option = click.option(
    "--layout", type=click.Choice(choices.LAYOUTS), default="combined", show_default=True
)

judge_options = together(
    layout_option,
    click.option(
        "--score-rule", type=click.Choice(choices.SCORE_RULES), default="integer", show_default=True
    ),
    click.option("--n", type=int, default=1, help="Samples per text with mean_of_n."),
    click.option(
        "--rationale/--no-rationale",
        default=False,
        help="Let the judge give reasons before its scores.",
    ),
    click.option(
        "--fallback",
        type=OrNone(click.Choice(["integer"])),
        metavar="[integer|none]",
        help="What an expected score becomes where it cannot be had.",
    ),
)

step_options = together(
    click.option("--steps", type=int, help=f"Optimization steps  [default: {choices.STEPS}]"),
    click.option("--batch-size", type=int, default=3, show_default=True, help="Texts per step."),
    click.option(
        "--gate",
        type=click.Choice(choices.GATES),
        default="mean",
        show_default=True,
        help="Accept while the mean, or no criterion by more than --tolerance, falls; or always.",
    ),
    click.option("--tolerance", type=float, default=0.0, help="For --gate criterion."),
)


def _temperature(role: str, default: float | None) -> Decorator:
    return click.option(
        f"--{role}-temperature",
        type=OrNone(click.FloatRange(0)),
        default=default,
        show_default=True,
        metavar="[FLOAT|none]",
        help=f"The {role}'s; none sends none.",
    )


role_options = together(
    _temperature("critic", choices.CRITIC_TEMPERATURE),
    _temperature("coach", choices.COACH_TEMPERATURE),
    _temperature("editor", choices.EDITOR_TEMPERATURE),
    click.option(
        "--reply-retries",
        type=int,
        default=choices.REPLY_RETRIES,
        show_default=True,
        help="Further tries after a reply of theirs that cannot be used.",
    ),
    click.option(
        "--max-section-chars",
        type=int,
        default=choices.MAX_SECTION_CHARS,
        show_default=True,
        help="The longest section that the editor may write.",
    ),
)

config_options = together(
    click.option("--mode", type=click.Choice(choices.MODES), default="SSC", show_default=True),
    click.option("--auto", type=click.Choice(choices.AUTO), help="Effort, instead of --steps."),
    click.option("--seed", type=int, default=0, show_default=True),
    step_options,
    click.option(
        "--skip-tolerance",
        type=OrNone(click.FLOAT),
        metavar="[FLOAT|none]",
        help="Write no critique for scores this close.",
    ),
    level_option,
    role_options,
    click.option(
        "--edit-preamble/--no-edit-preamble",
        default=False,
        help="Let the editor rewrite the preamble too.",
    ),
    click.option("--target", type=float, help="End once the best mean agreement is at least this."),
    click.option("--patience", type=int, help="End after so many steps without anything better."),
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
