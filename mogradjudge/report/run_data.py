"""A run's folder as one record: its settings, events and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from mogradjudge.agreement.weighted_mean import Weights
from mogradjudge.criteria import Group, Rubric
from mogradjudge.criteria.toml import fields_from_toml
from mogradjudge.errors import SetupError
from mogradjudge.files import LineLog, decoded, read_json
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.optimize.confirmation import Confirmation
from mogradjudge.optimize.directory import ASKED, CALLS, EVENTS, REPLAY, STATE
from mogradjudge.optimize.event_log import read_events
from mogradjudge.optimize.events import (
    BatchJudged,
    CandidateScored,
    Event,
    GateDecided,
    RunEnded,
    RunResumed,
    RunStarted,
    SeedScored,
    StepEnded,
    StepEvent,
    StepStarted,
)
from mogradjudge.optimize.state import State
from mogradjudge.programs.identity import digest_of
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.ceilings import Ceilings

VALIDATION, CONFIRMATION, TEST = "validation", "confirmation", "test"
MIX = "mix"
"""In place of the split: the validation texts' scores by a step's mix of new and old sections."""
Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True)
class Step:
    """The events of one step, in order."""

    number: int
    events: tuple[StepEvent, ...] = ()

    def all(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """Return its events of a kind."""
        return tuple(event for event in self.events if isinstance(event, kind))

    def last(self, kind: type[Kind]) -> Kind | None:
        """Return its last event of a kind; None if there is none yet."""
        return next(iter(reversed(self.all(kind))), None)

    @property
    def batch(self) -> BatchJudged | None:
        """The examples that it read, with the scores of the current instructions."""
        return self.last(BatchJudged)

    @property
    def parent(self) -> int | None:
        """The step whose candidate it rewrites; None for the one that was accepted last."""
        started = self.last(StepStarted)
        return None if started is None else started.parent

    @property
    def decided(self) -> GateDecided | None:
        """The gate's decision; None if there is none yet."""
        return self.last(GateDecided)

    @property
    def ended(self) -> StepEnded | None:
        """The state of the run at the end of the step."""
        return self.last(StepEnded)


