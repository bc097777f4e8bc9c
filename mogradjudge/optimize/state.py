"""Where a run stands: all that it must know to go on, as a value and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from mogradjudge.agreement import Undefined
from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json
from mogradjudge.judge.instructions import Instructions
from mogradjudge.optimize.result import HeldOut, Measured, StepRecord
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.stages.gate import measures_less

REPLAY = "Delete that file to replay the run from its paid replies."
"""What helps where `state.json` is damaged."""
T = TypeVar("T")
_COUNTS = ("scored", "unscored", "missing", "fallbacks")


@dataclass(frozen=True)
class State:
    """A run after some whole steps.

    No generator's state is part of it: each batch is a function of the seed and of its place, and
    each sampled reply of the seed and of its question, so the number of steps says where both are.

    Args:
        measured: The seed, once it is scored, and every accepted candidate, in order.
        rejected: The candidates that the gate refused.
        steps: The steps that were taken.
        calls: LM calls sent up to the end of the last of them.
        test: What the test examples said, once both ends were scored on them.
    """

    measured: tuple[Measured, ...] = ()
    rejected: tuple[Measured, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    calls: int = 0
    test: HeldOut | None = None

    @property
    def best(self) -> Measured:
        """The best of what was accepted, the seed included; the earliest one on a tie."""
        seed = self.measured[0]
        eligible = [m for m in self.measured if not measures_less(seed.agreement, m.agreement)]
        return max(eligible, key=lambda each: worth(each.agreement))

    @property
    def idle_steps(self) -> int:
        """Steps since the best candidate was found."""
        return len(self.steps) - self.best.step

    def known(self, candidate: Candidate) -> Agreement | None:
        """Give a candidate's agreement if it was measured before."""
        for each in (*self.measured, *self.rejected):
            if candidate == each.candidate:
                return each.agreement
        return None

    def after(self, record: StepRecord, candidate: Candidate, calls: int) -> State:
        """Give the state after one more step."""
        # The test examples have to say anew what they think of what is best then.
        state = replace(self, steps=(*self.steps, record), calls=calls, test=None)
        if record.proposed is None:
            return state
        measured = Measured(record.step, candidate, record.proposed)
        if record.accepted:
            return replace(state, measured=(*self.measured, measured))
        return replace(state, rejected=(*self.rejected, measured))

    def as_dict(self) -> dict[str, Any]:
        """Give the state as `state.json` holds it."""
        return {
            "calls": self.calls,
            "measured": [_measured_dict(each) for each in self.measured],
            "rejected": [_measured_dict(each) for each in self.rejected],
            "steps": [_step_dict(each) for each in self.steps],
            "test": None if self.test is None else _held_out_dict(self.test),
            # The last two say nothing new; they are for a reader of the file.
            "batches_drawn": len(self.steps),
            "best_step": self.best.step if self.measured else 0,
        }

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the file that holds what `as_dict` gave; None if there is none.

        Raises:
            SetupError: If it holds something else.
        """
        if not path.exists():
            return None
        plain = read_json(path, REPLAY)
        try:
            state = cls.from_dict(plain)
            state._check()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SetupError(
                f"{path} is damaged: the state cannot be read ({error!r}). {REPLAY}"
            ) from error
        return state

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Take what `as_dict` gave."""
        return cls(
            measured=tuple(_measured(each) for each in plain["measured"]),
            rejected=tuple(_measured(each) for each in plain["rejected"]),
            steps=tuple(_step(each) for each in plain["steps"]),
            calls=_whole(plain["calls"]),
            test=None if plain["test"] is None else _held_out(plain["test"]),
        )

    def check_is_of(self, path: Path, seed: Candidate, criteria: Group, steps: int) -> None:
        """Check that the state in a file is one of a run of these.

        Raises:
            SetupError: If it has other instructions to begin with, other criteria or more steps.
        """
        first = self.measured[0]
        if (first.candidate, tuple(first.agreement.by_criterion)) != (seed, criteria):
            what = "its seed is of another program or has other criteria"
        elif len(self.steps) > steps:
            what = f"it holds {len(self.steps)} steps of {steps}"
        else:
            return
        raise SetupError(f"{path} is damaged: {what}. {REPLAY}")

    def _check(self) -> None:
        """Check that the parts of a state, each right in itself, are those of one run."""
        proposals = [step for step in self.steps if step.proposed is not None]
        numbers = {
            "measured": [0, *(step.step for step in proposals if step.accepted)],
            "rejected": [step.step for step in proposals if not step.accepted],
            "steps": list(range(1, len(self.steps) + 1)),
        }
        for name, expected in numbers.items():
            if [each.step for each in getattr(self, name)] != expected:
                raise ValueError(f"the numbers of the {name} do not fit together")
        scored = (*self.measured, *self.rejected)
        agreements = [each.agreement for each in scored]
        agreements += [step.agreement for step in self.steps]
        agreements += [step.proposed for step in self.steps if step.proposed is not None]
        agreements += [] if self.test is None else [self.test.seed, self.test.final]
        if len({tuple(each.by_criterion) for each in agreements}) != 1:
            raise ValueError("the criteria differ")
        if len({frozenset(each.candidate.instructions) for each in scored}) != 1:
            raise ValueError("the predictors differ")


