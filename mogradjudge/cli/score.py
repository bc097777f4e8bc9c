"""``mogradjudge score``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mogradjudge.cli.options import (
    FILE,
    Names,
    fallback_option,
    reading_of,
)
from mogradjudge.cli.output import (
    Work,
    how_to_resume,
    note,
    output_options,
)
from mogradjudge.cli.saved_judge import (
    budget_of,
    failing_at_a_cap,
    judge_argument,
    judging_options,
    model_of,
    progress_of,
    raw_option,
    saved_judge,
)
from mogradjudge.cli.tables import print_scored, scored_as_dict
from mogradjudge.errors import BudgetExhausted, MogradError, ReplyError, RunStopped
from mogradjudge.files import to_json


@click.command("score", cls=Work, short_help="Score a table with a saved judge.")
@judge_argument
@judging_options
@fallback_option
@raw_option
@click.option(
    "--out", type=FILE, required=True, metavar="FILE", help="A .parquet, .csv or .jsonl file."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--prefix",
    metavar="TEXT",
    help="What the names of the added columns begin with  [default: `judge_` if DATA has a column "
    "of such a name]",
)
@click.option(
    "--estimate",
    type=FILE,
    metavar="LABELLED",
    help="A table with human ratings of some texts: estimate each criterion's mean over DATA, with "
    "an interval. Its texts are judged and paid for, too.",
)
@click.option(
    "--ray",
    type=Names("auto", "local"),
    metavar="ADDRESS",
    help="Judge on a Ray cluster: `auto` or HOST:PORT joins one, from one of its machines; `local` "
    "starts one on this machine. --num-threads then counts per CPU.",
)
@output_options
def score_command(judge: str, out: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Score every text of DATA with the saved judge JUDGE; ratings are not needed.

    JUDGE is a judge.json, or the folder of a run. All columns of DATA are kept. DATA may be of any
    length. Until the end, finished parts and paid replies are in FILE.parts; run the same command
    again to resume.

    \b
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out scores.parquet
    mogradjudge score run texts.csv --lm openai/gpt-4o-mini --out s.csv --estimate rated.csv
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out s.parquet --ray auto
    """
    from mogradjudge.scoring.options import ScoringOptions
    from mogradjudge.scoring.table import score_table

    budget, saved = budget_of(options), saved_judge(judge, options["fallback"], raw=options["raw"])
    reading = reading_of(options)
    with (
        failing_at_a_cap(as_json=as_json),
        model_of(options, saved),
        _resumable(out),
        progress_of("rows") as watch,
    ):
        scored = score_table(
            saved,
            options["data"],
            out,
            ScoringOptions(
                num_threads=options["num_threads"],
                limit=options["limit"],
                overwrite=options["overwrite"],
                max_rpm=options["max_rpm"],
                ray=options["ray"],
                budget=budget,
                keep_going=options["keep_going"],
                reading=reading,
                prefix=options["prefix"],
                estimate=options["estimate"],
            ),
            watch=watch,
        )
    if as_json:
        click.echo(to_json(scored_as_dict(scored)))
    else:
        print_scored(scored)


@contextmanager
def _resumable(out: str) -> Iterator[None]:
    """Tell the user how to resume if paid work is interrupted."""
    import dspy

    from mogradjudge.scoring.ray import ClusterFailed

    folder = Path(f"{out}.parts")
    try:
        yield
    except (RunStopped, KeyboardInterrupt) as stop:
        if folder.exists():
            note(_kept_in(folder))
        if isinstance(stop, RunStopped):
            raise click.Abort from stop
        raise
    except dspy.LMConfigurationError:
        raise
    except (BudgetExhausted, ReplyError, ClusterFailed, dspy.LMError) as error:
        raise _with_advice(error, folder) from error


def _kept_in(folder: Path, caps: Collection[str] = ()) -> str:
    return f"Finished work is kept in {folder}. {how_to_resume(caps)}"


def _with_advice(error: Exception, folder: Path) -> MogradError:
    """Add to an error where paid work is kept and how to go on."""
    import dspy

    if isinstance(error, ReplyError):
        return ReplyError(
            f"{error} The replies are kept in {folder}: delete it to send the calls again, or "
            "continue with --keep-going."
        )
    caps = [error.cap] if isinstance(error, BudgetExhausted) and error.cap else []
    advice = f" {_kept_in(folder, caps)}" if folder.exists() else ""
    if isinstance(error, MogradError):
        return type(error)(f"{error}{advice}")
    if isinstance(error, dspy.LMInvalidRequestError):
        replies = f" The paid replies are kept in {folder}." if folder.exists() else ""
        return MogradError(f"The provider refused the call: {error}{replies}")
    return MogradError(f"The provider failed ({type(error).__name__}): {error}{advice}")
