"""A judge of customer-support replies, from a CSV file of rated replies to a saved judge.

It reads ``data/support.csv`` (40 replies to 10 tickets, rated on three criteria), splits it by
ticket, optimizes the judge's instructions, and says how well the judge agrees with the ratings on
held-out tickets, before and after. ``--out`` then holds ``judge.json``, for DSPy and
for ``mogradjudge score``, and all that the run did; the same command takes up what was cut short.

    python examples/01_support_judge.py --lm openai/gpt-4o-mini
    python examples/01_support_judge.py --lm local/PATH.gguf --mode CCC --steps 1
    python examples/01_support_judge.py --lm openai/NAME --api-base http://localhost:8000/v1

For a table of your own change the rubric: it names the columns. Calls: at most 292 with 4 steps.
"""

from pathlib import Path

import click
import dspy

from mogradjudge import MODES, MOGrad, MultiCriteriaJudge, Rubric, load_examples, split_by_group
from mogradjudge.cli import run_command
from mogradjudge.cli.tables import print_run
from mogradjudge.lm.models import adapter_for, make_lm

HERE = Path(__file__).parent


@click.command()
@click.option("--lm", required=True, help="A litellm name, or local/PATH.gguf.")
@click.option("--api-base", help="The URL of an OpenAI-compatible server.")
@click.option("--mode", type=click.Choice(list(MODES)), default="SSC", show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--out", default="support-run", show_default=True, help="The run's folder.")
def main(lm: str, api_base: str | None, mode: str, steps: int, out: str) -> None:
    """Compile a judge of support replies."""
    rubric = Rubric.from_toml(HERE / "rubrics" / "support.toml")
    examples = load_examples(HERE / "data" / "support.csv", rubric)
    # Replies to one ticket stay on one side, or the judge would be tested on what it has seen.
    train, validation, test = split_by_group(examples, fractions=(0.4, 0.3, 0.3), seed=0)

    model = make_lm(lm, api_base)
    with dspy.context(lm=model, adapter=adapter_for(model)):
        judge = MultiCriteriaJudge(rubric)
        optimizer = MOGrad(mode, steps=steps, seed=0, run_dir=out)
        result = optimizer.optimize(judge, trainset=train, valset=validation, testset=test)

        print_run(result.as_dict())
        for name, predictor in result.program.named_predictors():
            print(f"--- {name}\n{predictor.signature.instructions}\n")

        saved = MultiCriteriaJudge.from_saved(Path(out) / "judge.json")
        prediction = saved(question="Do you ship to Malta?", reply="Yes, in four days, for 6.90.")
        print({name: prediction[name] for name in rubric.names})


if __name__ == "__main__":
    run_command(main)  # what goes wrong becomes one line