@dataclass(frozen=True)
class RunData:
    """The content of a run's folder.

    ``begun`` is the time at which the run started, if its event has one. ``request`` is the content
    of ``asked.json``. ``scored`` has the texts of each scoring by step (0 is the initial
    instructions) and split. ``state`` and ``seeded`` are None before the initial instructions are
    scored, ``ended`` before the run has ended, and ``rubric`` for a program that is not a judge.
    ``inputs`` holds texts' inputs by their ids; the runs of earlier versions have none.
    """

    path: Path
    started: RunStarted
    begun: str | None
    request: Mapping[str, Any]
    rubric: Rubric | None
    state: State | None
    seeded: SeedScored | None
    scored: Mapping[tuple[int, str], tuple[JudgedText, ...]]
    steps: tuple[Step, ...]
    ended: RunEnded | None
    resumed: int
    ledger: tuple[LedgerRow, ...] = field(repr=False)
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def criteria(self) -> Group:
        """The criteria, in the run's order."""
        return self.started.criteria

    @property
    def weights(self) -> Weights:
        """The weights of the criteria in their mean, where they differ from 1."""
        return {} if self.state is None else self.state.measured[0].agreement.weights

    @property
    def mode(self) -> str:
        """The decomposition mode's letters."""
        return self.started.mode

    @property
    def best(self) -> int:
        """The step with the best instructions on the validation texts; 0 is the initial ones."""
        return self.state.best.step if self.state is not None and self.state.measured else 0

    @property
    def seed_kept(self) -> bool:
        """Whether the result, or the best instructions so far, are the initial ones."""
        if self.state is None or not self.state.measured:
            return False
        return self.state.chosen.candidate == self.state.measured[0].candidate

    @property
    def confirmation(self) -> Confirmation | None:
        """The comparison on the confirmation texts; None if it was not made yet."""
        return None if self.state is None else self.state.confirmation

    def ceilings(self, split: str) -> Ceilings:
        """Return the raters' ceilings and the result's shares; empty if not measured on a split."""
        if split == TEST:
            test = None if self.state is None else self.state.test
            return {} if test is None else test.ceilings
        if self.confirmation is None:
            return {}
        measured_on = VALIDATION if self.confirmation.seed is None else CONFIRMATION
        return self.confirmation.ceilings if split == measured_on else {}

    def in_order(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a text's inputs in the rubric's order; the event log sorts them."""
        known = () if self.rubric is None else self.rubric.inputs
        return {name: inputs[name] for name in dict.fromkeys((*known, *inputs)) if name in inputs}

    def document_name(self, group: str) -> str:
        """Name a document as the user knows it: by its group, or by its row in the table."""
        return f"row {group}" if self._are_rows and group.isdecimal() else group

    @cached_property
    def _are_rows(self) -> bool:
        """Whether each text is a document of its own, which its row then names."""
        if self.rubric is None or self.rubric.group:
            return False
        groups = [
            text.group for (step, _), texts in self.scored.items() if step == 0 for text in texts
        ]
        return len(set(groups)) == len(groups)

    @property
    def holds_out(self) -> bool | None:
        """Whether test texts are held out; None if it is unknown."""
        digest = self.request.get("test data")
        return None if digest is None else bool(digest != digest_of([]))

    def texts(self, step: int, split: str) -> tuple[JudgedText, ...]:
        """Return the texts that a step's instructions were scored on; empty if they never were.

        Instructions that were scored before are not scored again; they have the earlier texts.
        """
        if split == VALIDATION and self._has_mix(step):
            split = MIX
        if (step, split) in self.scored or self.state is None:
            return self.scored.get((step, split), ())
        candidates = [*self.state.measured, *self.state.rejected]
        ours = [measured.candidate for measured in candidates if measured.step == step][-1:]
        same = (measured.step for measured in candidates if measured.candidate in ours)
        scored = (self.scored.get((other, split)) for other in same)
        return next(filter(None, scored), ())

    def _has_mix(self, step: int) -> bool:
        """Whether a step accepted a mix, whose scores are known."""
        decided = next((it.decided for it in self.steps if it.number == step), None)
        return bool(decided and decided.sections) and (step, MIX) in self.scored


def read_run(path: Path) -> RunData:
    """Read a run's folder; the run may have ended, still run, or be interrupted.

    Raises:
        SetupError: If the folder holds no run, or a file of it is damaged.
    """
    if not (path / EVENTS).exists():
        raise SetupError(
            f"{path} is not a run: it has no {EVENTS}. Give the folder of `compile --out`."
        )
    history = _read_history(LineLog(path / EVENTS))
    request = read_json(path / ASKED, REPLAY) if (path / ASKED).exists() else {}
    state = State.read(path / STATE)
    if history.started is None:
        raise SetupError(f"The run in {path} has not begun. Run `compile --out {path}` first.")
    return RunData(
        path=path,
        started=history.started,
        begun=history.begun,
        request=request,
        rubric=_rubric(path / ASKED, request),
        state=state,
        seeded=history.seeded,
        scored=history.scored,
        steps=tuple(history.steps[number] for number in sorted(history.steps)),
        ended=history.ended,
        resumed=history.resumed,
        ledger=_read_ledger(path / CALLS),
        inputs=history.inputs,
    )


@dataclass(frozen=True)
class _Request:
    """The entries of `asked.json` that a report reads by name."""

    rubric: str | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)


def _rubric(path: Path, request: Mapping[str, Any]) -> Rubric | None:
    try:
        toml = decoded(_Request, request).rubric
        return None if toml is None else Rubric(**fields_from_toml(toml))
    except ValueError as error:
        raise SetupError(f"{path} is damaged ({error}). {REPLAY}") from error


@dataclass
class _History:
    """What the events read so far say."""

    started: RunStarted | None = None
    begun: str | None = None
    seeded: SeedScored | None = None
    scored: dict[tuple[int, str], tuple[JudgedText, ...]] = field(default_factory=dict)
    inputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    ended: RunEnded | None = None
    resumed: int = 0


def _read_history(log: LineLog) -> _History:
    history = _History()
    for event, time in read_events(log):
        if isinstance(event, RunStarted):  # an earlier start may have ended before the first step
            history = _History(started=event, begun=time)
        else:
            _record(history, event)
    return history


def _record(history: _History, event: Event) -> None:
    match event:
        case RunResumed():
            _forget_after(history, event.steps)
        case SeedScored():
            history.seeded = event
        case CandidateScored():
            split = MIX if event.sections else event.split
            history.scored[event.step, split] = event.texts
            named = zip(event.texts, event.inputs, strict=False)
            history.inputs |= {text.example_id: inputs for text, inputs in named}
        case RunEnded():
            history.ended = event
        case StepEvent():
            before = history.steps.get(event.step)
            if before is None or isinstance(event, StepStarted):
                before = Step(event.step)
            history.steps[event.step] = replace(before, events=(*before.events, event))


def _forget_after(history: _History, steps: int) -> None:
    """Drop what a resumed run records again."""
    history.resumed += 1
    history.ended = None
    history.steps = {number: step for number, step in history.steps.items() if number <= steps}
    history.scored = {
        (step, split): texts
        for (step, split), texts in history.scored.items()
        if step <= steps or split in (CONFIRMATION, TEST)
    }


def _read_ledger(journal: Path) -> tuple[LedgerRow, ...]:
    ledger = Ledger()
    with ledger.kept_in(LineLog(journal)):
        return ledger.rows
