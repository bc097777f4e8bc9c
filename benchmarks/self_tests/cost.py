"""Calls and wall time of a step in every mode, against a server with a fixed latency.

Calls are counted at the server and must equal the formula, or the command fails. Time is given as a
ratio to what the rounds of a step must take: rounds x latency. The import's own time is measured in
fresh processes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import click
import dspy

from benchmarks.worlds.server import RemoteServer, serving_apart
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import MODES, AlwaysAccept, MOGrad, MultiCriteriaJudge
from mogradjudge.display.terminal import print_table
from mogradjudge.optimize.events import Event, GateDecided, StepEnded, StepStarted

LATENCY = 0.2  # seconds
# A name that DSPy's catalogue knows: for others it searches all of it twice a call, 3 ms.
MODEL = "openai/gpt-4o-mini"
THREADS = 32
BATCH = 8
CRITERIA = ("coherence", "consistency", "fluency", "relevance")
VALIDATION = 24
STEPS = 2
ROUNDS = 5  # judge, loss, gradient, optimizer, gate
IMPORT_RUNS = 7


@dataclass(frozen=True)
class Row:
    """One mode's figures; ``seconds`` is the median step, ``expected`` the calls by formula."""

    mode: str
    calls: dict[str, int]
    expected: dict[str, int]
    seconds: float
    peak: int

    @property
    def ratio(self) -> float:
        """Time of a step as a multiple of its rounds' latency."""
        return self.seconds / (ROUNDS * LATENCY)


def measure(server: RemoteServer, mode: str) -> Row:
    """Run a few steps in one mode; every proposal is scored, since the toy editor always edits."""
    judge = MultiCriteriaJudge(toy_rubric(*CRITERIA))
    server.reset()
    times, changed = _steps(judge, server, mode)
    stages = MODES[mode].calls(BATCH, CRITERIA, "example")
    texts = VALIDATION * (1 + sum(changed)) + BATCH * STEPS
    counted = server.counts()
    return Row(
        mode=mode,
        calls=counted["calls"],
        expected={
            "judge": texts * judge.calls_per_text,
            "critic": stages.loss * STEPS,
            "coach": stages.gradient * STEPS,
            "editor": stages.optimizer * STEPS,
        },
        seconds=statistics.median(
            end - start for start, end in zip(times[::2], times[1::2], strict=True)
        ),
        peak=counted["peak"],
    )


def _steps(
    judge: MultiCriteriaJudge, server: RemoteServer, mode: str
) -> tuple[list[float], list[bool]]:
    """Give when each step started and ended, and whether it changed anything."""
    examples = toy_examples(judge.rubric, VALIDATION + 4 * BATCH)
    lm = dspy.LM(MODEL, api_base=server.url, api_key="none", temperature=0.0, cache=False)
    times: list[float] = []
    changed: list[bool] = []

    def watch(event: Event) -> None:
        match event:
            case StepStarted() | StepEnded():
                times.append(time.perf_counter())
            case GateDecided():
                changed.append(not event.unchanged)
            case _:
                pass

    with dspy.context(lm=lm):
        MOGrad(
            mode=mode,
            protocol="paper",
            steps=STEPS,
            batch_size=BATCH,
            gate=AlwaysAccept(),
            num_threads=THREADS,
            observers=[watch],
        ).optimize(judge, trainset=examples[VALIDATION:], valset=examples[:VALIDATION])
    return times, changed


def import_seconds() -> tuple[float, float]:
    """Give the median time to import dspy, and what mogradjudge adds to it, in fresh processes."""
    code = (
        "import time; a = time.perf_counter(); import dspy; b = time.perf_counter(); "
        # The package itself is empty until somebody asks for a part of it.
        "from mogradjudge import MOGrad; c = time.perf_counter(); print(b - a, c - b)"
    )
    runs = [
        tuple(map(float, subprocess.check_output([sys.executable, "-c", code]).split()))
        for _ in range(IMPORT_RUNS)
    ]
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


@click.command("cost")
def command() -> None:
    """Calls and wall time of a step in every mode, against a fixed latency.

    The status is 1 where the calls are not those of the formula.
    """
    with serving_apart(LATENCY) as server:
        measure(server, "CCC")  # opens connections and warms caches
        rows = [measure(server, mode) for mode in MODES]
    print_table(
        ("mode", "critic", "coach", "editor", "judge", "as the formula", "peak", "s/step", "ratio"),
        [
            [row.mode]
            + [f"{row.calls.get(role, 0)}" for role in ("critic", "coach", "editor", "judge")]
            + ["yes" if row.calls == row.expected else f"no: {row.expected}"]
            + [str(row.peak), f"{row.seconds:.2f}", f"{row.ratio:.2f}"]
            for row in rows
        ],
        f"{STEPS} steps, B={BATCH}, K={len(CRITERIA)}, {VALIDATION} validation texts, "
        f"{THREADS} threads, {LATENCY * 1000:.0f} ms latency; ratio to {ROUNDS} rounds",
    )
    base, added = import_seconds()
    print(f"import dspy takes {base:.2f} s; MOGrad of mogradjudge adds {added:.2f} s.")
    if wrong := [row.mode for row in rows if row.calls != row.expected]:
        raise click.ClickException(f"The calls are not as the formula in {', '.join(wrong)}.")
