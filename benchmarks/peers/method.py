"""What an optimization method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dspy

from benchmarks.peers.budget import CappedLM, Meter
from benchmarks.peers.tried import NotedJudge, instructions_of
from mogradjudge import Agreement, Objective, Rubric, agreement_of, judge_examples
from mogradjudge.objectives import rubric_objectives


@dataclass(frozen=True)
class Task:
    """The same for every method: texts, model, seed prompt, cap on calls.

    ``folder`` is a place for whatever a method writes; it is removed afterwards.
    """

    rubric: Rubric
    training: Sequence[dspy.Example]
    validation: Sequence[dspy.Example]
    url: str
    model: str
    meter: Meter
    folder: Path
    batch_size: int = 3
    num_threads: int = 16
    seed: int = 0

    @cached_property
    def lm(self) -> dspy.LM:
        """The one model, at temperature 0 and uncached; its calls are held to the cap."""
        return capped_lm(self.model, self.url, self.meter)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """Agreement with the human scores, per criterion."""
        return rubric_objectives(self.rubric)

    @cached_property
    def seed_prompt(self) -> str:
        """The instructions that every method starts from."""
        return instructions_of(NotedJudge(self.rubric))

    def judge(self, instructions: str | None = None) -> NotedJudge:
        """Make the one judge program, with these instructions or the seed prompt."""
        judge = NotedJudge(self.rubric)
        if instructions is not None:
            predictor = judge.judges["all"]
            predictor.signature = predictor.signature.with_instructions(instructions)
        return judge

    def measure(self, instructions: str) -> Agreement:
        """Score instructions on the validation texts; each text is a call."""
        judgements = judge_examples(
            self.judge(instructions), self.validation, self.objectives, self.num_threads
        )
        return agreement_of(judgements, self.objectives)


@dataclass(frozen=True)
class Found:
    """The instructions that a method ends with, and what there is to say of its way there."""

    instructions: str
    notes: str = ""


def _no_preparation() -> None:
    """Import nothing."""


@dataclass(frozen=True)
class Method:
    """A way to better instructions.

    ``run`` keeps to the task's cap, or lets `CapReached` end it and gives its best so far.
    ``prepare`` imports what it needs; the time for that is not its own.
    """

    name: str
    run: Callable[[Task], Found]
    prepare: Callable[[], None] = _no_preparation


def capped_lm(model: str, url: str, meter: Meter) -> CappedLM:
    """Make an LM at a server, uncached and without retries: a call is an attempt."""
    return CappedLM(
        f"openai/{model}",
        meter,
        api_base=url,
        api_key="none",
        temperature=0.0,
        max_tokens=2000,
        cache=False,
        num_retries=0,
    )
