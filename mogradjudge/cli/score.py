"""``mogradjudge score`` and ``mogradjudge evaluate``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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
from mogradjudge.data import load_examples
from mogradjudge.files import to_json
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.ledger import Ledger
from mogradjudge.models import adapter_for, make_lm
from mogradjudge.replies import replies_kept_in
from mogradjudge.scoring import check_output, evaluation_report, judge_table, write_scores
from mogradjudge.tables import print_evaluation, print_ledger

judge_argument = click.argument("judge", metavar="JUDGE.json")


@click.command("score", short_help="Score a table with a saved judge.")
@judge_argument
@data_argument
@lm_options
@limit_option
@click.option("--out", required=True, metavar="FILE", help="A .parquet, .csv or .jsonl file.")
def score_command(
    judge: str,
    data: str,
    lm: str,
    api_base: str | None,
    temperature: float,
    max_tokens: int | None,
    num_threads: int,
    limit: int | None,
    out: str,
) -> None:
    """Score every text of DATA with the saved judge JUDGE.json; ratings are not needed.

    \b
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out scores.parquet
    """
    path = Path(out)
    check_output(path)
    saved = _judge(judge)
    examples = load_examples(data, saved.rubric, limit, require_human=False)
    model = make_lm(lm, api_base, temperature, max_tokens)
    with _replies(api_base), dspy.context(lm=model, adapter=adapter_for(model)):
        ledger = Ledger(max_in_flight=num_threads)
        judgements = judge_table(saved, examples, ledger, num_threads)
    write_scores(saved, judgements, path)
    print_ledger([row.as_dict() for row in ledger.rows])
    click.echo(f"{out} holds the scores of {len(judgements)} texts.")


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
    model = make_lm(lm, api_base, temperature, max_tokens)
    with _replies(api_base), dspy.context(lm=model, adapter=adapter_for(model)):
        report = evaluation_report(saved, examples, num_threads, level)
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
