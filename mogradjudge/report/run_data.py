"""A run's folder as one record: what was asked, what was told, what was paid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from mogradjudge.criteria import Group, Rubric
from mogradjudge.criteria.toml import fields_from_toml
from mogradjudge.errors import SetupError
from mogradjudge.files import DELETE_LINE, LineLog, read_json
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.optimize.directory import ASKED, CALLS, EVENTS, REPLAY, STATE
from mogradjudge.optimize.events import Event, JudgedText
from mogradjudge.optimize.state import State
from mogradjudge.programs.identity import digest_of

VALIDATION, TEST = "validation", "test"
_KINDS = {each.__name__: each for each in get_args(Event)}

Line = Mapping[str, Any]
"""An event, as `events.jsonl` holds it."""


@dataclass(frozen=True)
class Step:
    """What was told of one step, in order; ``decided`` is None as long as the gate has not spoken.

    ``ended`` holds what the run had come to at its end.
    """

    number: int
    batch: tuple[JudgedText, ...] = ()
    inputs: tuple[Mapping[str, Any], ...] = ()
    critiques: tuple[Line, ...] = ()
    gradients: tuple[Line, ...] = ()
    edits: tuple[Line, ...] = ()
    skipped: tuple[Line, ...] = ()
    decided: Line | None = None
    ended: Line | None = None


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    ``scored`` gives the texts of each scoring by step (0 is the seed) and split. ``state`` is None
    before the seed is scored, ``ended`` as long as the run has not ended, ``rubric`` for a program
    that is no judge, ``seeded`` before the seed's agreement is known.
    """

    path: Path
    criteria: Group
    started: Line
    asked: Line
    rubric: Rubric | None
    state: State | None
    seeded: Line | None
    scored: Mapping[tuple[int, str], tuple[JudgedText, ...]]
    steps: tuple[Step, ...]
    ended: Line | None
    resumed: int
    ledger: tuple[LedgerRow, ...] = field(repr=False)

    @property
    def mode(self) -> str:
        """The decomposition mode's letters."""
        return str(self.started["mode"])

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
        found = self.asked.get("test data")
        return None if found is None else bool(found != digest_of([]))

    def texts(self, step: int, split: str) -> tuple[JudgedText, ...]:
        """Give the texts that a step's instructions were scored on; none if they never were.

        Instructions that had been scored before are not scored again: theirs are the earlier texts.
        """
        if (step, split) in self.scored or self.state is None:
            return self.scored.get((step, split), ())
        known = [*self.state.measured, *self.state.rejected]
        ours = [each.candidate for each in known if each.step == step]
        same = [each.step for each in known if ours and each.candidate == ours[-1]]
        found = (self.scored.get((other, split)) for other in same)
        return next((texts for texts in found if texts), ())


def read_run(path: Path) -> Run:
    """Read a run's folder; the run may have ended, be under way, or have been cut short.

    Raises:
        SetupError: If the folder holds no run, or a file of it is damaged.
    """
    if not (path / EVENTS).exists():
        raise SetupError(
            f"{path} holds no run: it has no {EVENTS}. Give the folder that `compile --out` names."
        )
    told = _told(LineLog(path / EVENTS))
    asked = read_json(path / ASKED, REPLAY) if (path / ASKED).exists() else {}
    state = State.read(path / STATE)
    if told.started is None:
        raise SetupError(f"{path} holds a run that has not begun. Run `compile` with it first.")
    toml = asked.get("rubric")
    return Run(
        path=path,
        criteria=tuple(told.started["criteria"]),
        started=told.started,
        asked=asked,
        rubric=None if toml is None else Rubric(**fields_from_toml(toml)),
        state=state,
        seeded=told.seeded,
        scored=told.scored,
        steps=tuple(told.steps[number] for number in sorted(told.steps)),
        ended=told.ended,
        resumed=told.resumed,
        ledger=_paid(path / CALLS),
    )


@dataclass
class _Told:
    """What the events come to while they are read."""

    started: Line | None = None
    seeded: Line | None = None
    scored: dict[tuple[int, str], tuple[JudgedText, ...]] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    ended: Line | None = None
    resumed: int = 0


def _told(log: LineLog) -> _Told:
    told = _Told()
    for number, line in enumerate(log.entries(), start=1):
        try:
            _check(line)
            told = _after(told, line)
        except (KeyError, TypeError, ValueError) as error:
            raise SetupError(
                f"Line {number} of {log.path} is damaged ({error}). {DELETE_LINE}"
            ) from error
    return told


def _check(line: Line) -> None:
    """Raise a ValueError where a line holds other things than its event."""
    if line["event"] not in _KINDS:
        return
    text = json.dumps(line, ensure_ascii=False).encode(
        "utf-8", "replace"
    )  # half a pair is no UTF-8
    try:
        _shape(line["event"]).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from error


@cache
def _shape(event: str) -> TypeAdapter[Event]:
    return TypeAdapter(_KINDS[event])


def _after(told: _Told, line: Line) -> _Told:
    match line["event"]:
        case "RunStarted":  # an earlier start may have got no further than the seed
            return _Told(started=line)
        case "RunResumed":
            _forget_after(told, line["steps"])
        case "SeedScored":
            told.seeded = line
        case "CandidateScored":
            told.scored[line["step"], line["split"]] = _texts(line["texts"])
        case "RunEnded":
            told.ended = line
        case _ if "step" in line:
            told.steps[line["step"]] = _with(told.steps, line)
    return told


def _forget_after(told: _Told, steps: int) -> None:
    """Leave out what is told once more."""
    told.resumed += 1
    told.ended = None
    told.steps = {number: step for number, step in told.steps.items() if number <= steps}
    told.scored = {
        (step, split): texts
        for (step, split), texts in told.scored.items()
        if step <= steps or split == TEST
    }


def _with(steps: Mapping[int, Step], line: Line) -> Step:  # noqa: C901 - one case per event
    """Add an event to its step."""
    number, kind = line["step"], line["event"]
    step = steps.get(number)
    if step is None or kind == "StepStarted":
        step = Step(number)
    match kind:
        case "BatchJudged":
            return replace(step, batch=_texts(line["texts"]), inputs=tuple(line["inputs"]))
        case "CritiqueWritten":
            return replace(step, critiques=(*step.critiques, line))
        case "GradientWritten":
            return replace(step, gradients=(*step.gradients, line))
        case "SectionRewritten":
            return replace(step, edits=(*step.edits, line))
        case "QuestionSkipped":
            return replace(step, skipped=(*step.skipped, line))
        case "GateDecided":
            return replace(step, decided=line)
        case "StepEnded":
            return replace(step, ended=line)
    return step


def _texts(rows: Sequence[Line]) -> tuple[JudgedText, ...]:
    return tuple(
        JudgedText(
            *(row["example_id"], row["group"], row["scores"], row["unscored"]),
            *(row["expected"], row["produced"], row.get("lengths", {})),
        )
        for row in rows
    )


def _paid(journal: Path) -> tuple[LedgerRow, ...]:
    ledger = Ledger()
    with ledger.kept_in(LineLog(journal)):
        return ledger.rows
