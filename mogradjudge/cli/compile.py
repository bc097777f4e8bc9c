"""``mogradjudge compile`` and ``mogradjudge estimate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
import dspy

from mogradjudge.cli.job import Job, Options, asked_of, make_optimizer, prepare
from mogradjudge.cli.options import (
    data_argument,
    json_option,
    judge_options,
    limit_option,
    lm_options,
    rubric_option,
    run_options,
)
from mogradjudge.errors import BudgetExhausted
from mogradjudge.estimate import estimate
from mogradjudge.evaluation import agreement_of, check_measurable
from mogradjudge.events import Event, describe
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.ledger import ROLES, Ledger
from mogradjudge.models import adapter_for, make_lm
from mogradjudge.objectives import rubric_objectives
from mogradjudge.progress import HEADLINES
from mogradjudge.result import OptimizationResult
from mogradjudge.runs import RunDirectory, to_json
from mogradjudge.scoring import judge_table
from mogradjudge.tables import print_estimate, print_run


def check(options: Options, job: Job) -> None:
    """Check, before the folder is claimed and any call is paid, that figures can come of it."""
    check_measurable(job.validation, job.rubric, options.level, "validation")
    if job.test:
        check_measurable(job.test, job.rubric, options.level, "test")


def run(options: Options, job: Job, folder: RunDirectory) -> dict[str, Any]:
    """Optimize into a run's folder; gives what `result.json` holds."""
    lm = make_lm(
        options.lm, options.api_base, options.temperature, options.max_tokens, options.timeout
    )
    ledger = Ledger(options.max_calls, options.num_threads)
    with (
        folder.recording() as observer,
        dspy.context(lm=lm, adapter=adapter_for(lm)),
    ):
        outcome = make_optimizer(options, [observer, _tell]).optimize(
            job.judge, trainset=job.train, valset=job.validation, ledger=ledger
        )
        result = outcome.as_dict()
        folder.finish(outcome.program, job.rubric, result)
        if job.test and result["stop_reason"] == "steps":
            result["test"] = _on_test(options, job, outcome, ledger)
            result["ledger"] = [row.as_dict() for row in ledger.rows]
            result["calls"] = ledger.calls
            folder.finish(outcome.program, job.rubric, result)
    return result


def _tell(event: Event) -> None:
    """Write a line to a log; on a terminal the progress bar does."""
    if isinstance(event, HEADLINES) and not sys.stderr.isatty():
        click.echo(describe(event), err=True)


def _on_test(
    options: Options, job: Job, outcome: OptimizationResult, ledger: Ledger
) -> dict[str, Any] | None:
    """Score both ends of the run on the texts that it never saw; None if the budget is spent."""
    objectives = rubric_objectives(job.rubric, options.level)

    def agreement(judge: MultiCriteriaJudge) -> dict[str, float | None]:
        judgements = judge_table(judge, job.test, ledger, options.num_threads)
        return agreement_of(judgements, objectives).as_dict()

    try:
        seed = agreement(job.judge)
        final = seed if outcome.seed_kept else agreement(outcome.program)
    except BudgetExhausted:
        return None
    return {"n": len(job.test), "seed": seed, "final": final}


@click.command("compile", short_help="Optimize a judge on rated texts.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@limit_option
@click.option("--out", required=True, metavar="RUN_DIR", help="The run's folder.")
@json_option
def compile_command(out: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Optimize a judge on the rated texts of DATA, and save it in RUN_DIR.

    Running it again with the same RUN_DIR takes the run up where it was cut short.

    \b
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """
    chosen = Options(**options)
    job = prepare(chosen)
    check(chosen, job)
    folder = RunDirectory(out, asked_of(chosen, job))
    result = folder.result()
    if result is not None and (not job.test or result.get("test")):
        click.echo(f"{out} holds this run already, finished.", err=True)
    else:
        result = run(chosen, job, folder)
    if as_json:
        click.echo(to_json(result))
        return
    print_run(result)
    click.echo(verdict(result))
    click.echo(f"{out}/judge.json holds the judge, {out}/result.json all figures.")
    if result["stop_reason"] == "interrupted":
        raise click.Abort


def verdict(result: Mapping[str, Any]) -> str:
    """Say in a sentence how the run ended."""
    ended = {"steps": "All steps were taken", "budget": "The budget ran out"}
    reason = ended.get(result["stop_reason"], "The run was interrupted")
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
@limit_option
@json_option
def estimate_command(as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Say which calls, tokens and dollars `compile` would use; sends no call.

    \b
    mogradjudge estimate ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --steps 12
    """
    chosen = Options(**options)
    job = prepare(chosen)
    writer = chosen.prompt_lm or chosen.lm
    models = {role: chosen.lm if role == "judge" else writer for role in ROLES}
    config = make_optimizer(chosen).config
    rows = estimate(config, job.judge, job.train, job.validation, models, job.test)
    if as_json:
        click.echo(to_json([row.as_dict() for row in rows]))
    else:
        print_estimate(rows)
