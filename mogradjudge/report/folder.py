"""A run's folder as one record: what was asked, what was told, what was paid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mogradjudge.criteria import Group, Rubric
from mogradjudge.criteria.toml import fields_from_toml
from mogradjudge.errors import SetupError
from mogradjudge.events import JudgedText
from mogradjudge.files import LineLog, read_json
from mogradjudge.fingerprint import digest_of
from mogradjudge.ledger import Ledger, LedgerRow
from mogradjudge.runs import ASKED, CALLS, EVENTS, STATE
from mogradjudge.state import State

VALIDATION, TEST = "validation", "test"

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
    lines = list(LineLog(path / EVENTS).entries())
    asked = read_json(path / ASKED) if (path / ASKED).exists() else {}
    state = State.from_dict(read_json(path / STATE)) if (path / STATE).exists() else None
    try:
        told = _told(lines)
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"{path / EVENTS} is damaged ({error!r}). Give another folder.") from error
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


def _told(lines: Iterable[Line]) -> _Told:
    told = _Told()
    for line in lines:
        match line["event"]:
            case "RunStarted":  # an earlier start may have got no further than the seed
                told = _Told(started=line)
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
