"""The result of a run: the program, its agreement before and after, and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import dspy

from mogradjudge.agreement import Deviation, Method
from mogradjudge.criteria import Group
from mogradjudge.display.notebook import html_table
from mogradjudge.display.terminal import number
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.confirmation import Confirmation
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.scoring.ceilings import Ceilings

StopReason: TypeAlias = Literal[
    "steps", "budget", "reserve", "patience", "target", "stop_file", "interrupted"
]
STOPPED: Mapping[str, str] = {
    "steps": "all steps were taken",
    "budget": "the budget ran out",
    "reserve": "the steps ended early, so that the budget was enough to confirm the result",
    "patience": "several steps in a row brought no improvement",
    "target": "the target was reached",
    "stop_file": "the stop file was found",
    "interrupted": "the run was interrupted",
}
"""The reasons for which a run stops, in words."""


def _plain(deviations: Mapping[str, Deviation]) -> dict[str, dict[str, Any]]:
    return {name: asdict(deviation) for name, deviation in deviations.items()}


@dataclass(frozen=True)
class Measured:
    """A candidate and its agreement on the validation set; step 0 is the initial one.

    ``texts`` counts the texts that were read where a race ended early; None if all were.
    ``sections`` names the criteria whose sections are the step's, where it is a mix with the
    instructions before.
    """

    step: int
    candidate: Candidate = field(repr=False)
    agreement: Agreement
    texts: int | None = None
    sections: Group = ()


@dataclass(frozen=True)
class StepRecord:
    """One step: its proposal, and whether it was accepted.

    ``proposed`` is the proposal's agreement, None if it equals the current instructions.
    ``agreement`` is that of the current instructions after the step, ``calls`` the number of calls
    in the step, and ``skipped`` the number of questions without a usable reply. ``texts`` counts
    the validation texts that were read where a race ended early; None if all were. ``current`` is
    the agreement of the instructions before the step, on the texts that were read. ``sections``
    names the criteria whose sections were accepted, where not all were; ``mixed`` is the agreement
    of the mix of new and old sections that was scored after the proposal, None if none was.
    ``beaten_by`` is the step beside it whose candidate was better, where the gate let it pass.
    ``parent`` is the step whose candidate it rewrote, 0 for the initial instructions.
    """

    step: int
    accepted: bool
    agreement: Agreement
    proposed: Agreement | None
    calls: int
    skipped: int
    texts: int | None = None
    current: Agreement | None = None
    sections: Group = ()
    mixed: Agreement | None = None
    beaten_by: int | None = None
    parent: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the step as `result.json` holds it."""
        return {
            "step": self.step,
            "accepted": self.accepted,
            "unchanged": self.proposed is None,
            "agreement": self.agreement.as_dict(),
            "proposed": None if self.proposed is None else self.proposed.as_dict(),
            "unscored": dict((self.proposed or self.agreement).unscored),
            "deviations": _plain((self.proposed or self.agreement).deviations),
            "calls": self.calls,
            "skipped": self.skipped,
            "texts": self.texts,
            "sections": list(self.sections),
            "mixed": None if self.mixed is None else self.mixed.as_dict(),
            "beaten_by": self.beaten_by,
            "parent": self.parent,
        }


@dataclass(frozen=True)
class HeldOut:
    """Agreement of the initial and the final instructions on ``n`` held-out examples.

    ``ceilings`` are the raters' on these, and the final instructions' share (`ceilings_of`).
    """

    n: int
    seed: Agreement
    final: Agreement
    ceilings: Ceilings = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as `result.json` holds them."""
        ends = {"seed": self.seed.as_dict(), "final": self.final.as_dict()}
        return {"n": self.n, **ends, "ceiling": dict(self.ceilings)}


@dataclass(frozen=True)
class Selection:
    """Agreement of the initial and the best instructions on the texts that chose the best.

    The choice favoured the texts' luck, so the best ones' agreement is optimistic.
    """

    seed: Agreement
    best: Agreement

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as `result.json` holds them."""
        return {"seed": self.seed.as_dict(), "final": self.best.as_dict()}


