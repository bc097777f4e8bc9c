"""The options that say what a benchmark is run on, and the commands that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
import dspy

from benchmarks.harness.paying import agreed, estimated, measured
from benchmarks.harness.rehearsal import Estimate
from benchmarks.harness.setting import (
    Setting,
    drawn,
    errors_in_one_line,
    load_rated,
    passing_folder,
    setting_of,
    smoke_setting,
)
from benchmarks.harness.workers import storage_option, workers_of
from mogradjudge import Rubric, SetupError
from mogradjudge.cli.options import together
from mogradjudge.lm.models import make_lm
from mogradjudge.settings import SCORE_RULES

_SMOKE = (
    "Small, in a planted world, without a model. What is said of models, data and texts is then "
    "ignored: all options from --lm to --max-tokens. Without --out nothing is kept."
)

setting_options = together(
    click.option("--lm", metavar="MODEL", help="The judge's model, as in `mogradjudge compile`."),
    click.option("--api-base", metavar="URL", help="The server of --lm."),
    click.option("--prompt-lm", metavar="MODEL", help="For critic, coach, editor; else --lm."),
    click.option("--prompt-api-base", metavar="URL", help="The server of --prompt-lm."),
    click.option("--rater-lm", metavar="MODEL", help="Rates gradients; else --prompt-lm."),
    click.option("--rater-api-base", metavar="URL", help="The server of --rater-lm."),
    click.option("--data", metavar="TABLE", help="Rated texts, as in `mogradjudge compile`."),
    click.option("--rubric", metavar="TOML", help="Their rubric; its `group` is the document."),
    click.option("--documents", type=click.IntRange(3), help="Draw only so many documents."),
    click.option("--per-document", type=click.IntRange(1), help="Draw only so many texts of each."),
    click.option("--score-rule", type=click.Choice(SCORE_RULES[:2]), default="integer"),
    click.option("--temperature", type=click.FloatRange(0), default=0.1, show_default=True),
    click.option("--max-tokens", type=click.IntRange(1), help="The longest reply."),
    click.option("--seeds", type=click.IntRange(1), help="Seeds of an optimizer  [default: 5]"),
    click.option("--repeats", type=click.IntRange(1), help="Scorings of a text  [default: 3]"),
    click.option("--num-threads", type=click.IntRange(1), default=8, show_default=True),
    click.option("--max-calls", type=click.IntRange(1), help="Cap on all calls for --out."),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="A folder: cells that it holds are not measured again. Needed but for --smoke.",
    ),
    storage_option,
    click.option("--yes", is_flag=True, help="Pay without being asked."),
    click.option("--smoke", is_flag=True, help=_SMOKE),
)


@dataclass(frozen=True)
class JustEstimate:
    """What a context holds where nothing is to be measured."""


def with_setting(
    show: Callable[[Setting], None],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that measures the options above, and hand it a `Setting` first.

    What it costs a real model is told before it begins, and on a terminal it needs a yes. Errors
    are one line. Who calls it with a folder that is to be removed says so with ``stays``, and who
    has told the price with ``is_agreed``; with ``estimate`` it is only counted there.

    Args:
        show: Prints what the cells of the setting say.
    """

    def decorate(measure: Callable[..., None]) -> Callable[..., None]:
        @setting_options
        @wraps(measure)
        def run(
            out: Path | None,
            *,
            smoke: bool,
            yes: bool,
            stays: bool = True,
            is_agreed: bool = False,
            estimate: Estimate | None = None,
            **arguments: Any,
        ) -> None:
            options = {name: arguments.pop(name) for name in _NAMES}
            just_counts = estimate is not None or is_estimate()
            name = click.get_current_context().command.name or ""
            with errors_in_one_line(), ExitStack() as stack:
                if out is None and (smoke or just_counts):
                    out, stays = stack.enter_context(passing_folder()), False
                setting = replace((_smoke if smoke else _real)(out, options), stays=stays)
                counted = Estimate() if estimate is None else estimate
                if just_counts or not (smoke or is_agreed):
                    estimated(name, measure, setting, counted, **arguments)
                if is_estimate() and estimate is None:
                    counted.print()
                if not just_counts and (smoke or is_agreed or agreed(counted, yes=yes)):
                    measured(measure, show, setting, **arguments)

        return run

    return decorate


def is_estimate() -> bool:
    """Whether the command was called by `python -m benchmarks estimate`."""
    return click.get_current_context().find_object(JustEstimate) is not None


_NAMES = (
    *("lm", "api_base", "prompt_lm", "prompt_api_base", "rater_lm", "rater_api_base"),
    *("data", "rubric", "documents", "per_document", "score_rule", "temperature", "max_tokens"),
    *("max_calls", "num_threads", "seeds", "repeats", "storage"),
)


def _smoke(out: Path | None, options: Mapping[str, Any]) -> Setting:
    assert out is not None
    sizes = {name: options[name] for name in ("max_calls", "num_threads")}
    sizes["workers"] = workers_of(options["storage"])
    if options["repeats"]:
        sizes["repeats"] = options["repeats"]
    if options["seeds"]:
        sizes["seeds"] = range(options["seeds"])
    return smoke_setting(out, **sizes)


def _real(out: Path | None, options: Mapping[str, Any]) -> Setting:
    for name, value in {"lm": options["lm"], "data": options["data"], "out": out}.items():
        if value is None:
            raise SetupError(f"--{name} is needed, or --smoke for a trial without a model.")
    if options["rubric"] is None:
        raise SetupError("--rubric is needed: it names the table's columns and the criteria.")
    assert out is not None
    rubric = Rubric.from_toml(options["rubric"])
    examples = drawn(
        load_rated(options["data"], rubric), options["documents"], options["per_document"]
    )
    return setting_of(
        out,
        rubric,
        examples,
        _lms(options),
        max_calls=options["max_calls"],
        workers=workers_of(options["storage"]),
        num_threads=options["num_threads"],
        score_rule=options["score_rule"],
        seeds=range(options["seeds"] or 5),
        repeats=options["repeats"] or 3,
    )


def _lms(options: Mapping[str, Any]) -> dict[str, dspy.BaseLM]:
    most = options["max_tokens"]
    judge: dspy.BaseLM = make_lm(options["lm"], options["api_base"], options["temperature"], most)
    prompts, rater = judge, judge
    if options["prompt_lm"] is not None:
        prompts = make_lm(options["prompt_lm"], options["prompt_api_base"], 0.0, most)
        rater = prompts
    if options["rater_lm"] is not None:
        rater = make_lm(options["rater_lm"], options["rater_api_base"], 0.0, most)
    return {"judge": judge, "critic": prompts, "coach": prompts, "editor": prompts, "rater": rater}
