"""The state of a run: all that it needs to resume, as a value and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import Field

from mogradjudge.agreement import Deviation, Undefined
from mogradjudge.agreement.applicability import Applicability
from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.files import decoded, read_json
from mogradjudge.judge.instructions import Instructions
from mogradjudge.optimize.confirmation import Confirmation, Verdict
from mogradjudge.optimize.result import HeldOut, Measured, StepRecord
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.scoring.ceilings import Ceilings
from mogradjudge.settings import Choose
from mogradjudge.stages.gate import measures_less

REPLAY = "Delete that file to replay the run from its paid replies."
"""What to do if `state.json` is damaged."""

_OF_A_STEP = ("agreement", "proposed", "current", "mixed")
_COMPARED = ("seed", "best")
_COUNTS = ("scored", "unscored", "missing", "fallbacks")
_OF_SOME = {"deviation": "deviations", "weight": "weights", "applicability": "applicability"}
_Count: TypeAlias = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class State:
    """A run after some complete steps.

    It holds no random generator's state: each batch follows from the seed and its number, and each
    sampled reply from the seed and its question, so the number of steps is enough.

    Args:
        measured: The initial instructions, once scored, and every accepted candidate, in order.
        rejected: The other candidates that were scored.
        steps: The steps that were taken.
        calls: LM calls sent up to the end of the last step, and to confirm and test.
        test: The agreement on the test examples, once the initial and the final instructions are
            scored on them.
        confirmation: The comparison on the confirmation examples, once it was made.
        compared: The steps whose candidates the confirmation compared so far, in order.
        choose: What the best candidate is best in: the mean, or its worst criterion.

    >>> State().steps, State().calls
    ((), 0)
    """

    measured: tuple[Measured, ...] = ()
    rejected: tuple[Measured, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    calls: int = 0
    test: HeldOut | None = None
    confirmation: Confirmation | None = None
    compared: tuple[int, ...] = ()
    choose: Choose = "mean"

    @property
    def best(self) -> Measured:
        """The best accepted candidate or the initial one; the earliest one on a tie."""
        seed = self.measured[0]
        eligible = [
            candidate
            for candidate in self.measured
            if not measures_less(seed.agreement, candidate.agreement)
        ]
        return max(eligible, key=self.rank)

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Return what candidates are ranked by."""
        mean = rank_value(measured.agreement)
        if self.choose == "mean":
            return (mean,)
        values = [it for it in measured.agreement.by_criterion.values() if isinstance(it, float)]
        return min(values, default=mean), mean

    @property
    def chosen(self) -> Measured:
        """The best candidate, or the initial one if the confirmation took it back."""
        takes_back = self.confirmation is not None and self.confirmation.takes_back
        return self.measured[0] if takes_back else self.best

    @property
    def idle_steps(self) -> int:
        """Steps since the best candidate was found."""
        return len(self.steps) - self.best.step

    def known(self, candidate: Candidate) -> Measured | None:
        """Return a candidate with its agreement if it was measured before."""
        for measured in (*self.measured, *self.rejected):
            if candidate == measured.candidate:
                return measured
        return None

    def after(self, record: StepRecord, scored: Sequence[Measured], calls: int) -> State:
        """Return the state after one more step.

        Args:
            record: The step.
            scored: Its proposal and its mix, as far as they were scored.
            calls: LM calls sent up to its end.
        """
        taken = [it for it in scored if record.accepted and it.sections == record.sections]
        # The best candidate may be another one now, so it is compared with the initial one again.
        return replace(
            self,
            measured=(*self.measured, *taken),
            rejected=(*self.rejected, *(it for it in scored if it not in taken)),
            steps=(*self.steps, record),
            calls=calls,
            confirmation=None,
            test=None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the state as `state.json` holds it."""
        stored = _State(
            calls=self.calls,
            measured=tuple(map(_Measured.of, self.measured)),
            rejected=tuple(map(_Measured.of, self.rejected)),
            steps=tuple(map(_Step.of, self.steps)),
            test=None if self.test is None else _HeldOut.of(self.test),
            confirmation=None if self.confirmation is None else _Confirmation.of(self.confirmation),
            compared=self.compared,
            choose=self.choose,
        )
        # The last two repeat what the others say, for a reader of the file.
        best_step = self.best.step if self.measured else 0
        return {**asdict(stored), "batches_drawn": len(self.steps), "best_step": best_step}

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a `state.json`; None if there is no such file.

        Raises:
            SetupError: If the file is damaged.
        """
        if not path.exists():
            return None
        plain = read_json(path, REPLAY)
        try:
            state = cls.from_dict(plain)
            state._check()
        except ValueError as error:
            raise SetupError(
                f"{path} is damaged: the state cannot be read ({error}). {REPLAY}"
            ) from error
        return state

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Make a state of the values that `as_dict` returned.

        Raises:
            ValueError: If they are no state.
        """
        stored = decoded(_State, plain)
        return cls(
            measured=tuple(candidate.measured for candidate in stored.measured),
            rejected=tuple(candidate.measured for candidate in stored.rejected),
            steps=tuple(step.record for step in stored.steps),
            calls=stored.calls,
            test=None if stored.test is None else stored.test.held_out,
            confirmation=None if stored.confirmation is None else stored.confirmation.confirmation,
            compared=stored.compared,
            choose=stored.choose,
        )

    def check_matches(self, path: Path, seed: Candidate, criteria: Group, steps: int) -> None:
        """Check that a file's state belongs to a run of these instructions, criteria and steps.

        Raises:
            SetupError: If it has other initial instructions, other criteria or more steps.
        """
        first = self.measured[0]
        if (first.candidate, tuple(first.agreement.by_criterion)) != (seed, criteria):
            what = "its initial instructions or its criteria are others"
        elif len(self.steps) > steps:
            what = f"it holds {len(self.steps)} steps of {steps}"
        else:
            return
        raise SetupError(f"{path} is damaged: {what}. {REPLAY}")

    def _check(self) -> None:
        """Check that the parts of a state, each valid by itself, belong to one run."""
        self._check_numbers()
        if len({tuple(agreement.by_criterion) for agreement in self._agreements()}) != 1:
            raise ValueError("the criteria differ")
        candidates = [measured.candidate for measured in (*self.measured, *self.rejected)]
        if len({frozenset(candidate.instructions) for candidate in candidates}) != 1:
            raise ValueError("the predictors differ")

    def _check_numbers(self) -> None:
        proposals = [step for step in self.steps if step.proposed is not None]
        numbers = {
            "measured": [0, *(step.step for step in proposals if step.accepted)],
            "rejected": [
                step.step
                for step in proposals
                for is_taken in (
                    step.accepted and not step.sections,
                    bool(step.sections) or step.mixed is None,
                )
                if not is_taken
            ],
            "steps": list(range(1, len(self.steps) + 1)),
        }
        for name, expected in numbers.items():
            if [record.step for record in getattr(self, name)] != expected:
                raise ValueError(f"the numbers of the {name} do not fit together")

    def _agreements(self) -> list[Agreement]:
        agreements: list[Agreement | None]
        agreements = [it.agreement for it in (*self.measured, *self.rejected)]
        for step in self.steps:
            agreements += [step.agreement, step.proposed, step.mixed]
        if self.test is not None:
            agreements += [self.test.seed, self.test.final]
        if self.confirmation is not None:
            agreements += [self.confirmation.seed, self.confirmation.best]
        return [agreement for agreement in agreements if agreement is not None]


def rank_value(agreement: Agreement) -> float:
    """Return the mean agreement, or minus infinity if there is none, to rank candidates by.

    >>> rank_value(Agreement.unmeasured(("fluency",)))
    -inf
    """
    return float("-inf") if agreement.mean is None else agreement.mean


def best_first(measured: Sequence[Measured]) -> list[Measured]:
    """Sort candidates by agreement, the best first; equal ones stay in their order."""
    return sorted(measured, key=lambda candidate: -rank_value(candidate.agreement))


@dataclass(frozen=True)
class _Row:
    """One criterion of an agreement."""

    criterion: str
    value: float | None
    undefined: str | None
    scored: _Count
    unscored: _Count
    missing: _Count
    fallbacks: _Count
    deviation: Deviation | None = None
    weight: float | None = None
    applicability: Applicability | None = None

    @property
    def defined(self) -> float | Undefined:
        if self.value is not None:
            return self.value
        if self.undefined is None:
            raise ValueError(f"{self.criterion} has neither a value nor a reason")
        return Undefined(self.undefined)


# Lists and pairs, not objects: prompts and the last digit of a mean depend on the order.
_Rows: TypeAlias = tuple[_Row, ...]


def _rows(agreement: Agreement) -> _Rows:
    return tuple(
        _Row(
            name,
            value=None if isinstance(value, Undefined) else value,
            undefined=value.reason if isinstance(value, Undefined) else None,
            **{count: getattr(agreement, count)[name] for count in _COUNTS},
            **{own: getattr(agreement, some).get(name) for own, some in _OF_SOME.items()},
        )
        for name, value in agreement.by_criterion.items()
    )


def _agreement(rows: _Rows) -> Agreement:
    counts = {count: {row.criterion: getattr(row, count) for row in rows} for count in _COUNTS}
    of_some: dict[str, Any] = {
        name: {row.criterion: it for row in rows if (it := getattr(row, own)) is not None}
        for own, name in _OF_SOME.items()
    }
    return Agreement({row.criterion: row.defined for row in rows}, **counts, **of_some)


def _changed(value: object, names: Group, change: Callable[[Any], object]) -> dict[str, Any]:
    """Return an object's fields, some of them changed unless they are None."""
    fields = vars(value)
    return fields | {name: change(fields[name]) for name in names if fields[name] is not None}


@dataclass(frozen=True)
class _Measured:
    step: _Count
    instructions: tuple[tuple[str, str], ...]
    agreement: _Rows
    texts: _Count | None = None
    sections: tuple[str, ...] = ()

    @classmethod
    def of(cls, measured: Measured) -> Self:
        texts = measured.candidate.instructions.items()
        rendered = tuple((path, instructions.render()) for path, instructions in texts)
        rows = _rows(measured.agreement)
        return cls(measured.step, rendered, rows, measured.texts, measured.sections)

    @property
    def measured(self) -> Measured:
        candidate = Candidate({path: Instructions.parse(text) for path, text in self.instructions})
        agreement = _agreement(self.agreement)
        return Measured(self.step, candidate, agreement, self.texts, self.sections)


@dataclass(frozen=True)
class _Step:
    step: _Count
    accepted: bool
    agreement: _Rows
    proposed: _Rows | None
    calls: _Count
    skipped: _Count
    texts: _Count | None = None
    current: _Rows | None = None
    sections: tuple[str, ...] = ()
    mixed: _Rows | None = None
    beaten_by: _Count | None = None
    parent: _Count = 0

    @classmethod
    def of(cls, record: StepRecord) -> Self:
        return cls(**_changed(record, _OF_A_STEP, _rows))

    @property
    def record(self) -> StepRecord:
        return StepRecord(**_changed(self, _OF_A_STEP, _agreement))


@dataclass(frozen=True)
class _HeldOut:
    n: _Count
    seed: _Rows
    final: _Rows
    ceilings: Ceilings = field(default_factory=dict)

    @classmethod
    def of(cls, test: HeldOut) -> Self:
        return cls(test.n, _rows(test.seed), _rows(test.final), test.ceilings)

    @property
    def held_out(self) -> HeldOut:
        return HeldOut(self.n, _agreement(self.seed), _agreement(self.final), self.ceilings)


@dataclass(frozen=True)
class _Confirmation:
    verdict: Verdict
    seed: _Rows | None
    best: _Rows | None
    difference: float | None
    interval: tuple[float, float] | None
    documents: _Count
    texts: _Count
    needed: _Count | None
    takes_back: bool
    corrected: float | None = None
    look: _Count = 1
    ceilings: Ceilings = field(default_factory=dict)

    @classmethod
    def of(cls, confirmation: Confirmation) -> Self:
        return cls(**_changed(confirmation, _COMPARED, _rows))

    @property
    def confirmation(self) -> Confirmation:
        return Confirmation(**_changed(self, _COMPARED, _agreement))


@dataclass(frozen=True)
class _State:
    """A state as `state.json` holds it."""

    calls: _Count
    measured: tuple[_Measured, ...]
    rejected: tuple[_Measured, ...]
    steps: tuple[_Step, ...]
    test: _HeldOut | None
    confirmation: _Confirmation | None = None
    compared: tuple[_Count, ...] = ()
    choose: Choose = "mean"
