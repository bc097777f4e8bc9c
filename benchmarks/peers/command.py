"""``python -m benchmarks peers``: the comparison's options, cells and table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import dspy

from benchmarks.harness.grid import Grid
from benchmarks.harness.setting import SPLIT, errors_in_one_line
from benchmarks.harness.tasks import Task as CellTask
from benchmarks.harness.workers import Workers, storage_option, workers_of
from benchmarks.peers import dspy_methods, opro, ours, textgrad_methods
from benchmarks.peers.budget import Meter
from benchmarks.peers.figures import Row, calls_table, figures_table, summarize
from benchmarks.peers.measuring import Server, measure
from benchmarks.peers.method import Method, Task
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import planted_examples, planted_rubric
from benchmarks.worlds.serve import WORLDS
from benchmarks.worlds.server import serving, serving_apart
from mogradjudge import Rubric, split_by_group
from mogradjudge.programs.identity import digest_of

# A name that DSPy's catalogue knows: for others it searches all of it twice a call, 3 ms.
MODEL = "gpt-4o-mini"
METHODS = (
    *ours.METHODS,
    *dspy_methods.METHODS,
    *textgrad_methods.METHODS,
    *opro.METHODS,
)


@dataclass(frozen=True)
class Sizes:
    """How large the comparison is."""

    criteria: tuple[str, ...] = tuple(CUES)
    documents: int = 60
    systems: int = 3
    calls: int = 600
    threads: tuple[int, ...] = (1, 16)
    seeds: int = 1
    repeats: int = 3
    latency: float = 0.05
    apart: bool = True

    def serving(self) -> AbstractContextManager[Server]:
        """Start a fresh server: the world draws its noise by what it was sent before."""
        if self.apart:
            return serving_apart(self.latency, world="planted")
        return serving(latency=self.latency, world=WORLDS["planted"]())


SMOKE = Sizes(
    criteria=("coherence", "fluency"),
    documents=12,
    systems=3,
    calls=60,
    repeats=1,
    latency=0.0,
    apart=False,
)


def compare(
    folder: Path, methods: Sequence[Method], sizes: Sizes, workers: Workers | None = None
) -> list[Row]:
    """Measure each method into a folder of cells, and sum up the cells of these sizes."""
    rubric = planted_rubric(*sizes.criteria)
    examples = planted_examples(rubric, sizes.documents, sizes.systems)
    setting = {
        "model": MODEL,
        "world": "planted",
        "rubric": rubric.to_toml(),
        "data": digest_of(examples),
        "latency": sizes.latency,
        "repeats": sizes.repeats,
    }
    tasks = [
        _task(method, rubric, examples, sizes, threads, seed)
        for method in methods
        for seed in range(sizes.seeds)
        for threads in sizes.threads
    ]
    return summarize(Grid(folder, setting, workers=workers).measure(tasks))


def _task(
    method: Method,
    rubric: Rubric,
    examples: Sequence[dspy.Example],
    sizes: Sizes,
    threads: int,
    seed: int,
) -> CellTask:
    training, validation, test = split_by_group(examples, SPLIT, seed=0)

    def work(*_: object) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        with sizes.serving() as server, tempfile.TemporaryDirectory() as folder:
            meter = Meter(sizes.calls)
            task = Task(
                *(rubric, training, validation, server.url, MODEL, meter, Path(folder)),
                num_threads=threads,
                seed=seed,
            )
            result = measure(method, task, test, server, sizes.repeats)
        return result, _ledger(result)

    key = {"method": method.name, "threads": threads, "seed": seed, "cap": sizes.calls}
    return CellTask("peers", key, work)


def _ledger(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        {"role": role, "criteria": [], "calls": calls, "failed": 0, "cost": None}
        for role, calls in result["calls"].items()
    ]


@click.command("peers")
@click.option(
    "--method",
    "names",
    type=click.Choice([method.name for method in METHODS]),
    multiple=True,
    help="Only this one; may be given again.",
)
@click.option("--calls", type=click.IntRange(1), help="Cap on each method's calls  [default: 600]")
@click.option("--seeds", type=click.IntRange(1), help="Runs of each method  [default: 1]")
@click.option("--repeats", type=click.IntRange(1), help="Scorings of a test text  [default: 3]")
@click.option("--documents", type=click.IntRange(3), help="[default: 60]")
@click.option("--latency", type=click.FloatRange(0), help="Of a call, in s  [default: 0.05]")
@click.option("--threads", type=click.IntRange(1), multiple=True, help="[default: 1 and 16]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder: cells that it holds are not measured again.",
)
@storage_option
@click.option("--smoke", is_flag=True, help="All methods, on few texts and calls.")
def command(
    names: Sequence[str], out: Path | None, storage: str | None, *, smoke: bool, **options: Any
) -> None:
    """Our modes beside the seed prompt, MIPROv2, COPRO, GEPA, TextGrad and OPRO.

    All have the same judge, texts, model, seed prompt, cap on calls, and gate, in the planted
    world. TextGrad needs the extra `peers`.
    """
    said = {name: value for name, value in options.items() if value not in (None, ())}
    sizes = replace(SMOKE if smoke else Sizes(), **said)
    methods = [method for method in METHODS if not names or method.name in names]
    with (
        errors_in_one_line(),
        tempfile.TemporaryDirectory(prefix="mogradjudge-peers-") as scratch,
    ):
        rows = compare(out or Path(scratch), methods, sizes, workers_of(storage))
    print(f"Mean of {len(sizes.criteria)} criteria; at most {sizes.calls} calls each")
    for table in (figures_table(rows), calls_table(rows)):
        table.print()
