"""What the optimizer maximizes per criterion: an example's score, a data set's aggregate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import dspy

from mogradjudge.agreement import Level, Undefined, correlate
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.errors import SetupError
from mogradjudge.scores import Unscored


@dataclass(frozen=True)
class Scored:
    """One example with what a program made of it, and the score of that, in [0, 1]."""

    example: dspy.Example
    prediction: dspy.Prediction
    score: float
    group: str


class ScoreHook(Protocol):
    """Scores one prediction, higher is better, in [0, 1]; None where there is no label."""

    def __call__(
        self, example: dspy.Example, prediction: dspy.Prediction, /
    ) -> float | Unscored | None: ...


class AggregateHook(Protocol):
    """Sums up a data set in one number, higher is better."""

    def __call__(self, scored: Sequence[Scored], /) -> float | Undefined: ...


class ShowHook(Protocol):
    """Says what the critic may see of one prediction: what was expected and what was produced."""

    def __call__(
        self, example: dspy.Example, prediction: dspy.Prediction, /
    ) -> Mapping[str, object]: ...


Label: TypeAlias = float | int | str | bool


class LabelsHook(Protocol):
    """Gives the two labels that are compared, expected and produced; None where there is none."""

    def __call__(
        self, example: dspy.Example, prediction: dspy.Prediction, /
    ) -> tuple[Label | None, Label | None]: ...


def mean_score(scored: Sequence[Scored]) -> float | Undefined:
    """Average the per-example scores; the default aggregate."""
    if not scored:
        return Undefined("no example was scored")
    return sum(each.score for each in scored) / len(scored)


def show_all(example: dspy.Example, prediction: dspy.Prediction) -> Mapping[str, object]:
    """Show the example's labels as expected and all of the prediction as produced."""
    return {"expected": dict(example.labels()), "produced": dict(prediction)}


@dataclass(frozen=True)
class Objective:
    """What is maximized under one name. Any functions that fit the three hooks make one.

    Args:
        name: An identifier; it names a section of the instructions.
        description: What is good; the critic, coach and editor read it.
        score: Scores one prediction, in [0, 1]. It steers the critiques.
        aggregate: Sums up a data set; it decides acceptance and is what is reported. The mean of
            the scores if it is not given.
        show: What the critic may see; labels and prediction if it is not given.
        labels: Gives the two labels that are compared, so that a report can set one against the
            other; an objective that compares no labels has none.

    Raises:
        SetupError: If the name is no identifier or the description is empty.
    """

    name: str
    description: str
    score: ScoreHook
    aggregate: AggregateHook | None = None
    show: ShowHook | None = None
    labels: LabelsHook | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise SetupError(f"An objective's name must be an identifier, got {self.name!r}.")
        if self.name == "mean":
            raise SetupError("An objective must not be named 'mean': results use it for the mean.")
        if not self.description.strip():
            raise SetupError(f"Objective {self.name!r} needs a description, got an empty one.")
        put = object.__setattr__  # the dataclass is frozen
        put(self, "aggregate", self.aggregate or mean_score)
        put(self, "show", self.show or show_all)


def rubric_objectives(rubric: Rubric, level: Level = "pooled") -> tuple[Objective, ...]:
    """Make one objective per criterion: agreement with the human scores.

    The score of an example is ``1 - |judge - human| / width of the scale``; the aggregate is
    Spearman's rho (`correlate`), pooled or per group.
    """
    return tuple(
        Objective(
            name=criterion.name,
            description=criterion.description,
            score=partial(_closeness, criterion),
            aggregate=partial(_spearman, criterion, level),
            show=partial(_comparison, criterion),
            labels=partial(_labels, criterion),
        )
        for criterion in rubric.criteria
    )


def _closeness(
    criterion: Criterion, example: dspy.Example, prediction: dspy.Prediction
) -> float | Unscored | None:
    human, judge = example.get(criterion.human), prediction[criterion.name]
    if human is None:
        return None
    if isinstance(judge, Unscored):
        return judge
    return 1.0 - abs(float(judge) - float(human)) / criterion.scale.width


def _spearman(criterion: Criterion, level: Level, scored: Sequence[Scored]) -> float | Undefined:
    return correlate(
        [float(each.example[criterion.human]) for each in scored],
        [float(each.prediction[criterion.name]) for each in scored],
        [each.group for each in scored],
        level=level,
    ).value


def _labels(
    criterion: Criterion, example: dspy.Example, prediction: dspy.Prediction
) -> tuple[float | None, float | None]:
    human, judge = example.get(criterion.human), prediction[criterion.name]
    return (
        None if human is None else float(human),
        None if isinstance(judge, Unscored) else float(judge),
    )


def _comparison(
    criterion: Criterion, example: dspy.Example, prediction: dspy.Prediction
) -> dict[str, object]:
    human, judge = float(example[criterion.human]), prediction[criterion.name]
    if isinstance(judge, Unscored):
        return {"human score": _round(human), "judge score": f"none, {judge.reason}"}
    shown: dict[str, object] = {"judge score": _round(judge), "human score": _round(human)}
    error = judge - human
    direction = "too high" if error > 0 else "too low"
    shown["error"] = f"judge {_round(abs(error))} {direction}" if error else "none"
    if rationale := _rationale(criterion, prediction):
        shown["judge's reason"] = rationale
    return shown


def _rationale(criterion: Criterion, prediction: dspy.Prediction) -> str | None:
    reading = prediction.get("readings", {}).get(criterion.name)  # other programs have none
    return None if reading is None else reading.rationale


def _round(score: float) -> float:
    return round(score, 2)
