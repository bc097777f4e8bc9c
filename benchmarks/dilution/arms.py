"""One step's gradients under every scope, of the same judgements.

====================================  =============================================================
separate calls                        S: one gradient per criterion, from the critique on it
one call, same length                 C: one for all criteria, from the same critiques, as long as
                                      one of S
one call, K times the length          the same, as long as those of S together
joint critiques, same length          as C, from critiques that speak of all criteria at once
joint critiques, K times the length   the same, as long as those of S together
separate calls, joined                those of S as one text; no LM
one call, K times the length, routed  its units by what a rater says they are about; no LM
====================================  =============================================================

Separate and one call with separate critiques are the gradients of SSS and SCC, those of joint
critiques are CCC's. The coach is told in words how long to write, in all arms alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.worlds.controls import concatenate
from mogradjudge.criteria import Group
from mogradjudge.criteria.partition import Scope
from mogradjudge.optimize.context import RunContext
from mogradjudge.programs.candidate import Brief
from mogradjudge.stages.gradient import Evidence, Gradient, WriteGradient, write_gradients
from mogradjudge.stages.loss import write_critiques

SEPARATE, JOINT, LONG = "separate calls", "one call, same length", "one call, K times the length"
CRITIQUED = "joint critiques, same length"
CRITIQUED_LONG = "joint critiques, K times the length"
JOINED, ROUTED = "separate calls, joined", "one call, K times the length, routed"
WRITTEN = (SEPARATE, JOINT, LONG, CRITIQUED, CRITIQUED_LONG)
TEXTS = (*WRITTEN, JOINED)


@dataclass(frozen=True)
class Arm:
    """How the gradients of an arm are written; ``long`` if as long as those of S together."""

    critiques: Scope
    gradients: Scope
    long: bool = False


ARMS: Mapping[str, Arm] = {
    SEPARATE: Arm(Scope.SEPARATE, Scope.SEPARATE),
    JOINT: Arm(Scope.SEPARATE, Scope.COMBINED),
    LONG: Arm(Scope.SEPARATE, Scope.COMBINED, long=True),
    CRITIQUED: Arm(Scope.COMBINED, Scope.COMBINED),
    CRITIQUED_LONG: Arm(Scope.COMBINED, Scope.COMBINED, long=True),
}


@dataclass(frozen=True)
class Advice:
    """A gradient of one arm on one example; ``target`` is None where it is for all criteria."""

    arm: str
    example: str
    target: str | None
    text: str


def advice_of(gradients: Iterable[Mapping[str, Any]]) -> list[Advice]:
    """Give the texts of a step's gradients, and those of S on one example as one text.

    A coach that advises nothing has written nothing: its text is empty.
    """
    advice = [
        Advice(
            *(g["arm"], g["example"], g["criteria"][0] if g["arm"] == SEPARATE else None),
            g["text"] if g["units"] else "",
        )
        for g in gradients
    ]
    own: dict[str, list[str]] = {}
    for text in advice:
        if text.arm == SEPARATE:
            own.setdefault(text.example, []).append(text.text)
    return advice + [Advice(JOINED, key, None, concatenate(texts)) for key, texts in own.items()]


def silence_in(gradients: Iterable[Mapping[str, Any]], criteria: Group) -> dict[str, float]:
    """Give by arm the share of examples and criteria on which the coach gave no unit."""
    spoken: dict[tuple[str, str], set[str]] = {}
    for gradient in gradients:
        on = spoken.setdefault((gradient["arm"], gradient["example"]), set())
        on |= {unit["criterion"] for unit in gradient["units"]}
    shares: dict[str, list[float]] = {}
    for (arm, _), on in spoken.items():
        shares.setdefault(arm, []).append(1 - len(on & set(criteria)) / len(criteria))
    return {arm: statistics.fmean(of) for arm, of in shares.items()}


def write_arms(
    context: RunContext, brief: Brief, read: Evidence, words: int, label: str
) -> dict[str, Any]:
    """Critique a judged batch in both scopes, and write the gradients of each arm.

    Args:
        context: The judge with its current instructions, and the roles.
        brief: Those instructions, and what else the roles read.
        read: The judged batch, and the pool that it was drawn from.
        words: How long a gradient of S or C is to be; a long one is told K times as much.
        label: Tells this step's questions from those of other steps.

    Returns:
        What was written, as plain JSON: ``critiques``, ``gradients`` (with the units as the coach
        gave them, and their text) and ``skipped``.
    """
    criteria, config = context.criteria, context.config
    critiques = {
        scope: write_critiques(
            *(read.batch, scope.groups(criteria), brief, context.critic),
            label=f"{label}/{scope.value}",
            skip_tolerance=config.skip_tolerance,
        )
        for scope in (Scope.SEPARATE, Scope.COMBINED)
    }
    rounds = {
        name: write_gradients(
            critiques[arm.critiques].records,
            arm.gradients.groups(criteria),
            brief,
            context.coach,
            label=f"{label}/{name}",
            evidence=read if config.pool == "batch" else None,
            signature=budgeted(words * (len(criteria) if arm.long else 1)),
        )
        for name, arm in ARMS.items()
    }
    skipped = [it for answers in critiques.values() for it in answers.skipped]
    skipped += [it for answers in rounds.values() for it in answers.skipped]
    return {
        "criteria": list(criteria),
        "critiques": [asdict(one) for answers in critiques.values() for one in answers.records],
        "gradients": [
            _as_json(name, one) for name, answers in rounds.items() for one in answers.records
        ],
        "skipped": [[it.role, list(it.criteria), it.label, it.reason] for it in skipped],
    }


def _as_json(arm: str, gradient: Gradient) -> dict[str, Any]:
    return {
        "arm": arm,
        "example": gradient.example_id,
        "criteria": list(gradient.criteria),
        "units": [unit.model_dump(mode="json") for unit in gradient.units],
        "text": gradient.text,
    }


def budgeted(words: int) -> Any:
    """Derive the coach's signature that also tells how long to write."""
    length = f"Write about {words} words in all, and no more."
    return WriteGradient.with_instructions(f"{WriteGradient.instructions}\n{length}")
