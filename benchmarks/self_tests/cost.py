"""Calls and wall time of a step in every mode, against a server with a fixed latency.

With the paper's protocol, calls are counted at the server and must equal the formula, or the
command fails. With the defaults, one step or four are taken side by side. Time is given as a ratio
to what the rounds of a step must take: rounds x latency. The import's own time is measured in fresh
processes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import click
import dspy

from benchmarks.worlds.server import RemoteServer, serving_apart
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import MODES, AlwaysAccept, MOGrad, MultiCriteriaJudge
from mogradjudge.display.terminal import print_table
from mogradjudge.optimize.events import CandidateScored, Event, StepEnded, StepStarted
from mogradjudge.optimize.race import BLOCKS

LATENCY = 0.2  # seconds
# A name that DSPy's catalogue knows: for others it searches all of it twice a call, 3 ms.
MODEL = "openai/gpt-4o-mini"
THREADS = 32
BATCH = 8  # with the criteria as many critics as threads; side by side, each step has its share
CRITERIA = ("coherence", "consistency", "fluency", "relevance")
VALIDATION = 24
STEPS = 2
ROUNDS = 4  # judge, loss, gradient, optimizer; then the gate's, one for each block that it reads
PROPOSALS = (1, 4)
IMPORT_RUNS = 7


@dataclass(frozen=True)
class Row:
    """One mode's figures; ``expected`` are the calls by formula, ``ratio`` the median step's."""

    mode: str
    calls: dict[str, int]
    expected: dict[str, int]
    ratio: float
    peak: int


class Clock:
    """Observes when each round of steps started and ended, and how many texts its gates read.

    Args:
        proposals: Steps of a round.
    """

    def __init__(self, proposals: int) -> None:
        self.proposals = proposals
        self.started: list[float] = []
        self.ended: list[float] = []
        self.read: list[int] = []  # validation texts, by step

    def __call__(self, event: Event) -> None:
        """Note what an event says."""
        match event:
            case StepStarted():
                self.started.append(time.perf_counter())
                self.read.append(0)
            case CandidateScored(split="validation", step=step) if step:
                self.read[step - 1] += len(event.texts)  # a mix comes after its proposal
            case StepEnded():
                self.ended.append(time.perf_counter())
            case _:
                pass

    def ratio(self, blocks: int) -> float:
        """Return the median time of a round of steps, as a multiple of its calls' latency."""
        ratios = []
        for first in range(0, len(self.started), self.proposals):
            last = first + self.proposals
            texts = max(self.read[first:last])
            seconds = self.ended[last - 1] - self.started[first]
            ratios.append(seconds / LATENCY / (ROUNDS + blocks * texts / VALIDATION))
        return statistics.median(ratios)


def measure(server: RemoteServer, mode: str) -> Row:
    """Run a few steps of the paper's protocol; the toy editor always edits."""
    judge = MultiCriteriaJudge(toy_rubric(*CRITERIA))
    clock = _steps(judge, server, mode=mode, protocol="paper", gate=AlwaysAccept())
    stages = MODES[mode].calls(BATCH, CRITERIA, "example")
    texts = VALIDATION + sum(clock.read) + BATCH * STEPS
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
        ratio=clock.ratio(1),
        peak=counted["peak"],
    )


def ratio_by_default(server: RemoteServer, mode: str, proposals: int) -> float:
    """Return how long a round of steps takes with the defaults, by what its calls must take."""
    judge = MultiCriteriaJudge(toy_rubric(*CRITERIA))
    return _steps(judge, server, mode=mode, proposals=proposals).ratio(BLOCKS)


def _steps(
    judge: MultiCriteriaJudge, server: RemoteServer, proposals: int = 1, **settings: Any
) -> Clock:
    server.reset()
    clock = Clock(proposals)
    optimizer = MOGrad(
        steps=STEPS * proposals,
        batch_size=BATCH // proposals,
        proposals=proposals,
        num_threads=THREADS,
        observers=[clock],
        **settings,
    )
    examples = toy_examples(judge.rubric, VALIDATION + 4 * BATCH)
    lm = dspy.LM(MODEL, api_base=server.url, api_key="none", temperature=0.0, cache=False)
    with dspy.context(lm=lm):
        optimizer.optimize(judge, trainset=examples[VALIDATION:], valset=examples[:VALIDATION])
    return clock


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
        by_default = {
            mode: [ratio_by_default(server, mode, proposals) for proposals in PROPOSALS]
            for mode in MODES
        }
    print_table(
        ("mode", "critic", "coach", "editor", "judge", "as the formula", "peak", "ratio"),
        [
            [row.mode]
            + [f"{row.calls.get(role, 0)}" for role in ("critic", "coach", "editor", "judge")]
            + ["yes" if row.calls == row.expected else f"no: {row.expected}"]
            + [str(row.peak), f"{row.ratio:.2f}"]
            for row in rows
        ],
        f"The paper's protocol: {STEPS} steps, B={BATCH}, K={len(CRITERIA)}, {VALIDATION} "
        f"validation texts, {THREADS} threads, {LATENCY * 1000:.0f} ms latency; ratio to "
        f"{ROUNDS + 1} rounds",
    )
    print_table(
        ("mode", *(f"{proposals} side by side" for proposals in PROPOSALS)),
        [
            [mode, *(f"{ratio:.2f}" for ratio in by_proposals)]
            for mode, by_proposals in by_default.items()
        ],
        f"The defaults: {STEPS} times, {BATCH} texts in all; time by the rounds that were needed",
    )
    base, added = import_seconds()
    print(f"import dspy takes {base:.2f} s; MOGrad of mogradjudge adds {added:.2f} s.")
    if wrong := [row.mode for row in rows if row.calls != row.expected]:
        raise click.ClickException(f"The calls are not as the formula in {', '.join(wrong)}.")
