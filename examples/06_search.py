"""A search with Optuna: which mode and settings make the best judge of support replies?

A trial is a whole run of the optimizer with one configuration. Trials are compared on texts that
neither critiques nor gates have read; what one trial paid for costs another one nothing, and a cap
holds for all together. The study is an Optuna study like any other: the end of this script reads it
with Optuna alone. The same command goes on with a search that was cut short, or with more trials.

    python examples/06_search.py --lm openai/gpt-4o-mini --trials 8
    python examples/06_search.py --lm local/PATH.gguf --trials 2 --steps 1

40 replies are far too few to tell configurations apart; the summary says so itself. Calls: about
300 with 4 trials of 2 steps, and never more than ``--max-calls``.
"""

from pathlib import Path

import click
import dspy
import optuna

from mogradjudge import (
    Budget,
    MOGradConfig,
    MultiCriteriaJudge,
    Rubric,
    load_examples,
    split_by_group,
)
from mogradjudge.cli import run_command
from mogradjudge.cli.search_output import print_result
from mogradjudge.lm.models import adapter_for, make_lm
from mogradjudge.search import Range, SearchSpace, search

HERE = Path(__file__).parent
COUNT = click.IntRange(min=1)


@click.command()
@click.option("--lm", required=True, help="A litellm name, or local/PATH.gguf.")
@click.option("--api-base", help="The URL of an OpenAI-compatible server.")
@click.option("--trials", default=4, show_default=True, type=COUNT)
@click.option("--steps", default=2, show_default=True, type=COUNT, help="Of a trial.")
@click.option("--max-calls", default=2000, show_default=True, type=COUNT, help="Of all trials.")
@click.option("--out", default="support-search", show_default=True, type=Path, help="A folder.")
def main(lm: str, api_base: str | None, trials: int, steps: int, max_calls: int, out: Path) -> None:
    """Search for the best configuration."""
    rubric = Rubric.from_toml(HERE / "rubrics" / "support.toml")
    examples = load_examples(HERE / "data" / "support.csv", rubric)
    train, validation, selection = split_by_group(examples, fractions=(0.3, 0.3, 0.4), seed=0)
    space = SearchSpace(
        mode=("SSS", "SSC", "SCC", "CCC"),
        batch_size=(1, 3),
        editor_temperature=Range(0.0, 1.0),
        layout=None,
        gate=None,
        tolerance=None,
    )
    model = make_lm(lm, api_base)
    with dspy.context(lm=model, adapter=adapter_for(model)):
        found = search(
            MultiCriteriaJudge(rubric),
            train,
            validation,
            selection,
            space,
            trials=trials,
            base=MOGradConfig(steps=steps),
            budget=Budget(max_calls=max_calls),
            out=out,
        )
    print_result(found)

    # Nothing but Optuna from here on: a study can be read, plotted or exported by its own tools.
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{out}/study.sqlite3")
    print(study.trials_dataframe(attrs=("number", "value", "params", "state")).to_string())


if __name__ == "__main__":
    run_command(main)  # what goes wrong becomes one line
