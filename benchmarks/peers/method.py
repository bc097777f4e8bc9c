"""What an optimization method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dspy

from benchmarks.peers.budget import CappedLM, Meter
from benchmarks.peers.tried import NotedJudge, instructions_of, written
from benchmarks.worlds.world import ToyEngine
from mogradjudge import Agreement, Objective, Rubric, agreement_of, judge_examples
from mogradjudge.objectives import rubric_objectives
from mogradjudge.settings import Layout

OURS = "SSC"
"""The method that others are compared with: our default."""
GEPA = "GEPA"
"""The peer of the primary claim."""
SIDE_BY_SIDE = 4
"""Proposals of one step, where a method makes several."""


@dataclass(frozen=True)
class Task:
    """The same for every method: texts, model, seed prompt, cap on calls.

    ``folder`` is a place for whatever a method writes; it is removed afterwards. ``engine`` is the
    model where it is in this process, and no server has the ``url``.
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
    layout: Layout = "combined"
    engine: ToyEngine | None = None

    @cached_property
    def lm(self) -> dspy.LM:
        """The one model, at temperature 0 and uncached; its calls are held to the cap."""
        return capped_lm(self.model, self.url, self.meter, self.engine)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """Agreement with the human scores, per criterion."""
        return rubric_objectives(self.rubric)

    @cached_property
    def seed_prompt(self) -> str:
        """The instructions that every method starts from."""
        return instructions_of(self.judge())

    def judge(self, instructions: str | None = None) -> NotedJudge:
        """Make the one judge program, with these instructions or the seed prompt."""
        judge = NotedJudge(self.rubric, self.layout)
        if instructions is not None:
            written(instructions, judge)
        return judge

    def measure(self, instructions: str) -> Agreement:
        """Score instructions on the validation texts; each text is a call."""
        judgements = judge_examples(
            self.judge(instructions), self.validation, self.objectives, self.num_threads
        )
        return agreement_of(judgements, self.objectives)


@dataclass(frozen=True)
class Printed:
    """The gain that a run itself prints, what it is of, and whether it is called confirmed."""

    gain: float
    instructions: str
    is_confirmed: bool = False


@dataclass(frozen=True)
class Found:
    """The instructions that a method ends with, and what there is to say of its way there.

    ``printed`` is None where the gain on the validation texts is what it prints, ``steps`` where
    steps say nothing of it, and ``layout`` where the task's is kept.
    """

    instructions: str
    notes: str = ""
    printed: Printed | None = None
    steps: int | None = None
    layout: Layout | None = None


def _no_preparation() -> None:
    """Import nothing."""


@dataclass(frozen=True)
class Method:
    """A way to better instructions.

    ``run`` keeps to the task's cap, or lets `CapReached` end it and gives its best so far.
    ``prepare`` imports what it needs; the time for that is not its own. ``share`` is that of the
    cap that it is given, ``reference`` the method that it is compared with, and ``is_served`` says
    that it asks a server and not only DSPy's LM. ``worlds`` are those that it is about; all if
    empty.
    """

    name: str
    run: Callable[[Task], Found]
    prepare: Callable[[], None] = _no_preparation
    share: float = 1.0
    layout: Layout = "combined"
    reference: str = OURS
    is_served: bool = False
    worlds: tuple[str, ...] = ()


def text_of(example: dspy.Example) -> str:
    """Give an example's inputs as one text."""
    return "\n".join(map(str, dict(example.inputs()).values()))


def capped_lm(model: str, url: str, meter: Meter, engine: ToyEngine | None = None) -> CappedLM:
    """Make an LM, uncached and without retries: a call is an attempt."""
    where = {"api_base": url, "api_key": "none"} if engine is None else {"engine": engine}
    return CappedLM(
        f"openai/{model}",
        meter,
        **where,
        temperature=0.0,
        max_tokens=2000,
        cache=False,
        num_retries=0,
    )
