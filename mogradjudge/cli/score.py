"""``mogradjudge score`` and ``mogradjudge evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import click
import dspy

from mogradjudge.agreement import Level
from mogradjudge.cli.options import (
    data_argument,
    json_option,
    level_option,
    limit_option,
    lm_options,
)
from mogradjudge.cluster import ClusterFailed
from mogradjudge.data import load_examples
from mogradjudge.errors import MogradError, RunStopped
from mogradjudge.files import to_json
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.models import adapter_for, make_lm
from mogradjudge.progress import shown_rows
from mogradjudge.replies import replies_kept_in
from mogradjudge.scored_table import score_table
from mogradjudge.scoring import evaluation_report
from mogradjudge.tables import print_evaluation, print_scored

judge_argument = click.argument("judge", metavar="JUDGE.json")


@click.command("score", short_help="Score a table with a saved judge.")
@judge_argument
@data_argument
@lm_options
@limit_option
@click.option("--out", required=True, metavar="FILE", help="A .parquet, .csv or .jsonl file.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Judge on a Ray cluster: `auto` or HOST:PORT joins one, from one of its machines; `local` "
    "starts one on this machine for the while. --num-threads is then for each CPU.",
)
def score_command(
    judge: str,
    data: str,
    lm: str,
    api_base: str | None,
    temperature: float,
    max_tokens: int | None,
    num_threads: int,
    max_rpm: int | None,
    timeout: float,
    limit: int | None,
    out: str,
    overwrite: bool,  # noqa: FBT001 - click's
    ray: str | None,
) -> None:
    """Score every text of DATA with the saved judge JUDGE.json; ratings are not needed.

    All columns of DATA are kept. DATA may be of any length: while it works, finished parts and paid
    replies lie in FILE.parts, and the same command takes up what was cut short.

    \b
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out scores.parquet
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out s.parquet --ray auto
    """
    saved = _judge(judge)
    model = make_lm(lm, api_base, temperature, max_tokens, timeout)
    with dspy.context(lm=model, adapter=adapter_for(model)), _taken_up(out), shown_rows() as watch:
        scored = score_table(
            saved,
            data,
            out,
            num_threads,
            limit,
            max_rpm=max_rpm,
            overwrite=overwrite,
            watch=watch,
            ray=ray,
        )
    print_scored(scored)


@contextmanager
def _taken_up(out: str) -> Iterator[None]:
    """Say, where paid work is cut short, that it is not lost."""
    folder = Path(f"{out}.parts")
    kept = f"What is finished is kept in {folder}; the same command takes it up."
    try:
        yield
    except (RunStopped, KeyboardInterrupt) as stop:
        if folder.exists():
            click.echo(kept, err=True)
        if isinstance(stop, RunStopped):
            raise click.Abort from stop
        raise
    except ClusterFailed as error:
        raise ClusterFailed(f"{error} {kept}" if folder.exists() else str(error)) from error
    except dspy.LMConfigurationError:
        raise
    except dspy.LMError as error:
        failed = f"The provider failed ({type(error).__name__}): {error}"
        raise MogradError(f"{failed} {kept}" if folder.exists() else failed) from error


@click.command("evaluate", short_help="Agreement of a saved judge with human ratings.")
@judge_argument
@data_argument
@lm_options
@limit_option
@level_option
@json_option
def evaluate_command(
    judge: str,
    data: str,
    lm: str,
    api_base: str | None,
    temperature: float,
    max_tokens: int | None,
    num_threads: int,
    max_rpm: int | None,
    timeout: float,
    limit: int | None,
    level: Level,
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Measure how well the saved judge JUDGE.json agrees with the human columns of DATA.

    \b
    mogradjudge evaluate run/judge.json held_out.csv --lm openai/gpt-4o-mini
    """
    saved = _judge(judge)
    examples = load_examples(data, saved.rubric, limit)
    model = make_lm(lm, api_base, temperature, max_tokens, timeout)
    with _replies(api_base), dspy.context(lm=model, adapter=adapter_for(model)):
        try:
            report = evaluation_report(saved, examples, num_threads, level, max_rpm)
        except RunStopped as stop:
            raise click.Abort from stop
    if as_json:
        click.echo(to_json(report))
    else:
        print_evaluation(report)


def _replies(api_base: str | None) -> AbstractContextManager[None]:
    """Choose where replies are kept; DSPy's store does not tell one server from another."""
    return nullcontext() if api_base is None else replies_kept_in(None)


def _judge(path: str) -> MultiCriteriaJudge:
    """Load a judge; it speaks with the model asked for, not with one that its file names."""
    judge = MultiCriteriaJudge.from_saved(path)
    judge.set_lm(None)
    return judge
