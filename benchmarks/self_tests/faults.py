"""One optimization against a server that fails: does the result hold, and do the books?

It runs without faults, with transient ones, and with spoiled replies on top. Transient faults must
change nothing but the time; every attempt at the server must stand in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import click
import dspy

from benchmarks.worlds.server import RemoteServer, ToyServer, serving_apart
from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import MODES, MOGrad, MultiCriteriaJudge, OptimizationResult
from mogradjudge.display.terminal import print_table
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.programs.candidate import Candidate

MODEL = "openai/gpt-4o-mini"
CRITERIA = ("coherence", "consistency", "fluency", "relevance")
TRANSIENT = "429=0.2,500=0.1,hang=0.03"
SPOILED = "unreadable=0.05,cut=0.03"
CONDITIONS = {"none": "", "transient": TRANSIENT, "all": f"{TRANSIENT},{SPOILED}"}
LATENCY = 0.02  # seconds


@dataclass(frozen=True)
class Outcome:
    """What one run found, and what server and ledger say that it sent."""

    result: OptimizationResult
    served: Mapping[str, int]
    answers: Mapping[str, int]
    seconds: float

    @property
    def booked(self) -> dict[str, int]:
        """What the ledger booked."""
        rows = self.result.ledger
        return {
            "answered": sum(row.calls for row in rows),
            "failed": sum(row.failed for row in rows),
            "cached": sum(row.cached for row in rows),
        }

    @property
    def books_agree(self) -> bool:
        """Whether each attempt at the server is in the ledger, and answered where it was."""
        sent, answered = sum(self.served.values()), sum(self.answers.values())
        booked = self.booked
        return (booked["answered"], booked["failed"]) == (answered, sent - answered)

    @property
    def paid_twice(self) -> int:
        """Answers to requests that had been answered before."""
        return sum(count - 1 for count in self.answers.values())

    @property
    def unscored(self) -> int:
        """Scores that the final instructions did not give on the validation texts."""
        return sum(self.result.final_agreement.unscored.values())

    def found_as(self, other: Outcome) -> bool:
        """Whether another run ended with the same instructions and figures."""
        mine, its = self.result, other.result
        return (
            Candidate.of(mine.program) == Candidate.of(its.program)
            and mine.final_agreement == its.final_agreement
            and mine.measured == its.measured
        )


def optimize(
    server: ToyServer | RemoteServer,
    mode: str,
    steps: int,
    *,
    texts: int = 40,
    num_threads: int = 16,
    timeout: float = 1.0,
) -> Outcome:
    """Run one optimization of a toy judge against a server, with a reply store of its own."""
    rubric = toy_rubric(*CRITERIA)
    examples = toy_examples(rubric, texts)
    lm = dspy.LM(
        MODEL,
        api_base=server.url,
        api_key="none",
        temperature=0.0,
        timeout=timeout,
    )
    server.reset()
    started = time.perf_counter()
    with dspy.context(lm=lm), replies_kept_in(None):
        result = MOGrad(mode=mode, steps=steps, num_threads=num_threads).optimize(
            MultiCriteriaJudge(rubric),
            trainset=examples[texts // 2 :],
            valset=examples[: texts // 2],
        )
    seconds = time.perf_counter() - started
    counts = server.counts()
    return Outcome(result, counts["served"], counts["answers"], seconds)


def print_outcomes(outcomes: Mapping[str, Outcome], title: str) -> None:
    """Print the attempts that server and ledger counted, and what the runs found."""
    kinds = sorted({kind for outcome in outcomes.values() for kind in outcome.served})
    print_table(
        ("faults", *kinds, "booked: answered", "failed", "cached", "as served", "paid twice"),
        [
            [name, *(str(outcome.served.get(kind, 0)) for kind in kinds)]
            + [str(count) for count in outcome.booked.values()]
            + ["yes" if outcome.books_agree else "NO", str(outcome.paid_twice)]
            for name, outcome in outcomes.items()
        ],
        title,
    )
    faultless = outcomes["none"]
    print_table(
        ("faults", "found the same", "final rho", "unscored", "skipped", "s"),
        [
            [
                name,
                "yes" if outcome.found_as(faultless) else "no",
                f"{outcome.result.final_agreement.mean or 0:.3f}",
                str(outcome.unscored),
                str(sum(step.skipped for step in outcome.result.steps)),
                f"{outcome.seconds:.1f}",
            ]
            for name, outcome in outcomes.items()
        ],
    )


@click.command("faults")
@click.option("--mode", type=click.Choice(list(MODES)), default="SSC", show_default=True)
@click.option("--steps", default=4, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Decides which attempts fail.")
@click.option("--retry-after", default=1.0, show_default=True, help="Of a 429, in seconds.")
@click.option("--timeout", default=1.0, show_default=True, help="The client's, in seconds.")
def command(mode: str, steps: int, seed: int, retry_after: float, timeout: float) -> None:
    """One optimization without faults, with transient ones, and with spoiled replies too."""
    outcomes = {}
    for name, faults in CONDITIONS.items():
        with serving_apart(LATENCY, faults, seed, retry_after) as server:
            outcomes[name] = optimize(server, mode, steps, timeout=timeout)
    print_outcomes(
        outcomes, f"{mode}, {steps} steps, K={len(CRITERIA)}, attempts served: {CONDITIONS['all']}"
    )
    agree = all(outcome.books_agree for outcome in outcomes.values())
    if not agree or not outcomes["transient"].found_as(outcomes["none"]):
        raise click.exceptions.Exit(1)
