"""The events of a run: one class for each kind, a subclass of `Event`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mogradjudge.agreement import Method
from mogradjudge.agreement.methods import named as measures_named
from mogradjudge.criteria import Group
from mogradjudge.optimize.event import Event as Event
from mogradjudge.optimize.event import Observer as Observer
from mogradjudge.optimize.event import StepEvent as StepEvent
from mogradjudge.optimize.figures import Deviations, error_figures, named, show, show_errors
from mogradjudge.programs.judged_text import JudgedText, Values
from mogradjudge.stages.conflicts import Conflict


@dataclass(frozen=True)
class RunStarted(Event):
    """The run starts; ``train``, ``validation`` and ``confirmation`` count examples.

    ``measures`` says how agreement with people is measured, by criterion.
    """

    mode: str
    steps: int
    criteria: Group
    train: int
    validation: int
    confirmation: int = 0
    measures: Mapping[str, Method] = field(default_factory=dict)

    def describe(self) -> str:
        last = f" {self.confirmation} texts confirm the result." if self.confirmation else ""
        by = f" Agreement is {measures_named(self.measures)}." if self.measures else ""
        return (
            f"Optimizing {', '.join(self.criteria)} in mode {self.mode}: {self.steps} steps, "
            f"{self.train} training and {self.validation} validation texts.{last}{by}"
        )


@dataclass(frozen=True)
class RunResumed(Event, headline=True):
    """The run resumes after ``steps`` complete steps; the events after them come once more."""

    steps: int
    calls: int

    def describe(self) -> str:
        return f"Resumed after step {self.steps}; {self.calls} calls were sent before."


@dataclass(frozen=True)
class CandidateScored(Event):
    """Instructions were scored: the initial ones (step 0), or those that a step proposed.

    ``split`` is ``"validation"`` or ``"test"``. On the test texts, the initial and the final
    instructions are scored, each with the number of its step. ``sections`` names the criteria whose
    sections are the step's, where it is a mix with the instructions before. ``inputs`` are the
    texts' own, with the initial instructions only.
    """

    step: int
    split: str
    texts: tuple[JudgedText, ...]
    sections: Group = ()
    inputs: tuple[Mapping[str, Any], ...] = ()

    def describe(self) -> str:
        which = f"instructions of step {self.step}" if self.step else "initial instructions"
        if self.sections:
            which += f", new in {', '.join(self.sections)} only,"
        return f"Scored the {which} on {len(self.texts)} {self.split} texts."


@dataclass(frozen=True)
class SeedScored(Event, headline=True):
    """The initial instructions were scored on the validation set."""

    agreement: Values
    undefined: Mapping[str, str]
    unscored: Mapping[str, int]
    missing: Mapping[str, int]
    fallbacks: Mapping[str, int]
    calls: int
    deviations: Deviations = field(default_factory=dict)

    def describe(self) -> str:
        agreement = f"{show(self.agreement)} {_on_validation(None)}"
        return f"Initial agreement: {agreement}.{show_errors(self.deviations)}"

    def figures(self) -> Mapping[str, float]:
        unscored = named("unscored", self.unscored)
        return {"calls": self.calls, **unscored, **error_figures(self.deviations)}


@dataclass(frozen=True)
class StepStarted(StepEvent):
    """A step starts with its batch.

    ``parent`` is the step whose candidate it rewrites; None for the one that was accepted last.
    """

    example_ids: tuple[str, ...]
    parent: int | None = None

    def describe(self) -> str:
        start = "" if self.parent is None else f", from the instructions of step {self.parent}"
        return f"Step {self.step}: a batch of {len(self.example_ids)} texts{start}."


@dataclass(frozen=True)
class BatchJudged(StepEvent):
    """The current instructions were scored on the batch; ``inputs`` are the program's inputs."""

    texts: tuple[JudgedText, ...]
    inputs: tuple[Mapping[str, Any], ...]

    def describe(self) -> str:
        unscored = sum(bool(text.unscored) for text in self.texts)
        return (
            f"Step {self.step}: judged {len(self.texts)} texts, {unscored} with unscored criteria."
        )


@dataclass(frozen=True)
class CritiqueWritten(StepEvent, quotes=True):
    """The critic wrote a critique on one example."""

    example_id: str
    criteria: Group
    text: str

    def describe(self) -> str:
        return f"Critique on {', '.join(self.criteria)} for {self.example_id}: {self.text}"


