"""``mogradjudge compile`` and ``mogradjudge estimate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
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
    tell_report,
)
from mogradjudge.cli.paired import print_claims, print_edits
from mogradjudge.cli.tables import print_estimate, print_run
from mogradjudge.display.terminal import is_live, say, tell
from mogradjudge.errors import SetupError
from mogradjudge.files import to_json

if TYPE_CHECKING:
    from mogradjudge.cli import job
    from mogradjudge.optimize.config import MOGradConfig
    from mogradjudge.optimize.estimate import RoleEstimate

_CAPS = ("max_calls", "max_total_tokens", "max_cost", "max_seconds")


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
@click.option("--yes", is_flag=True, help="Do not ask on a terminal whether to go on.")
@click.option("--no-report", is_flag=True, help="Write no report.html.")
@output_options
def compile_command(
    out: str,
    experiment: str | None,
    yes: bool,  # noqa: FBT001 - click's
    no_report: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **options: Any,
) -> None:
    """Optimize a judge on the rated texts of DATA, and save it in RUN_DIR.

    What it may cost is said first; on a terminal it asks whether to go on. Run the same command
    again to resume a run that was interrupted, or with more --steps to take an ended one further.
    The exit status is 3 if no rewrite was scored, but 0 if none was needed to reach --target.

    \b
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """
    from mogradjudge.cli.job import Options, prepare
    from mogradjudge.optimize.directory import JUDGE
    from mogradjudge.report.write import REPORT

    chosen = Options.of(with_precedence(click.get_current_context(), options))
    ready = prepare(chosen)
    _announce(chosen, ready, out, asks=not yes)
    result = run(chosen, ready, out, experiment)
    if as_json:
        click.echo(to_json(result))
    else:
        print_run(result)
        _print_difference(Path(out), JUDGE if no_report else REPORT)
        say(verdict(result))
        say(f"The judge is in {out}/judge.json, all numbers are in {out}/result.json.")
    if not no_report and result["stop_reason"] != "interrupted":
        _report(Path(out), as_json=as_json)
    _advise(result, out)


def _announce(options: job.Options, ready: job.Job, out: str, *, asks: bool) -> None:
    """Say what is about to be done and paid, and ask on a terminal; nothing for an ended run.

    Raises:
        click.Abort: If the user does not go on.
    """
    from mogradjudge.cli.job import make_optimizer
    from mogradjudge.optimize.directory import STATE
    from mogradjudge.optimize.state import State

    if loudness() is Loudness.QUIET:
        return
    before, config = State.read(Path(out, STATE)), make_optimizer(options).config
    if (more := config.steps - len(before.steps if before else ())) < 1:
        return
    config = replace(config, steps=more)
    for line in describe_job(options, ready, config, before.calls if before else None):
        note(line)
    if asks and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Go on?", default=True, abort=True, err=True)


def describe_job(
    options: job.Options, ready: job.Job, config: MOGradConfig, calls_before: int | None = None
) -> list[str]:
    """Say how the texts are used, and what calls and dollars to expect.

    Args:
        options: The options of the command.
        ready: The judge and the texts.
        config: The settings, with the steps that are to come.
        calls_before: The calls of the run that is resumed; None for a new one.
    """
    from mogradjudge.optimize.datasets import examples_of, too_few_to_confirm

    used = examples_of(config, None, ready.examples, None, ready.test).describe()
    too_few = too_few_to_confirm(config, ready.examples, ready.test)
    rows = _estimated(options, ready, config)
    calls, likely = (sum(getattr(row, key) for row in rows) for key in ("calls", "likely_calls"))
    costs = [row.cost for row in rows]
    price = "the price is unknown"
    if None not in costs:
        most = sum(cost or 0.0 for cost in costs)
        expected = sum((row.cost or 0.0) * row.likely_calls / max(1, row.calls) for row in rows)
        price = f"US$ {most:.3f} at most, about {expected:.3f} expected"
    caps = [f"--{name.replace('_', '-')} {cap}" for name in _CAPS if (cap := vars(options)[name])]
    capped = f"; capped by {', '.join(caps)}" if caps else ""
    most_calls = f"{calls} at most"
    if calls_before is not None:
        most_calls = f"{calls_before} so far, {calls} more at most"
    return [
        used,
        f"Calls: {most_calls}, about {likely} expected; {price}{capped}.",
        *filter(None, [too_few]),
    ]


def _print_difference(out: Path, whole: str) -> None:
    """Print the test of each difference, and what changed in the instructions.

    ``whole`` is the file that has all of it.
    """
    from mogradjudge.report.edits import whole_edits
    from mogradjudge.report.run_data import read_run
    from mogradjudge.report.scores import options_of
    from mogradjudge.report.section import Findings, Limits

    findings = Findings(read_run(out))
    if (ends := next(iter(findings.ends.values()), None)) is not None and ends.claims:
        title = f"Best minus initial on the {ends.split} texts, tested by criterion"
        title = f"{title} (p adjusted for their number, Holm); n: documents"
        print_claims(ends.claims, title, options_of(findings.run).weights)
    print_edits(whole_edits(findings.run, Limits(400)), f"{out}/{whole}")


def _report(out: Path, *, as_json: bool) -> None:
    """Write the report; a result that is paid for does not fail for want of it."""
    from mogradjudge.report import write_report

    try:
        path = write_report(out)
    except SetupError as error:
        tell(f"There is no report: {error}")
    else:
        tell_report(path, as_json=as_json)


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
    return f"{result['confirmation']['sentence']} {reason}."


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

    chosen = Options.of(with_precedence(click.get_current_context(), options))
    rows = _estimated(chosen, prepare(chosen), make_optimizer(chosen).config)
    if as_json:
        click.echo(to_json([row.as_dict() for row in rows]))
    else:
        print_estimate(rows)


def _estimated(
    options: job.Options, ready: job.Job, config: MOGradConfig
) -> tuple[RoleEstimate, ...]:
    """Simulate the run, and return what each role would use."""
    from mogradjudge.lm.ledger import ROLES
    from mogradjudge.optimize.estimate import estimate
    from mogradjudge.optimize.progress import spinner

    writer = options.prompt_lm or options.lm
    models = {role: options.lm if role == "judge" else writer for role in ROLES}
    with spinner("simulating the run", display=display()):
        return estimate(config, ready.judge, ready.examples, None, models, ready.test)
