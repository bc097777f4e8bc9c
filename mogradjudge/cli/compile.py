"""``mogradjudge compile`` and ``mogradjudge estimate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
import dspy

from mogradjudge.cli.config_file import config_option, with_precedence
from mogradjudge.cli.job import Job, Options, make_optimizer, prepare
from mogradjudge.cli.options import (
    data_argument,
    json_option,
    judge_options,
    limit_option,
    lm_options,
    rubric_option,
    run_options,
)
from mogradjudge.estimate import estimate
from mogradjudge.events import Event, describe
from mogradjudge.files import to_json
from mogradjudge.ledger import ROLES
from mogradjudge.models import adapter_for, make_lm
from mogradjudge.progress import HEADLINES
from mogradjudge.result import StopReason
from mogradjudge.tables import print_estimate, print_run


def run(options: Options, job: Job, out: str) -> dict[str, Any]:
    """Optimize into a run's folder; gives what `result.json` holds."""
    lm = make_lm(
        options.lm, options.api_base, options.temperature, options.max_tokens, options.timeout
    )
    optimizer = make_optimizer(options, [_tell], out)
    with dspy.context(lm=lm, adapter=adapter_for(lm)):
        outcome = optimizer.optimize(
            job.judge, trainset=job.train, valset=job.validation, testset=job.test
        )
    return outcome.as_dict()


def _tell(event: Event) -> None:
    """Write a line to a log; on a terminal the progress bar does."""
    if isinstance(event, HEADLINES) and not sys.stderr.isatty():
        click.echo(describe(event), err=True)


@click.command("compile", short_help="Optimize a judge on rated texts.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@config_option
@limit_option
@click.option("--out", required=True, metavar="RUN_DIR", help="The run's folder.")
@json_option
def compile_command(out: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Optimize a judge on the rated texts of DATA, and save it in RUN_DIR.

    Running it again with the same RUN_DIR takes the run up where it was cut short.

    \b
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """
    chosen = Options(**with_precedence(click.get_current_context(), options))
    result = run(chosen, prepare(chosen), out)
    if as_json:
        click.echo(to_json(result))
    else:
        print_run(result)
        click.echo(verdict(result))
        click.echo(f"{out}/judge.json holds the judge, {out}/result.json all figures.")
    if result["stop_reason"] not in ("steps", "patience", "target"):
        click.echo(f"The same command takes the run in {out} up where it stands.", err=True)
    if result["stop_reason"] == "interrupted":
        raise click.Abort


_ENDS: Mapping[StopReason, str] = {
    "steps": "All steps were taken",
    "budget": "The budget ran out",
    "patience": "Nothing better was found for a while",
    "target": "The target was reached",
    "stop_file": "The stop file ended the run",
    "interrupted": "The run was interrupted",
}


def verdict(result: Mapping[str, Any]) -> str:
    """Say in a sentence how the run ended."""
    reason = _ENDS[result["stop_reason"]]
    if result["seed_agreement"]["mean"] is None:
        return f"{reason}. The seed instructions have no agreement to compare with: they stay."
    if all(step["unchanged"] for step in result["steps"]):
        return f"{reason}. No rewritten instructions were scored: the seed instructions stay."
    if result["seed_kept"]:
        return f"{reason}. Nothing beat the seed instructions on the validation texts: they stay."
    return f"{reason}. The rewritten instructions did best on the validation texts."


@click.command("estimate", short_help="What compile would use, before paying.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@config_option
@limit_option
@json_option
def estimate_command(as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Say which calls, tokens and dollars `compile` would use; sends no call.

    \b
    mogradjudge estimate ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --steps 12
    """
    chosen = Options(**with_precedence(click.get_current_context(), options))
    job = prepare(chosen)
    writer = chosen.prompt_lm or chosen.lm
    models = {role: chosen.lm if role == "judge" else writer for role in ROLES}
    config = make_optimizer(chosen).config
    rows = estimate(config, job.judge, job.train, job.validation, models, job.test)
    if as_json:
        click.echo(to_json([row.as_dict() for row in rows]))
    else:
        print_estimate(rows)
