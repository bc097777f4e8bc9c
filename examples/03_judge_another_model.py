r"""What another model writes, scored by a judge, with the bill of both by role.

A second model (``--writer``) answers the questions of ``data/support.csv``, and a saved judge
(``--judge``, from ``mogradjudge compile``) scores the answers. The judge is loaded
from its file alone, with the rubric and the settings that it was saved with. The table of answers
may be of any length: it is scored as a stream, and equal texts are paid for once.

    python examples/03_judge_another_model.py --lm openai/gpt-4o --writer openai/gpt-4o-mini \
        --judge run/judge.json
    python examples/03_judge_another_model.py --lm local/PATH.gguf --limit 3

Without ``--judge`` it is the judge that a run starts from. Calls: 20, two per question. Dollars
are litellm's prices, and a dash where it knows none.
"""

import csv
from pathlib import Path

import click
import dspy

from mogradjudge import MultiCriteriaJudge, Rubric, load_examples
from mogradjudge.cli import run_command
from mogradjudge.cli.tables import print_ledger
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.models import adapter_for, make_lm
from mogradjudge.scoring.table import score_table

HERE = Path(__file__).parent
RUBRIC = Rubric.from_toml(HERE / "rubrics" / "support.toml")
SAVED = click.Path(exists=True, dir_okay=False, path_type=Path)


def write_replies(writer: dspy.LM, questions: list[str], path: Path, ledger: Ledger) -> None:
    """Let a model answer each question, its calls booked, and keep the answers in a CSV file."""
    reply = dspy.Predict(dspy.Signature("question -> reply", "Answer a customer of a shop."))
    with booked(ledger, "writer", ()), dspy.context(lm=writer, adapter=adapter_for(writer)):
        written = [(question, reply(question=question).reply) for question in questions]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "reply"), *written])


@click.command()
@click.option("--lm", required=True, help="The judge's: a litellm name, or local/PATH.gguf.")
@click.option("--writer", help="The model that is judged; the judge's own if not given.")
@click.option("--api-base", help="The URL of an OpenAI-compatible server, of both.")
@click.option("--judge", type=SAVED, help="A saved judge; else the one that a run starts from.")
@click.option("--limit", type=click.IntRange(min=1), help="Ask only so many questions.")
@click.option("--out", default="replies", show_default=True, type=Path, help="A new folder.")
def main(
    lm: str, writer: str | None, api_base: str | None, judge: Path | None, limit: int, out: Path
) -> None:
    """Let a model write replies, and score them."""
    # All that can be wrong with the options comes to light before the first call is paid.
    saved = MultiCriteriaJudge.from_saved(judge) if judge else MultiCriteriaJudge(RUBRIC)
    model, writing = make_lm(lm, api_base), make_lm(writer or lm, api_base)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise click.UsageError(f"--out must be a new or empty folder; {out} holds files.")

    questions = [each.question for each in load_examples(HERE / "data" / "support.csv", RUBRIC)]
    asked = list(dict.fromkeys(questions))[:limit]
    ledger = Ledger()
    write_replies(writing, asked, out / "replies.csv", ledger)
    with dspy.context(lm=model, adapter=adapter_for(model)):
        scored = score_table(saved, out / "replies.csv", out / "scores.csv")

    with scored.out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        print(*(row[name] or "-" for name in saved.rubric.names), row["reply"][:60])
    for name in saved.rubric.names:
        scores = [float(row[name]) for row in rows if row[name]]
        mean = f"{sum(scores) / len(scores):.2f}" if scores else "-"
        print(f"{name}: mean {mean}, {scored.unscored[name]} unscored")
    print_ledger([row.as_dict() for row in (*ledger.rows, *scored.ledger)])


if __name__ == "__main__":
    run_command(main)  # what goes wrong becomes one line