def worth(agreement: Agreement) -> float:
    """Rank by the mean; what has none comes last."""
    return float("-inf") if agreement.mean is None else agreement.mean


def unmeasured(seed: Candidate, criteria: Group) -> State:
    """Stand for a run that ended before its seed was scored."""
    return State(measured=(Measured(0, seed, Agreement.unmeasured(criteria)),))


def _measured_dict(measured: Measured) -> dict[str, Any]:
    # Lists of pairs, not objects: order decides prompts, and the last digit of a mean.
    texts = measured.candidate.instructions.items()
    return {
        "step": measured.step,
        "instructions": [[path, each.render()] for path, each in texts],
        "agreement": _agreement_list(measured.agreement),
    }


def _measured(plain: Mapping[str, Any]) -> Measured:
    candidate = Candidate({path: Instructions.parse(text) for path, text in plain["instructions"]})
    return Measured(_whole(plain["step"]), candidate, _agreement(plain["agreement"]))


def _held_out_dict(test: HeldOut) -> dict[str, Any]:
    ends = {"seed": _agreement_list(test.seed), "final": _agreement_list(test.final)}
    return {"n": test.n, **ends}


def _held_out(plain: Mapping[str, Any]) -> HeldOut:
    return HeldOut(_whole(plain["n"]), _agreement(plain["seed"]), _agreement(plain["final"]))


def _agreement_list(agreement: Agreement) -> list[dict[str, Any]]:
    return [
        {
            "criterion": name,
            "value": None if isinstance(value, Undefined) else value,
            "undefined": value.reason if isinstance(value, Undefined) else None,
            **{count: getattr(agreement, count)[name] for count in _COUNTS},
        }
        for name, value in agreement.by_criterion.items()
    ]


def _agreement(rows: Sequence[Mapping[str, Any]]) -> Agreement:
    values = {
        row["criterion"]: Undefined(_typed(row["undefined"], str))
        if row["value"] is None
        else _finite(row["value"])
        for row in rows
    }
    counts = {count: {row["criterion"]: _whole(row[count]) for row in rows} for count in _COUNTS}
    return Agreement(values, **counts)


def _step_dict(step: StepRecord) -> dict[str, Any]:
    return {
        **asdict(step),
        "agreement": _agreement_list(step.agreement),
        "proposed": None if step.proposed is None else _agreement_list(step.proposed),
    }


def _step(plain: Mapping[str, Any]) -> StepRecord:
    proposed = plain["proposed"]
    return StepRecord(
        step=_whole(plain["step"]),
        accepted=_typed(plain["accepted"], bool),
        agreement=_agreement(plain["agreement"]),
        proposed=None if proposed is None else _agreement(proposed),
        calls=_whole(plain["calls"]),
        skipped=_whole(plain["skipped"]),
    )


def _whole(value: object) -> int:
    if (number := _typed(value, int)) < 0:
        raise ValueError(f"{number} is below 0")
    return number


def _finite(value: object) -> float:
    number = float(value) if type(value) is int else _typed(value, float)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no score")
    return number


def _typed(value: object, needed: type[T]) -> T:
    if type(value) is not needed:
        raise TypeError(f"{value!r} is no {needed.__name__}")
    return value


def in_order_of_worth(measured: Sequence[Measured]) -> list[Measured]:
    """Put the best first; equals stay in their order."""
    return sorted(measured, key=lambda each: -worth(each.agreement))
