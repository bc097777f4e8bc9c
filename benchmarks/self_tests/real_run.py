"""Does the real-like world give what was recorded: the luck of a choice, and the gain elsewhere?

The recorded run: a large model, SummEval, 40 texts of 10 articles, SSC by the paper's protocol, 2
steps of 2 texts, 89 calls. Agreement rose by .141 on the texts that chose, and by .037 on 48 texts
of 16 other articles. GEPA, by the same kind of reader with 108 prompts, ended as our run did there.
Each simulated run has a world and texts of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click
import numpy as np

from benchmarks.harness.setting import errors_in_one_line
from benchmarks.harness.tables import signed
from benchmarks.peers import dspy_methods, ours
from benchmarks.peers.budget import Meter
from benchmarks.peers.measuring import Nearby, measure
from benchmarks.peers.method import Method, Task
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import planted_rubric
from benchmarks.worlds.real import REAL, RealWorld
from mogradjudge import split_by_group
from mogradjudge.display.terminal import print_table

RECORDED = (0.141, 0.037)
"""The gain on the texts that chose, and on others."""
_PAPER = {"protocol": "paper", "steps": 2, "batch_size": 2}
PROCEDURES = (
    (Method("paper", partial(ours.optimize, _PAPER)), 89),
    (Method("GEPA", dspy_methods.gepa), 108),
)
"""What was run, and the calls that it took."""


@dataclass(frozen=True)
class Run:
    """What a run gained on the texts that chose, and truly; and what it started from."""

    printed: float
    true: float
    start: float


def simulated(procedure: Method, cap: int, seed: int, world: RealWorld = REAL) -> Run:
    """Run a procedure on 40 texts of 10 documents, 4 of which choose."""
    seeded, rubric = replace(world, seed=seed), planted_rubric(*CUES)
    training, validation = split_by_group(seeded.texts(rubric, 10, 4), (0.6, 0.4), seed=seed)
    engine = Nearby(seeded, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            *(rubric, training, validation, "", "gpt-4o-mini", Meter(cap), Path(folder)),
            num_threads=2,
            seed=seed,
            engine=engine,
        )
        result = measure(procedure, task, engine, seeded, gated=False)
    return _run(result)


def _run(result: Mapping[str, Any]) -> Run:
    printed = result["printed"]
    if printed is None:
        printed = (result["validation"] or 0.0) - (result["seed_validation"] or 0.0)
    start = float(result["seed_agreement"])
    return Run(float(printed), result["agreement"] - start, start)


def rows(runs: int) -> Iterator[list[str]]:
    """Sum up the runs of each procedure."""
    for procedure, cap in PROCEDURES:
        ran = [simulated(procedure, cap, seed) for seed in range(runs)]
        printed = [run.printed for run in ran]
        yield [
            procedure.name,
            f"{fmean(run.start for run in ran):.3f}",
            *(signed(fmean(printed)), f"{stdev(printed):.3f}"),
            f"{np.mean(np.array(printed) < RECORDED[0]):.2f}",
            signed(fmean(run.true for run in ran)),
        ]


COLUMNS = (
    *("procedure", "initial", "gain on the texts that chose", "SD of runs"),
    *("share below the recorded", "true gain"),
)


@click.command("real-run", help=__doc__)
@click.option("--runs", type=click.IntRange(2), default=100, show_default=True)
@errors_in_one_line()
def command(runs: int) -> None:
    """Simulate the recorded runs, and print a table."""
    print_table(COLUMNS, list(rows(runs)), f"{runs} runs each", keys=1)
