"""``mogradjudge compile`` and ``mogradjudge estimate``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.config_file import config_option, with_precedence
from mogradjudge.cli.options import (
    FOLDER,
    data_argument,
    judge_options,
    lm_options,
    reading_options,
    rubric_option,
    run_options,
)
from mogradjudge.cli.output import (
    Loudness,
    NothingScored,
    Work,
    display,
    how_to_resume,
    loudness,
    note,
    output_options,
)
from mogradjudge.cli.tables import print_estimate, print_run
from mogradjudge.display.terminal import is_live, say
from mogradjudge.files import to_json

if TYPE_CHECKING:
    from mogradjudge.cli import job


def run(
    options: job.Options, ready: job.Job, out: str, experiment: str | None = None
) -> dict[str, Any]:
    """Optimize into a run's folder, and return the contents of `result.json`.

    With an ``experiment``, log the run to MLflow.
    """
    import dspy

    from mogradjudge.cli.job import make_optimizer
    from mogradjudge.lm.models import adapter_for, make_lm
    from mogradjudge.optimize.progress import event_lines

    lm = make_lm(
        options.lm, options.api_base, options.temperature, options.max_tokens, options.timeout
    )
    shows = display()
    prints_headlines = shows is not False and not is_live()  # else the bar shows them
    lines = event_lines(headlines=prints_headlines, others=loudness() > Loudness.USUAL)
    optimizer = make_optimizer(options, [lines], out, display=shows)
    if experiment is not None:
        from mogradjudge.tracking import log_to_mlflow

        optimizer = log_to_mlflow(optimizer, experiment)
    with dspy.context(lm=lm, adapter=adapter_for(lm)):
        outcome = optimizer.optimize(ready.judge, trainset=ready.examples, testset=ready.test)
    return outcome.as_dict()


@click.command("compile", cls=Work, short_help="Optimize a judge on rated texts.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@config_option
@reading_options
@click.option("--out", type=FOLDER, required=True, metavar="RUN_DIR", help="The run's folder.")
@click.option(
    "--mlflow",
    "experiment",
    metavar="EXPERIMENT",
    help="Log the run to this MLflow experiment, at MLFLOW_TRACKING_URI (extra mlflow).",
)
@output_options
def compile_command(
    out: str,
    experiment: str | None,
    as_json: bool,  # noqa: FBT001 - click's
    **options: Any,
) -> None:
    """Optimize a judge on the rated texts of DATA, and save it in RUN_DIR.

    Run the same command again to resume a run that was interrupted. The exit status is 3 if no
    rewrite was scored, but 0 if none was needed to reach --target.

    \b
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """
    from mogradjudge.cli.job import Options, prepare

    chosen = Options.of(with_precedence(click.get_current_context(), options))
    result = run(chosen, prepare(chosen), out, experiment)
    if as_json:
        click.echo(to_json(result))
    else:
        print_run(result)
        say(verdict(result))
        say(f"The judge is in {out}/judge.json, all numbers are in {out}/result.json.")
        say(f"To see it as a web page: mogradjudge report {shlex.quote(out)}")
    _advise(result, out)


def _advise(result: Mapping[str, Any], out: str) -> None:
    """Say on stderr how to go on.

    Raises:
        NothingScored: If no proposal was scored, although the target was not reached without one.
        click.Abort: If the user stopped the run.
    """
    reason = result["stop_reason"]
    is_complete = reason in ("steps", "patience", "target")
    how = how_to_resume([result["cap"]] if result["cap"] else [])
    if reason not in ("target", "interrupted") and not _has_scored(result):
        remedy = f"See the steps in {out}/events.jsonl; perhaps another --prompt-lm helps."
        raise NothingScored(
            f"No rewrite was scored: {out}/judge.json has the initial instructions. "
            f"{remedy if is_complete else how}"
        )
    if not is_complete:
        note(f"The run is kept in {out}. {how}")
    if reason == "interrupted":
        raise click.Abort


def _has_scored(result: Mapping[str, Any]) -> bool:
    return not all(step["unchanged"] for step in result["steps"])


def verdict(result: Mapping[str, Any]) -> str:
    """Say in a sentence how the run ended."""
    from mogradjudge.optimize.result import STOPPED

    stopped = STOPPED[result["stop_reason"]]
    reason = stopped[0].upper() + stopped[1:]
    if result["seed_agreement"]["mean"] is None:
        return f"{reason}. The initial instructions have no agreement and are kept."
    if not _has_scored(result):
        return f"{reason}. No rewrite was scored: the initial instructions are kept."
    return f"{reason}. {result['confirmation']['sentence']}"


@click.command("estimate", cls=Work, short_help="Estimate calls, tokens and cost of compile.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@config_option
@reading_options
@output_options
def estimate_command(as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Estimate the calls, tokens and dollars that `compile` would use; sends no call.

    \b
    mogradjudge estimate ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --steps 12
    """
    from mogradjudge.cli.job import Options, make_optimizer, prepare
    from mogradjudge.lm.ledger import ROLES
    from mogradjudge.optimize.estimate import estimate
    from mogradjudge.optimize.progress import spinner

    chosen = Options.of(with_precedence(click.get_current_context(), options))
    with spinner("simulating the run", display=display()):
        ready = prepare(chosen)
        writer = chosen.prompt_lm or chosen.lm
        models = {role: chosen.lm if role == "judge" else writer for role in ROLES}
        config = make_optimizer(chosen).config
        rows = estimate(config, ready.judge, ready.examples, None, models, ready.test)
    if as_json:
        click.echo(to_json([row.as_dict() for row in rows]))
    else:
        print_estimate(rows)