@dataclass(frozen=True)
class OptimizationResult:
    """The result of `MOGrad.optimize`.

    ``program`` has the instructions that did best on the validation set, the earlier ones on a tie,
    unless the confirmation took them back; ``seed_kept`` says whether they are the initial ones.
    ``seed_agreement`` and ``final_agreement`` are measured on the confirmation texts where there
    are any; ``selection`` holds those on the validation set. ``measured`` holds the initial
    instructions and every accepted candidate, in order; ``test`` is None if there was no test set
    or the run stopped early. ``cap`` is the cap that ended the run, such as ``max_calls``.
    ``measures`` says how agreement is measured, by criterion; it is empty for objectives that no
    rubric made.

    >>> agreement = Agreement.unmeasured(("fluency",))
    >>> result = OptimizationResult(
    ...     *(dspy.Predict("text -> fluency"), MOGradConfig(), agreement, agreement),
    ...     **dict(steps=(), stop_reason="budget", seed_kept=True, ledger=(), measured=()),
    ... )
    >>> result.calls, result.as_dict()["stop_reason"]
    (0, 'budget')
    >>> result
    OptimizationResult(mode='SSC', agreement=none -> none, steps=0 (0 accepted), calls=0,
    stop_reason='budget')
    """

    program: dspy.Module
    config: MOGradConfig
    seed_agreement: Agreement
    final_agreement: Agreement
    steps: tuple[StepRecord, ...]
    stop_reason: StopReason
    seed_kept: bool
    ledger: tuple[LedgerRow, ...]
    measured: tuple[Measured, ...]
    test: HeldOut | None = None
    confirmation: Confirmation = field(default_factory=lambda: Confirmation("off"))
    selection: Selection | None = None
    cap: str | None = None
    measures: Mapping[str, Method] = field(default_factory=dict)

    def __repr__(self) -> str:  # a notebook shows it, and the fields hold all instructions
        means = (self.seed_agreement.mean, self.final_agreement.mean)
        before, after = ("none" if mean is None else f"{mean:.3f}" for mean in means)
        accepted = sum(step.accepted for step in self.steps)
        return (
            f"{type(self).__name__}(mode={self.config.mode.name!r}, agreement={before} -> {after}, "
            f"steps={len(self.steps)} ({accepted} accepted), calls={self.calls}, "
            f"stop_reason={self.stop_reason!r})"
        )

    def _repr_html_(self) -> str:
        before, after = self.seed_agreement.as_dict(), self.final_agreement.as_dict()
        rows = [[name, number(before[name]), number(after[name])] for name in before]
        text = f"{self.confirmation.describe()} {self.calls} calls."
        return html_table(("criterion", "initial", "best"), rows, text)

    @property
    def calls(self) -> int:
        """The number of calls that were sent, also failed ones, without cached replies."""
        return sum(row.calls + row.failed for row in self.ledger)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as `result.json` holds it."""
        weights = self.seed_agreement.weights
        return {
            "mode": self.config.mode.name,
            "seed_kept": self.seed_kept,
            "stop_reason": self.stop_reason,
            "cap": self.cap,
            "measures": dict(self.measures),
            "weights": {name: weights.get(name, 1.0) for name in self.seed_agreement.by_criterion},
            "seed_agreement": self.seed_agreement.as_dict(),
            "final_agreement": self.final_agreement.as_dict(),
            "deviations": {
                "seed": _plain(self.seed_agreement.deviations),
                "final": _plain(self.final_agreement.deviations),
            },
            "ceiling": dict(self.confirmation.ceilings),
            "applicability": {
                name: it.as_dict() for name, it in self.final_agreement.applicability.items()
            },
            "undefined": self.final_agreement.undefined(),
            "unscored": dict(self.final_agreement.unscored),
            "missing_human": dict(self.final_agreement.missing),
            "fallbacks": dict(self.final_agreement.fallbacks),
            "config": self.config.as_dict(),
            "test": None if self.test is None else self.test.as_dict(),
            "confirmation": self.confirmation.as_dict(),
            "selection": None if self.selection is None else self.selection.as_dict(),
            "calls": self.calls,
            "ledger": [row.as_dict() for row in self.ledger],
            "steps": [step.as_dict() for step in self.steps],
        }
