"""One step's gradients under every scope, of the same judgements and the same critiques.

===================  =============================================================================
S                    one gradient per criterion, from the critique on that criterion
C                    one for all criteria, as long as one of S
C-long               one for all, as long as those of S together
S joined             those of S on one example as one text; no LM
C-long routed        the units of C-long by what a rater says they are about; no LM
===================  =============================================================================

The coach is told in words how long to write, in S and C alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from benchmarks.worlds.controls import concatenate
from mogradjudge.criteria.partition import Scope
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.step import judge
from mogradjudge.programs.candidate import Brief, Candidate
from mogradjudge.stages.gradient import Gradient, WriteGradient, write_gradients
from mogradjudge.stages.loss import write_critiques
from mogradjudge.stages.role import Skipped

SEPARATE, JOINT, LONG = "S", "C", "C-long"
JOINED, ROUTED = "S joined", "C-long routed"
WRITTEN = (SEPARATE, JOINT, LONG)
TEXTS = (*WRITTEN, JOINED)


@dataclass(frozen=True)
class Advice:
    """A gradient of one arm on one example; ``target`` is None where it is for all criteria.

    ``routed_by`` names the rater whose labels cut it out.
    """

    arm: str
    example_id: str
    target: str | None
    text: str
    routed_by: str | None = None


@dataclass(frozen=True)
class Written:
    """What was written in one step; ``brief`` holds the instructions that it is about."""

    brief: Brief
    gradients: dict[str, tuple[Gradient, ...]]
    skipped: tuple[Skipped, ...]

    def advice(self) -> list[Advice]:
        """Give the gradients of all arms but the routed one."""
        advice = [
            Advice(
                arm,
                gradient.example_id,
                gradient.criteria[0] if arm == SEPARATE else None,
                gradient.text,
            )
            for arm, gradients in self.gradients.items()
            for gradient in gradients
        ]
        texts: dict[str, list[str]] = {}
        for gradient in self.gradients[SEPARATE]:
            texts.setdefault(gradient.example_id, []).append(gradient.text)
        return advice + [Advice(JOINED, key, None, concatenate(own)) for key, own in texts.items()]


def write_arms(
    context: RunContext, batch: Sequence[dspy.Example], words: int, label: str
) -> Written:
    """Judge a batch once, critique each criterion once, and write the gradients of each arm.

    Args:
        context: The judge with its current instructions, and the roles.
        batch: Rated examples.
        words: How long a gradient of S or C is to be; C-long is told the sum over the criteria.
        label: Tells this step's questions from those of other steps.
    """
    criteria = context.criteria
    brief = Brief(context.objectives, Candidate.of(context.program), context.slots)
    critiques = write_critiques(
        judge(context, brief.candidate, batch),
        Scope.SEPARATE.groups(criteria),
        brief,
        context.critic,
        label=label,
    )
    scopes = {
        SEPARATE: (Scope.SEPARATE, words),
        JOINT: (Scope.COMBINED, words),
        LONG: (Scope.COMBINED, words * len(criteria)),
    }
    rounds = {
        arm: write_gradients(
            critiques.records,
            scope.groups(criteria),
            brief,
            context.coach,
            label=f"{label}/{arm}",
            signature=budgeted(budget),
        )
        for arm, (scope, budget) in scopes.items()
    }
    skipped = [question for written in rounds.values() for question in written.skipped]
    return Written(
        brief,
        {arm: written.records for arm, written in rounds.items()},
        (*critiques.skipped, *skipped),
    )


def budgeted(words: int) -> Any:
    """Derive the coach's signature that also tells how long to write."""
    length = f"Write about {words} words in all, and no more."
    return WriteGradient.with_instructions(f"{WriteGradient.instructions}\n{length}")
