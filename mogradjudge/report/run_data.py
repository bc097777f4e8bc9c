"""A run's folder as one record: what was asked, what was told, what was paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from mogradjudge.criteria import Group, Rubric
from mogradjudge.criteria.toml import fields_from_toml
from mogradjudge.errors import SetupError
from mogradjudge.files import LineLog, decoded, read_json
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.optimize.directory import ASKED, CALLS, EVENTS, REPLAY, STATE
from mogradjudge.optimize.events import (
    BatchJudged,
    CandidateScored,
    Event,
    GateDecided,
    JudgedText,
    RunEnded,
    RunResumed,
    RunStarted,
    SeedScored,
    StepEnded,
    StepEvent,
    StepStarted,
    read_events,
)
from mogradjudge.optimize.state import State
from mogradjudge.programs.identity import digest_of

VALIDATION, TEST = "validation", "test"
Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True)
class Step:
    """What was told of one step, in order."""

    number: int
    events: tuple[StepEvent, ...] = ()

    def all(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """Give its events of a kind."""
        return tuple(event for event in self.events if isinstance(event, kind))

    def last(self, kind: type[Kind]) -> Kind | None:
        """Give its last event of a kind; None as long as there is none."""
        return next(iter(reversed(self.all(kind))), None)

    @property
    def batch(self) -> BatchJudged | None:
        """The examples that it read, and what the current instructions made of them."""
        return self.last(BatchJudged)

    @property
    def decided(self) -> GateDecided | None:
        """What the gate said; None as long as it has not spoken."""
        return self.last(GateDecided)

    @property
    def ended(self) -> StepEnded | None:
        """What the run had come to at its end."""
        return self.last(StepEnded)


@dataclass(frozen=True)
class RunData:
    """What a run's folder holds.

    ``begun`` says when the run started, where its event has a time. ``scored`` gives the texts of
    each scoring by step (0 is the seed) and split. ``state`` is None before the seed is scored,
    ``ended`` as long as the run has not ended, ``rubric`` for a program that is no judge,
    ``seeded`` before the seed's agreement is known.
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

    @property
    def criteria(self) -> Group:
        """The criteria, in the run's order."""
        return self.started.criteria

    @property
    def mode(self) -> str:
        """The decomposition mode's letters."""
        return self.started.mode

    @property
    def best(self) -> int:
        """The step whose instructions did best on the validation texts; 0 is the seed."""
        return self.state.best.step if self.state is not None and self.state.measured else 0

    @property
    def seed_kept(self) -> bool:
        """Whether the best instructions, so far at least, are the seed's."""
        if self.state is None or not self.state.measured:
            return False
        return self.state.best.candidate == self.state.measured[0].candidate

    @property
    def holds_out(self) -> bool | None:
        """Whether test texts are held out; None where it is not known."""
        digest = self.request.get("test data")
        return None if digest is None else bool(digest != digest_of([]))

    def texts(self, step: int, split: str) -> tuple[JudgedText, ...]:
        """Give the texts that a step's instructions were scored on; none if they never were.

        Instructions that had been scored before are not scored again: theirs are the earlier texts.
        """
        if (step, split) in self.scored or self.state is None:
            return self.scored.get((step, split), ())
        known = [*self.state.measured, *self.state.rejected]
        ours = [measured.candidate for measured in known if measured.step == step]
        same = [measured.step for measured in known if ours and measured.candidate == ours[-1]]
        scored = (self.scored.get((other, split)) for other in same)
        return next((texts for texts in scored if texts), ())


def read_run(path: Path) -> RunData:
    """Read a run's folder; the run may have ended, be under way, or have been cut short.

    Raises:
        SetupError: If the folder holds no run, or a file of it is damaged.
    """
    if not (path / EVENTS).exists():
        raise SetupError(
            f"{path} holds no run: it has no {EVENTS}. Give the folder that `compile --out` names."
        )
    history = _read_history(LineLog(path / EVENTS))
    request = read_json(path / ASKED, REPLAY) if (path / ASKED).exists() else {}
    state = State.read(path / STATE)
    if history.started is None:
        raise SetupError(f"{path} holds a run that has not begun. Run `compile` with it first.")
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
    )


@dataclass(frozen=True)
class _Request:
    """What of `asked.json` a report reads by name."""

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
    """What the events come to while they are read."""

    started: RunStarted | None = None
    begun: str | None = None
    seeded: SeedScored | None = None
    scored: dict[tuple[int, str], tuple[JudgedText, ...]] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    ended: RunEnded | None = None
    resumed: int = 0


def _read_history(log: LineLog) -> _History:
    history = _History()
    for event, time in read_events(log):
        if isinstance(event, RunStarted):  # an earlier start may have got no further than the seed
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
            history.scored[event.step, event.split] = event.texts
        case RunEnded():
            history.ended = event
        case StepEvent():
            before = history.steps.get(event.step)
            if before is None or isinstance(event, StepStarted):
                before = Step(event.step)
            history.steps[event.step] = replace(before, events=(*before.events, event))


def _forget_after(history: _History, steps: int) -> None:
    """Leave out what is told once more."""
    history.resumed += 1
    history.ended = None
    history.steps = {number: step for number, step in history.steps.items() if number <= steps}
    history.scored = {
        (step, split): texts
        for (step, split), texts in history.scored.items()
        if step <= steps or split == TEST
    }


def _read_ledger(journal: Path) -> tuple[LedgerRow, ...]:
    ledger = Ledger()
    with ledger.kept_in(LineLog(journal)):
        return ledger.rows
