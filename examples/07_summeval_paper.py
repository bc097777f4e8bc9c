r"""SummEval in the setting of "When Gradients Collide" (Darshan and Divekar, arXiv 2605.26046).

The four modes, and ST, where each criterion has an optimizer and a judge of its own: batches of 3
texts, 12 steps, 3 runs, the seed instruction "Rate from 1 to 5.", the judge at temperature 0.1,
critic and coach at 0.3, the editor at 0.7, 160 training texts, a gate on 100 by the mean of
Spearman's rho, 480 test texts. Two things differ on purpose: an article's summaries stay in one
part, and no gate text is a training text. That takes 47 articles; the hub's data set has 100.

    python examples/07_summeval_paper.py --lm openai/gpt-4o-mini
    python examples/07_summeval_paper.py --lm local/PATH.gguf --data summeval.parquet \
        --rubric examples/rubrics/summeval.toml --modes CCC --runs 1 --steps 1 --sizes 16 16 16

A row is a run: rho on the test texts, over all of them, and the mean's 95 % interval over articles.
Rows whose intervals overlap may differ all the same, and the best of several runs is partly luck:
``python -m benchmarks modes`` makes claims about modes, this script reproduces a table. Runs are
kept in ``--out``; the same command takes up what was cut short. Calls: at most 49 728.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import dspy

from mogradjudge import MOGrad, MultiCriteriaJudge, Rubric, load_examples, split_by_group
from mogradjudge.cli import run_command
from mogradjudge.display.terminal import number, print_table
from mogradjudge.lm.models import adapter_for, make_lm
from mogradjudge.scoring.evaluate import evaluation_report

RUBRIC = Path(__file__).parent / "rubrics" / "summeval_hub.toml"
MODES = ("ST", "SSS", "SSC", "SCC", "CCC")
COUNT = click.IntRange(min=1)


def modes_of(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    """Read the value of ``--modes``."""
    modes = text.split(",")
    if not set(modes) <= set(MODES):
        raise click.BadParameter(f"must be some of {','.join(MODES)} with commas, got {text!r}.")
    return modes


def split(examples: list[dspy.Example], sizes: tuple[int, int, int]) -> list[list[dspy.Example]]:
    """Draw three parts of so many texts, an article in one part at most; the rest is not used."""
    # A part gets whole articles, of 16 summaries each, and loses what is more than its size.
    whole = [-(-size // 16) * 16 for size in sizes]
    if sum(whole) > len(examples):
        raise click.UsageError(f"--sizes needs {sum(whole)} texts, --data has {len(examples)}.")
    shares = [size / len(examples) for size in (*whole, len(examples) - sum(whole)) if size]
    parts = split_by_group(examples, shares, seed=0)
    return [part[:size] for part, size in zip(parts, sizes, strict=False)]


def run(
    mode: str, rubric: Rubric, steps: int, seed: int, out: Path, parts: list[list[dspy.Example]]
) -> tuple[MultiCriteriaJudge, int]:
    """Give the judge that a run ends with, and the calls that it took."""
    if mode != "ST":
        folder = out / f"{mode}-{seed}"
        optimizer = MOGrad(mode, protocol="paper", steps=steps, seed=seed, run_dir=folder)
        judge = MultiCriteriaJudge(rubric)
        result = optimizer.optimize(judge, trainset=parts[0], valset=parts[1])
        return result.program, result.calls
    together, calls = MultiCriteriaJudge(rubric, layout="separate"), 0
    for each in rubric.criteria:
        alone = replace(rubric, criteria=(each,))
        single, paid = run("SSS", alone, steps, seed, out / f"ST-{each.name}", parts)
        together.judges[each.name].signature = single.judges[each.name].signature
        calls += paid
    return together, calls


def row(name: str, calls: int, report: dict[str, Any]) -> list[str]:
    """Give a line of the table."""
    low, high = report["mean_interval"] or (None, None)
    rhos = [number(each["spearman"]) for each in report["criteria"].values()]
    unscored = sum(each["unscored"] for each in report["criteria"].values())
    interval = f"{number(low)} to {number(high)}"
    return [name, *rhos, number(report["mean"]), interval, str(unscored), str(calls)]


@click.command()
@click.option("--lm", required=True, help="A litellm name, or local/PATH.gguf.")
@click.option("--api-base", help="The URL of an OpenAI-compatible server.")
@click.option("--data", default="hf:mteb/summeval:test", show_default=True, help="Or a table.")
@click.option(
    "--rubric", default=RUBRIC, type=click.Path(exists=True), help="Names the columns of --data."
)
@click.option("--modes", default=",".join(MODES), show_default=True, callback=modes_of)
@click.option("--steps", default=12, show_default=True, type=COUNT)
@click.option("--runs", default=3, show_default=True, type=COUNT)
@click.option("--sizes", default=(160, 100, 480), show_default=True, type=(COUNT, COUNT, COUNT))
@click.option("--out", default="summeval-runs", show_default=True, type=Path, help="A folder.")
def main(lm: str, api_base: str | None, data: str, rubric: str, out: Path, **plan: Any) -> None:
    """Run the modes on SummEval in the paper's setting."""
    read = Rubric.from_toml(rubric)
    parts = split(load_examples(data, read), plan["sizes"])
    model = make_lm(lm, api_base, temperature=0.1)
    with dspy.context(lm=model, adapter=adapter_for(model)):
        rows = list(lines(read, parts, out, plan))
    columns = ("run", *read.names, "mean", "95 % interval", "unscored", "calls")
    print_table(columns, rows, f"Spearman's rho on {len(parts[2])} test texts; calls of the run")


def lines(
    rubric: Rubric, parts: list[list[dspy.Example]], out: Path, plan: dict[str, Any]
) -> Iterator[list[str]]:
    """Give the lines of the table: the seed prompt in both layouts, and each run."""
    for layout in ("combined", "separate"):
        judge = MultiCriteriaJudge(rubric, layout=layout)
        yield row(f"seed, {layout}", 0, evaluation_report(judge, parts[2], num_threads=8))
    for mode in plan["modes"]:
        for seed in range(plan["runs"]):
            judge, calls = run(mode, rubric, plan["steps"], seed, out, parts)
            yield row(f"{mode} {seed}", calls, evaluation_report(judge, parts[2], num_threads=8))


if __name__ == "__main__":
    run_command(main)  # what goes wrong becomes one line