@dataclass(frozen=True)
class GradientWritten(StepEvent, quotes=True):
    """The coach gave advice from critiques; no ``example_id`` stands for the whole batch."""

    example_id: str
    criteria: Group
    text: str

    def describe(self) -> str:
        source = self.example_id or "the whole batch"
        return f"Gradient on {', '.join(self.criteria)} for {source}: {self.text}"


@dataclass(frozen=True)
class UnitsRouted(StepEvent):
    """Each unit of advice went to the editor of the criterion that it names.

    ``routed`` counts the units by criterion. ``astray`` counts those about a criterion that is not
    their gradient's, by the name that they gave; no editor reads them.
    """

    routed: Mapping[str, int]
    astray: Mapping[str, int]

    def describe(self) -> str:
        routed = ", ".join(f"{count} to {name}" for name, count in self.routed.items())
        astray = f", {sum(self.astray.values())} astray" if self.astray else ""
        return f"Step {self.step}: units of advice went {routed or 'nowhere'}{astray}."

    def figures(self) -> Mapping[str, float]:
        return {"units/astray": sum(self.astray.values())}


@dataclass(frozen=True)
class ConflictsFound(StepEvent, headline=True):
    """The coach looked for advice on different criteria that would undo each other.

    ``resolve`` says what was to become of it.
    """

    resolve: str
    conflicts: tuple[Conflict, ...]

    def describe(self) -> str:
        pairs = [f"{it.one.criterion} against {it.other.criterion}" for it in self.conflicts]
        which = f" ({', '.join(dict.fromkeys(pairs))})" if pairs else ""
        count = f"{len(pairs)} conflict{'s' * (len(pairs) != 1)}"
        return f"Step {self.step}: {count} between units of advice{which}, {self.resolve}."

    def figures(self) -> Mapping[str, float]:
        return {"units/conflicts": len(self.conflicts)}


@dataclass(frozen=True)
class SectionRewritten(StepEvent, quotes=True):
    """The editor wrote a new section; a criterion of None is the preamble."""

    predictor: str
    criterion: str | None
    text: str

    def describe(self) -> str:
        return f"{self.predictor}, {self.criterion or 'preamble'}: {self.text}"


@dataclass(frozen=True)
class QuestionSkipped(StepEvent, headline=True):
    """A question got no usable reply after its retries; ``reply`` is the last one in full."""

    role: str
    criteria: Group
    label: str
    reason: str
    reply: str = ""

    def describe(self) -> str:
        criteria = ", ".join(self.criteria)
        return (
            f"Step {self.step}: no usable reply from the {self.role} on {criteria}: {self.reason}"
        )


@dataclass(frozen=True)
class RaceEnded(StepEvent, headline=True):
    """A candidate was scored no further: its chance to be accepted had become small.

    ``sections`` is as for `CandidateScored`.
    """

    texts: int
    of: int
    chance: float
    sections: Group = ()

    def describe(self) -> str:
        which = f" {', '.join(self.sections)} alone" if self.sections else ""
        return (
            f"Step {self.step}:{which} scored on {self.texts} of {self.of} texts; "
            f"the chance to be accepted is {self.chance:.2f}."
        )

    def figures(self) -> Mapping[str, float]:
        return {"texts": self.texts}


@dataclass(frozen=True)
class ResultConfirmed(Event):
    """Initial and best instructions were compared on the confirmation texts, or why not.

    No headline: what ends a run says it, `compile` and `OptimizationResult` for example.
    ``difference`` is that of the mean agreement; None if there is none.
    """

    sentence: str
    difference: float | None

    def describe(self) -> str:
        return self.sentence

    def figures(self) -> Mapping[str, float]:
        return {} if self.difference is None else {"confirmed/difference": self.difference}


@dataclass(frozen=True)
class MixScored(StepEvent, headline=True):
    """The new sections that did no worse were scored, with the old ones in place of the others.

    ``sections`` names the criteria of the new ones. ``agreement`` and ``deviations`` are those on
    the texts that were read: ``texts`` of them, None for all.
    """

    sections: Group
    accepted: bool
    agreement: Values
    texts: int | None = None
    deviations: Deviations = field(default_factory=dict)

    def describe(self) -> str:
        verdict = "accepted" if self.accepted else "rejected"
        return (
            f"Step {self.step}, the new sections of {', '.join(self.sections)} alone {verdict} "
            f"{_on_validation(self.texts)}: "
            f"{show(self.agreement)}.{show_errors(self.deviations)}"
        )

    def figures(self) -> Mapping[str, float]:
        return named("mixed", self.agreement)


