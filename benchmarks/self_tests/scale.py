"""Rows per second and memory of ``score``, and of a bare DSPy loop over the same server.

Each measurement is a process of its own. The bare loops send the judge's own prompt through a plain
`dspy.Predict`, with DSPy's cache as it is by default, in a folder that is empty at the start. The
last loop is the fastest that we know how to write with `dspy.Parallel`.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import dspy

from benchmarks.self_tests.turns import in_turns, ratios
from benchmarks.worlds.server import serving_apart
from benchmarks.worlds.world import toy_rubric
from mogradjudge import MultiCriteriaJudge
from mogradjudge.display.terminal import print_table
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table

# A name that DSPy's catalogue knows: for others it searches all of it twice a call, 3 ms.
MODEL = "openai/gpt-4o-mini"
CRITERIA = ("coherence", "consistency", "fluency", "relevance")
OURS = "score"
# DSPy's executor looks at all the calls that wait, each time one ends: its work per call grows with
# the rows. A user who knows it hands over fewer at a time, and turns off the history that is kept.
TUNED, TUNED_ROWS = "dspy.Parallel, 500 at a time", 500
LOOPS = ("dspy.Parallel", "dspy.Evaluate", TUNED)
_MB = 1 / 1024


@dataclass(frozen=True)
class Run:
    """One process: ``cpu`` is its seconds of CPU, ``memory`` its peak in MB above the import."""

    kind: str
    rows: int
    seconds: float
    cpu: float
    memory: float

    @property
    def speed(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def write_texts(path: Path, rows: int) -> None:
    """Write a table of distinct texts of a summary's length, row by row."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            scores = ", ".join(
                f"{name}={1 + (number + place) % 5}" for place, name in enumerate(CRITERIA)
            )
            text = f"Text {number}: {scores}. " + f"Sentence {number} says a thing or two. " * 12
            file.write(json.dumps({"id": number, "output": text}) + "\n")


def scored(table: Path, folder: Path, threads: int) -> int:
    """Score a table with our command's function."""
    judge = MultiCriteriaJudge(toy_rubric(*CRITERIA))
    return score_table(judge, table, folder / "scores.parquet", ScoringOptions(threads)).texts


def looped(kind: str, table: Path, threads: int) -> int:
    """Run the bare loop over a table that is in memory."""
    with table.open(encoding="utf-8") as file:
        texts = [json.loads(line)["output"] for line in file]
    judge = MultiCriteriaJudge(toy_rubric(*CRITERIA))
    predict = dspy.Predict(judge.judges["all"].signature)
    examples = [dspy.Example(output=text).with_inputs("output") for text in texts]
    if kind != "dspy.Evaluate":
        parallel = dspy.Parallel(num_threads=threads, disable_progress_bar=True)
        changes = {"disable_history": True, "trace": None} if kind == TUNED else {}
        size = TUNED_ROWS if kind == TUNED else len(examples)
        predictions: list[Any] = []
        with dspy.context(**changes):
            for start in range(0, len(examples), size):
                chunk = examples[start : start + size]
                predictions += parallel([(predict, example) for example in chunk])
        return sum(prediction is not None for prediction in predictions)
    evaluate = dspy.Evaluate(
        devset=examples, metric=_scored, num_threads=threads, display_progress=False
    )
    share: float = evaluate(predict).score
    return round(share / 100 * len(examples))


def measured(kind: str, table: Path, rows: int, threads: int, url: str) -> Run:
    """Measure one run in this process, which has done nothing before."""
    before = _resident()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dspy.configure_cache(disk_cache_dir=str(folder / "dspy"))
        lm = dspy.LM(MODEL, api_base=url, api_key="none", temperature=0.0)
        with dspy.context(lm=lm):
            run: Callable[[Path, int], int] = (
                (lambda texts, count: scored(texts, folder, count))
                if kind == OURS
                else (lambda texts, count: looped(kind, texts, count))
            )
            start, cpu = time.perf_counter(), time.process_time()
            done = run(table, threads)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        dspy.cache.disk_cache.close()
    assert done == rows, f"{kind} scored {done} of {rows} texts"
    return Run(kind, rows, seconds, cpu, (_peak() - before) * _MB)


def apart(kind: str, table: Path, rows: int, threads: int, url: str) -> Run:
    """Measure one run in a fresh process."""
    words = [kind, str(table), str(rows), str(threads), url]
    output = subprocess.check_output(
        [sys.executable, "-m", "benchmarks.self_tests.scale", *words], text=True
    )
    return Run(**json.loads(output.splitlines()[-1]))


@click.command("scale")
@click.option("--rows", type=int, multiple=True, default=(10_000, 100_000), show_default=True)
@click.option("--loop-rows", type=int, default=10_000, show_default=True, help="For the loops.")
@click.option("--repeats", type=int, default=3, show_default=True, help="Turns of each kind.")
@click.option("--threads", type=int, default=8, show_default=True)
@click.option("--latency", type=float, default=0.0, show_default=True, help="Seconds per call.")
def command(
    rows: tuple[int, ...], loop_rows: int, repeats: int, threads: int, latency: float
) -> None:
    """Rows per second and memory of `score`, and of a bare loop over the same server."""
    with tempfile.TemporaryDirectory() as name, serving_apart(latency) as server:
        table = Path(name) / "texts.jsonl"
        write_texts(table, loop_rows)

        def run(kind: str, turn: int) -> Run:
            return apart(kind, table, loop_rows, threads, server.url)

        turns = in_turns(repeats, {kind: partial(run, kind) for kind in (OURS, *LOOPS)})
        longer = []
        for count in rows:
            if count != loop_rows:
                write_texts(table, count)
                longer.append(apart(OURS, table, count, threads, server.url))
    _report(turns, longer, f"{threads} threads, {latency * 1000:.0f} ms latency")


def _report(turns: list[dict[str, Run]], longer: list[Run], title: str) -> None:
    every = [run for turn in turns for run in turn.values()] + longer
    print_table(
        ("", "rows", "seconds", "rows/s", "CPU ms/call", "MB above import"),
        [
            [
                run.kind,
                str(run.rows),
                *(f"{run.seconds:.1f}", f"{run.speed:.0f}", f"{run.cpu / run.rows * 1000:.2f}"),
                f"{run.memory:.0f}",
            ]
            for run in every
        ],
        title,
    )
    ours = sorted((run for run in every if run.kind == OURS), key=lambda run: run.rows)
    print(
        f"Peak memory of score at {ours[-1].rows} rows / at {ours[0].rows}: "
        f"{ours[-1].memory / ours[0].memory:.2f}"
    )
    for kind in LOOPS:
        faster = ratios(turns, kind, OURS)
        own = statistics.median(turn[kind].cpu / turn[kind].rows * 1000 for turn in turns)
        shown = ", ".join(f"{ratio:.2f}" for ratio in faster)
        print(
            f"score / {kind}: {statistics.median(faster):.2f} (turns: {shown}); "
            f"DSPy's own overhead there is {own:.2f} ms of CPU per call."
        )


def _scored(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    return float(all(prediction.get(name) is not None for name in CRITERIA))


def _resident() -> float:
    """Kilobytes in memory now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1024


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # kilobytes on Linux


if __name__ == "__main__":
    kind, table, rows, threads, url = sys.argv[1:]
    print(json.dumps(asdict(measured(kind, Path(table), int(rows), int(threads), url))))