@dataclass(frozen=True)
class GateDecided(StepEvent, headline=True):
    """The gate decided; an ``unchanged`` proposal equals the current instructions: no scoring.

    ``current`` and ``proposed`` are agreements on the same texts, with ``current_deviations`` and
    ``proposed_deviations``. ``sections`` names the criteria whose sections were accepted, where not
    all were; then ``proposed`` is of the mix with the old ones. ``beaten_by`` is the step beside it
    that was accepted in its place. ``parent`` is the step whose candidate it rewrote, 0 for the
    initial instructions; None for the one that was accepted last. ``texts`` counts the validation
    texts that were read where a race ended early; None if all were. ``reason`` says why a proposal
    is ``unchanged``; earlier versions did not.
    """

    accepted: bool
    unchanged: bool
    current: Values
    proposed: Values
    unscored: Mapping[str, int]
    sections: Group = ()
    beaten_by: int | None = None
    current_deviations: Deviations = field(default_factory=dict)
    proposed_deviations: Deviations = field(default_factory=dict)
    parent: int | None = None
    texts: int | None = None
    reason: str = ""

    def describe(self) -> str:
        if self.unchanged:
            why = f": {self.reason}" if self.reason else ""
            return f"Step {self.step} brings no new instructions to score{why}."
        verdict = "accepted" if self.accepted else "rejected"
        if self.sections:
            verdict += f" ({', '.join(self.sections)} alone)"
        if self.beaten_by is not None:
            verdict += f" (step {self.beaten_by} is better)"
        if self.parent is not None:
            verdict += f", from step {self.parent}'s instructions"
        errors = show_errors(self.current_deviations, self.proposed_deviations)
        change = f"{show(self.current)} -> {show(self.proposed)}"
        return f"Step {self.step} {verdict} {_on_validation(self.texts)}: {change}.{errors}"

    def figures(self) -> Mapping[str, float]:
        accepted = {"accepted": float(self.accepted)}
        if self.unchanged:
            return accepted
        return {
            **accepted,
            **named("proposed", self.proposed),
            **named("unscored", self.unscored),
        }


@dataclass(frozen=True)
class StepEnded(StepEvent):
    """A step ended; ``agreement`` and ``deviations`` are the current instructions' after it.

    Calls, tokens and cost (US dollars, None if a price is unknown) are the whole run's so far.
    """

    agreement: Values
    calls: int
    tokens: int
    cost: float | None
    deviations: Deviations = field(default_factory=dict)

    def describe(self) -> str:
        reached = f"{show(self.agreement)} {_on_validation(None)}"
        return f"Step {self.step} ended at {reached} after {self.calls} calls."

    def figures(self) -> Mapping[str, float]:
        cost = {} if self.cost is None else {"cost": self.cost}
        errors = error_figures(self.deviations)
        return {"calls": self.calls, "tokens": self.tokens, **cost, **errors}


@dataclass(frozen=True)
class RunEnded(Event, headline=True):
    """The run ended; ``agreement`` is that of the result on the texts of ``split``.

    The runs of earlier versions name no split.
    """

    stop_reason: str
    seed_kept: bool
    agreement: Values
    calls: int
    split: str = ""

    def describe(self) -> str:
        stopped = _STOPPED.get(self.stop_reason, f"Stopped ({self.stop_reason})")
        note = " The initial instructions are kept." if self.seed_kept else ""
        where = f" on the {self.split} texts" if self.split else ""
        return f"{stopped}: {show(self.agreement)}{where}.{note}"


def _on_validation(texts: int | None) -> str:
    return "on the validation texts" if texts is None else f"on the first {texts} validation texts"


_STOPPED = {
    "steps": "Stopped after the last step",
    "budget": "Stopped at the budget",
    "reserve": "Stopped early enough to confirm the result",
    "patience": "Stopped without further progress",
    "target": "Stopped at the target",
    "stop_file": "Stopped by the stop file",
    "interrupted": "Stopped by an interrupt",
}
